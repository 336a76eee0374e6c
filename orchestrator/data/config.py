"""What is read and how it becomes tokens."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DataConfig:
    """Corpus and tokenizer."""

    source: str = "stdlib"
    """`stdlib` (the source text of the Python installation; participants need the same Python release), an fsspec URL
    or glob of text or JSON lines (.jsonl, .json; also .gz), or `hf:NAME` / `hf:NAME:CONFIG` for the split `train` of a
    Hugging Face data set (extra `datasets`)."""
    field: str = "text"
    """Field of a JSON line or data set row that holds the text."""
    tokenizer: str = "bytes"
    """`bytes`, `bpe` (trained on the corpus), or the URL of a tokenizer.json."""
    vocab_size: int = 4096
    """Size of a trained BPE vocabulary, at least 257; a small corpus gives a smaller one."""
    holdout: float = 0.05
    """Share of the windows kept for validation, 0 to 0.5; never trained on."""
    cache: str = ""
    """Folder for tokenised corpora. Empty: `tessera` in the user's cache folder."""
    fingerprint: str = ""
    """Hash of corpus, tokenizer and split. Filled in by the launcher; a participant that finds another one originates
    nothing."""
