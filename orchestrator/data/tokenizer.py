"""Text to token ids and back: bytes, or a subword vocabulary of the `tokenizers` library."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import tokenizers

from orchestrator.data.digest import digest
from orchestrator.data.errors import DataError

Ids = npt.NDArray[Any]
SEPARATORS = ("<|endoftext|>", "</s>", "<|end_of_text|>", "<eos>")
"""Tokens that end a document, in the order in which they are looked for."""


class Tokenizer(Protocol):
    """Documents to ids."""

    @property
    def vocab_size(self) -> int:
        """One more than the largest id."""

    @property
    def separator(self) -> int | None:
        """The id that stands between documents; None where the vocabulary has none."""

    @property
    def fingerprint(self) -> str:
        """Hash of what decides the ids."""

    def encode(self, document: bytes) -> Ids:
        """Return the ids of a document, shape [n]."""

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of some ids."""

    def dump(self) -> str:
        """Return a text from which `restore` makes the same tokenizer."""


class ByteTokenizer:
    """Every byte is a token: nothing to download, nothing out of vocabulary. Zero, which text lacks, separates."""

    vocab_size = 256
    separator: int | None = 0
    fingerprint = "bytes"

    def encode(self, document: bytes) -> Ids:
        """Return the bytes of the document."""
        return np.frombuffer(document, dtype=np.uint8)

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text, with a replacement character where the bytes are no UTF-8."""
        return bytes(int(token) for token in ids).decode("utf-8", "replace")

    def dump(self) -> str:
        """Return the mark of this tokenizer."""
        return ""


class SubwordTokenizer:
    """A vocabulary of the `tokenizers` library.

    A separator that is written out in a document is encoded as the plain text that it is.

    Args:
        definition: the text of a tokenizer.json.
        name: where it comes from, for messages.
    """

    def __init__(self, definition: str, name: str) -> None:
        """Raise DataError when the definition is none."""
        try:
            self._library: Any = tokenizers.Tokenizer.from_str(definition)
        except Exception as error:  # the library raises plain Exception
            raise DataError(f"data.tokenizer '{name}' is no tokenizer.json: {error}") from error
        self._library.no_truncation()
        self._library.no_padding()
        self._library.encode_special_tokens = True
        self._definition = definition
        known = (self._library.token_to_id(token) for token in SEPARATORS)
        self.separator: int | None = next((token for token in known if token is not None), None)
        ids = self._library.get_vocab(with_added_tokens=True).values()
        self.vocab_size = max(ids, default=-1) + 1
        self.fingerprint = digest("subwords", definition)

    def encode(self, document: bytes) -> Ids:
        """Return the ids of the document's text; bytes that are no UTF-8 become replacement characters."""
        ids = self._library.encode(document.decode("utf-8", "replace"), add_special_tokens=False).ids
        return np.array(ids, dtype=np.uint32)

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text without separators."""
        return str(self._library.decode([int(token) for token in ids]))

    def dump(self) -> str:
        """Return the definition."""
        return self._definition


def restore(dumped: str) -> Tokenizer:
    """Return the tokenizer that `dump` described."""
    return SubwordTokenizer(dumped, "cache") if dumped else ByteTokenizer()
