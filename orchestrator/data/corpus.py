"""A corpus: documents in an order that is the same for everybody who names the same source."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from orchestrator.data.config import DataConfig
from orchestrator.data.digest import digest_all
from orchestrator.data.files import TextFiles
from orchestrator.data.hub import HubDataset
from orchestrator.data.standard_library import StandardLibrary


class Corpus(Protocol):
    """Documents as bytes (UTF-8 where the source is well formed; nothing here insists on it)."""

    def __iter__(self) -> Iterator[bytes]:
        """Read the documents from the source, in order, none of them empty. Raises DataError."""

    def stamp(self) -> str | None:
        """Return something cheap that changes when the content does; None where the source offers nothing reliable."""


def open_corpus(config: DataConfig) -> Corpus:
    """Return the corpus that `config.source` names; iterate over it for its documents.

    Raises DataError when the source cannot be found. What is wrong inside it shows when it is read.
    """
    if config.source == "stdlib":
        return StandardLibrary()
    if config.source.startswith("hf:"):
        return HubDataset.parse(config.source, config.field)
    return TextFiles(config.source, config.field)


def content_hash(corpus: Corpus) -> str:
    """Return the hash of all documents: independent of paths, of times and of the cache. Reads the whole source."""
    return digest_all(corpus)


def identity(corpus: Corpus) -> str:
    """Return what the cache keys on: the stamp, or (slower, and then every time) the hash of the content."""
    return corpus.stamp() or content_hash(corpus)
