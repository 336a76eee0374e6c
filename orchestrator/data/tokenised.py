"""Corpus and tokenizer put together, once a machine: every process maps the same file."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import numpy as np

from checkpoint.files import replacing
from orchestrator.data import store
from orchestrator.data.bpe import check_vocab_size, train_bpe
from orchestrator.data.building import one_builder
from orchestrator.data.config import DataConfig
from orchestrator.data.corpus import Corpus, identity, open_corpus
from orchestrator.data.digest import RunningDigest, digest
from orchestrator.data.errors import DataError
from orchestrator.data.files import read_whole
from orchestrator.data.tokenizer import ByteTokenizer, SubwordTokenizer, Tokenizer, restore

log = logging.getLogger(__name__)

_FORMAT = "1"
"""Raised when the same corpus would give other ids or another record."""
_STALE_S = 86400.0


@dataclass(frozen=True)
class Tokenised:
    """A corpus as ids."""

    record: store.Record
    ids: store.Tokens
    """Shape [tokens], mapped read-only."""

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """What made the ids."""
        return restore(self.record.tokenizer)


def open_tokenised(config: DataConfig) -> Tokenised:
    """Return the corpus as ids: from the cache, or tokenised now and kept there.

    May be called by many processes at once; one of them does the work. A source without a reliable mark of change
    (`Corpus.stamp`) is read in full every time. Raises DataError.
    """
    corpus = open_corpus(config)
    choice = _TokenizerChoice(config)
    key = digest(_FORMAT, identity(corpus), choice.identity())
    folder = cache_folder(config)
    with suppress(store.CacheMissError):
        return Tokenised(*store.load(folder, key))
    with _writable(folder), one_builder(folder / f"{key}.lock"):
        try:
            return Tokenised(*store.load(folder, key))
        except store.CacheMissError as miss:
            if miss.damaged:
                log.warning("cached corpus is damaged, building it again: %s", miss)
        _build(corpus, choice, folder, key)
        return Tokenised(*store.load(folder, key))


def cache_folder(config: DataConfig) -> Path:
    """Return `data.cache`, or `tessera` in the user's cache folder."""
    if config.cache:
        return Path(config.cache).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "tessera"


@dataclass(frozen=True)
class _TokenizerChoice:
    """The tokenizer that a config asks for, before it exists."""

    config: DataConfig

    def identity(self) -> str:
        """Return what, beside the corpus, decides it."""
        name = self.config.tokenizer
        if name == "bpe":
            check_vocab_size(self.config.vocab_size)
            return f"bpe {self.config.vocab_size}"
        return name if name == "bytes" else digest("file", self._read())

    def make(self, documents: Iterable[bytes]) -> Tokenizer:
        """Train or read it."""
        if self.config.tokenizer == "bytes":
            return ByteTokenizer()
        if self.config.tokenizer == "bpe":
            return train_bpe(documents, self.config.vocab_size)
        return SubwordTokenizer(self._read().decode("utf-8", "replace"), self.config.tokenizer)

    def _read(self) -> bytes:
        try:
            return read_whole(self.config.tokenizer)
        except DataError as error:
            raise DataError(
                f"data.tokenizer '{self.config.tokenizer}' is neither 'bytes' nor 'bpe' nor a tokenizer.json: {error}"
            ) from error


def _build(corpus: Corpus, choice: _TokenizerChoice, folder: Path, key: str) -> None:
    """Tokenise the corpus into the cache."""
    _remove_stale(folder)
    started = time.monotonic()
    tokenizer = choice.make(corpus)
    ids_path, _ = store.paths(folder, key)
    with replacing(ids_path, 0o644) as file:
        stream = _write_ids(corpus, tokenizer, file)
    if not stream.documents:
        ids_path.unlink(missing_ok=True)
        raise DataError(f"data.source '{choice.config.source}' is empty; name a corpus with text in it.")
    record = store.Record(
        tokens=stream.tokens,
        documents=stream.documents,
        bytes=stream.bytes,
        vocab_size=tokenizer.vocab_size,
        dtype=store.dtype_for(tokenizer.vocab_size).str,
        fingerprint=digest(stream.content, tokenizer.fingerprint, stream.ids),
        tokenizer=tokenizer.dump(),
        check=store.file_check(ids_path),
    )
    store.save_record(folder, key, record)
    log.info(
        "tokenised %d documents, %d bytes, into %d tokens in %.1f s: %s",
        record.documents, record.bytes, record.tokens, time.monotonic() - started, ids_path,
    )  # fmt: skip


@dataclass(frozen=True)
class _Stream:
    """What went into a file of ids."""

    tokens: int
    documents: int
    bytes: int
    content: str
    """Hash of the documents."""
    ids: str
    """Hash of the ids: versions of a tokenizer library that cut text differently do not pass for the same."""


def _write_ids(corpus: Corpus, tokenizer: Tokenizer, file: BinaryIO) -> _Stream:
    """Encode the documents, each followed by the separator, and count."""
    dtype = store.dtype_for(tokenizer.vocab_size)
    separator = np.array([] if tokenizer.separator is None else [tokenizer.separator], dtype=dtype).tobytes()
    content, ids = RunningDigest(), RunningDigest()
    written = documents = size = 0
    for document in corpus:
        encoded = tokenizer.encode(document).astype(dtype, copy=False).tobytes() + separator
        content.add(document)
        ids.add(encoded)
        file.write(encoded)
        written += len(encoded)
        documents += 1
        size += len(document)
    return _Stream(written // dtype.itemsize, documents, size, content.hex(), ids.hex())


def _remove_stale(folder: Path) -> None:
    """Remove what builders that were killed more than a day ago left behind."""
    for temporary in folder.glob("*.tmp"):
        with suppress(OSError):
            if time.time() - temporary.stat().st_mtime > _STALE_S:
                temporary.unlink()


@contextmanager
def _writable(folder: Path) -> Iterator[None]:
    """Make the folder; say what to do when it, or a file in it, cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except store.CacheMissError as miss:
        raise DataError(f"the cache folder {folder} does not keep what is written ({miss}); set data.cache.") from miss
    except OSError as error:
        raise DataError(f"the cache folder {folder} cannot be written ({error}); set data.cache to another.") from error
