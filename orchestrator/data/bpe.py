"""Byte-level BPE, trained on the corpus."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

from orchestrator.data.errors import DataError
from orchestrator.data.tokenizer import SubwordTokenizer

SAMPLE = 256 * 2**20
"""Bytes of the corpus, from its beginning, that a vocabulary is trained on; bounds time and memory."""
_SEPARATOR = "<|endoftext|>"
_SMALLEST = 257


def check_vocab_size(vocab_size: int) -> None:
    """Raise DataError when a byte-level vocabulary cannot be that small."""
    if vocab_size < _SMALLEST:
        raise DataError(
            f"data.vocab_size {vocab_size} is too small for byte-level BPE: it starts from 256 bytes and a separator, "
            f"so set at least {_SMALLEST}."
        )


def train_bpe(documents: Iterable[bytes], vocab_size: int) -> SubwordTokenizer:
    """Train GPT-2's byte-level BPE (Sennrich et al. 2016; Radford et al. 2019) on the first `SAMPLE` bytes.

    The result depends on the documents and the size only: the library breaks ties between pairs by their ids, and the
    ids of the alphabet are fixed. A corpus too small for `vocab_size` merges gives a smaller vocabulary. Raises
    DataError when `vocab_size` is below 257.
    """
    check_vocab_size(vocab_size)
    model = tokenizers.Tokenizer(models.BPE())
    model.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    model.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[_SEPARATOR],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    model.train_from_iterator(_sample(documents), trainer=trainer)
    return SubwordTokenizer(model.to_str(), "bpe")


def _sample(documents: Iterable[bytes]) -> Iterator[str]:
    left = SAMPLE
    for document in documents:
        if left <= 0:
            return
        left -= len(document)
        yield document.decode("utf-8", "replace")
