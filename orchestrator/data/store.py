"""Tokenised corpora on disk: one flat file of ids and, beside it, a record of what it must be."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from checkpoint.files import replacing
from orchestrator.data.digest import digest

Tokens = npt.NDArray[Any]

_CHECKED_BLOCKS = 256
_CHECKED_BLOCK = 2**20


class CacheMissError(Exception):
    """The cache does not have it; `damaged` when it has something else in its place."""

    def __init__(self, reason: str, *, damaged: bool) -> None:
        super().__init__(reason)
        self.damaged = damaged


@dataclass(frozen=True)
class Record:
    """What is known about a tokenised corpus."""

    tokens: int
    """Ids in the file, separators included."""
    documents: int
    """Documents of the corpus."""
    bytes: int
    """Bytes of their text."""
    vocab_size: int
    """One more than the largest id."""
    dtype: str
    """`<u1`, `<u2` or `<u4`."""
    fingerprint: str
    """Hash of the documents, of the tokenizer and of the ids that came out."""
    tokenizer: str
    """The tokenizer's dump."""
    check: str
    """`file_check` of the file of ids."""


def dtype_for(vocab_size: int) -> np.dtype[Any]:
    """Return the narrowest little-endian type that holds every id."""
    width = 1 if vocab_size <= 2**8 else 2 if vocab_size <= 2**16 else 4
    return np.dtype(f"<u{width}")


def file_check(path: Path) -> str:
    """Hash the file's size and content; of more than 256 MiB, that many spread over it (opening stays quick)."""
    size = path.stat().st_size
    running = hashlib.blake2b(str(size).encode(), digest_size=16)
    blocks = min(_CHECKED_BLOCKS, -(-size // _CHECKED_BLOCK))
    whole = size <= _CHECKED_BLOCKS * _CHECKED_BLOCK
    with path.open("rb") as file:
        for number in range(blocks):
            file.seek(number * _CHECKED_BLOCK if whole else (size - _CHECKED_BLOCK) * number // (blocks - 1))
            running.update(file.read(_CHECKED_BLOCK))
    return running.hexdigest()


def paths(folder: Path, key: str) -> tuple[Path, Path]:
    """Return the file of ids and the record's."""
    return folder / f"{key}.tokens", folder / f"{key}.json"


def load(folder: Path, key: str) -> tuple[Record, Tokens]:
    """Return the record and the ids, shape [tokens], mapped read-only. Raises CacheMissError when absent or damaged."""
    ids, sidecar = paths(folder, key)
    if not (ids.exists() and sidecar.exists()):
        raise CacheMissError(f"{ids} does not exist", damaged=ids.exists() or sidecar.exists())
    try:
        stored = json.loads(sidecar.read_text())
        record = Record(**stored["record"])
        sound = stored["check"] == _record_check(record) and record.check == file_check(ids)
    except (ValueError, TypeError, KeyError, OSError) as error:
        raise CacheMissError(f"{sidecar} cannot be read ({error})", damaged=True) from error
    if not sound:
        raise CacheMissError(f"{ids} is not what its record says", damaged=True)
    mapped = np.memmap(ids, dtype=record.dtype, mode="r", shape=(record.tokens,))
    return record, mapped.view(np.ndarray)


def save_record(folder: Path, key: str, record: Record) -> None:
    """Write the record; from then on the cache has the corpus. Raises OSError."""
    content = json.dumps({"record": asdict(record), "check": _record_check(record)})
    with replacing(paths(folder, key)[1], 0o644) as file:
        file.write(content.encode())


def _record_check(record: Record) -> str:
    return digest(json.dumps(asdict(record), sort_keys=True))
