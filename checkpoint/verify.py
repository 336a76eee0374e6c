"""Reads a checkpoint's every byte and names what is not as it was written."""

from __future__ import annotations

from collections.abc import Iterator

from checkpoint.errors import DamagedError
from checkpoint.hashing import wrong_blocks
from checkpoint.index import PartIndex
from checkpoint.load import load_file, load_index
from checkpoint.manifest import Manifest
from checkpoint.names import DCP_METADATA, CheckpointId
from checkpoint.store import Store

READ_BYTES = 16 << 20
"""About so many are read at once."""


def verify(store: Store, manifest: Manifest) -> Iterator[DamagedError]:
    """Yield every damaged file: metadata, indexes, data. The manifest is good, or it could not have been read.

    Raises StoreError when the store fails.
    """
    for stage in manifest.stages:
        try:
            load_file(store, f"{manifest.id.stage(stage.stage)}/{DCP_METADATA}", stage.dcp)
        except DamagedError as error:
            yield error
        for receipt in stage.parts:
            try:
                index = load_index(store, manifest.id, stage.stage, receipt)
            except DamagedError as error:
                yield error
                continue
            yield from _verify_data(store, manifest.id, index)


def _verify_data(store: Store, id: CheckpointId, index: PartIndex) -> Iterator[DamagedError]:
    step = max(1, READ_BYTES // index.block_bytes)
    for number, file in enumerate(index.files):
        path = f"{id.stage(index.stage)}/{index.file_name(number)}"
        for first in range(0, len(file.blocks), step):
            try:
                read_blocks(store, path, index, number, first, min(len(file.blocks), first + step))
            except DamagedError as error:
                yield error
                break


def read_blocks(store: Store, path: str, index: PartIndex, number: int, first: int, stop: int) -> bytes:
    """Return blocks first .. stop - 1 of a data file once their hashes are right.

    Raises DamagedError, which names the tensors that are hit; StoreError.
    """
    file, size = index.files[number], index.block_bytes
    start, end = first * size, min(file.size, stop * size)
    try:
        data = store.read(path, start, end)
    except FileNotFoundError:
        raise DamagedError(path, "is missing") from None
    if len(data) != end - start:
        raise DamagedError(path, f"is shorter than the {file.size} bytes that were written")
    if wrong := wrong_blocks(data, first, size, file.blocks):
        hit = _tensors_in(index, number, wrong[0] * size, (wrong[0] + 1) * size)
        raise DamagedError(path, f"is damaged at bytes {wrong[0] * size} to {(wrong[0] + 1) * size - 1} ({hit})")
    return data


def _tensors_in(index: PartIndex, number: int, start: int, stop: int) -> str:
    names = [
        e.slice.name for e in index.entries if e.file == number and e.offset < stop and e.offset + e.length > start
    ]
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"{names[0]}{more}" if names else "no tensor"
