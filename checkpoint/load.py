"""Reads the small files of a checkpoint: its manifest, and a part's index once its hash is right."""

from __future__ import annotations

from checkpoint.errors import DamagedError, NoCheckpointError
from checkpoint.hashing import digest
from checkpoint.index import PartIndex, parse_index
from checkpoint.manifest import MAX_MANIFEST_BYTES, Manifest, parse_manifest
from checkpoint.names import CheckpointId
from checkpoint.receipts import FileRecord, PartReceipt
from checkpoint.store import Store
from checkpoint.strict import Malformed


def load_manifest(store: Store, id: CheckpointId) -> Manifest:
    """Return a checkpoint's manifest.

    Raises:
        NoCheckpointError: there is none, so this is no checkpoint yet.
        DamagedError: it is not as it was written.
        StoreError: the store fails.
    """
    try:
        data = store.read(id.manifest, 0, MAX_MANIFEST_BYTES + 1)
    except FileNotFoundError:
        raise NoCheckpointError(f"checkpoint {id.folder} has no manifest: it was never completed.") from None
    try:
        manifest = parse_manifest(data)
    except Malformed as error:
        raise DamagedError(id.manifest, f"is malformed: {error}") from None
    if manifest.id != id:
        raise DamagedError(id.manifest, f"is the manifest of {manifest.id.folder}")
    return manifest


def load_file(store: Store, path: str, record: FileRecord) -> bytes:
    """Return a small file that a receipt names. Raises DamagedError, StoreError."""
    try:
        data = store.read(path, 0, record.size + 1)
    except FileNotFoundError:
        raise DamagedError(path, "is missing") from None
    if len(data) != record.size:
        more = "longer" if len(data) > record.size else "shorter"
        raise DamagedError(path, f"is {more} than the {record.size} bytes that were written")
    if digest(data) != record.digest:
        raise DamagedError(path, "does not have the hash that it was written with")
    return data


def load_index(store: Store, id: CheckpointId, stage: int, receipt: PartReceipt) -> PartIndex:
    """Return a part's index. Raises DamagedError, StoreError."""
    path = f"{id.stage(stage)}/{receipt.index_file}"
    try:
        index = parse_index(load_file(store, path, receipt.index))
    except Malformed as error:
        raise DamagedError(path, f"is malformed: {error}") from None
    place = (index.stage, index.part, index.parts, index.writer)
    if place != (stage, receipt.part, receipt.parts, receipt.writer):
        raise DamagedError(path, "is the index of another part")
    if (len(index.files), sum(file.size for file in index.files)) != (receipt.files, receipt.data_bytes):
        raise DamagedError(path, "names other data files than its receipt")
    return index
