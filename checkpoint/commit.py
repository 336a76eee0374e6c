"""From parts to a checkpoint: seal every stage, then write the manifest.

Who does it is the caller's matter; doing it twice, or in two places at once, does no harm, as both write manifests of
files that are there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from checkpoint.dcp import dcp_metadata
from checkpoint.errors import CheckpointError, IncompleteError, StoreError
from checkpoint.hashing import digest
from checkpoint.index import PartIndex
from checkpoint.load import load_file, load_index, load_manifest
from checkpoint.manifest import Manifest
from checkpoint.names import DCP_METADATA, CheckpointId
from checkpoint.presence import missing_files
from checkpoint.receipts import FileRecord, PartReceipt, StageReceipt
from checkpoint.slices import Slice, SliceLike, gap
from checkpoint.store import Store


def seal_stage(
    store: Store, id: CheckpointId, stage: int, parts: Sequence[PartReceipt], inventory: Iterable[SliceLike]
) -> StageReceipt:
    """Check that the parts hold the inventory exactly once, write the stage's metadata for torch, return the receipt.

    Reads the parts' indexes, not their data. Where a part was written by several, any one receipt of it will do.

    Raises:
        IncompleteError: parts are missing, or they do not hold what they should.
        DamagedError: an index in the store is not the one of the receipt.
        StoreError: the store fails.
    """
    ordered = tuple(sorted({receipt.part: receipt for receipt in parts}.values(), key=lambda one: one.part))
    counts = {receipt.parts for receipt in ordered}
    if len(counts) != 1 or [one.part for one in ordered] != list(range(counts.pop() if counts else 0)):
        raise IncompleteError(f"stage {stage} of checkpoint {id.folder} does not have all its parts.")
    indexes = [load_index(store, id, stage, receipt) for receipt in ordered]
    boxes = [Slice.of(one) for one in inventory]
    _check_cover(f"stage {stage} of checkpoint {id.folder}", boxes, indexes)
    data = dcp_metadata(indexes)
    path = f"{id.stage(stage)}/{DCP_METADATA}"
    if not store.exists(id.manifest):  # a complete checkpoint's file stays as its manifest names it
        store.put(path, data)
    names = {box.name for box in boxes}
    size = sum(box.nbytes for box in boxes)
    return StageReceipt(stage, len(names), size, FileRecord(len(data), digest(data)), ordered)


def _check_cover(where: str, inventory: Sequence[Slice], indexes: Sequence[PartIndex]) -> None:
    held: dict[str, list[Slice]] = {}
    for index in indexes:
        for entry in index.entries:
            held.setdefault(entry.slice.name, []).append(entry.slice)
    for box in inventory:
        found = held.get(box.name, [])
        if any((one.dtype, one.shape) != (box.dtype, box.shape) for one in found) or not found:
            raise IncompleteError(f"{where} lacks {box.name!r}, or has it of another type or shape.")
        if wrong := gap(found, box):
            raise IncompleteError(f"{where} {wrong}.")
    if unknown := sorted(set(held) - {box.name for box in inventory}):
        raise IncompleteError(f"{where} holds {unknown[0]!r}, which is not the stage's.")


def commit(store: Store, manifest: Manifest) -> Manifest:
    """Write the manifest, which makes the checkpoint exist, and return the one that is there.

    Looks first whether all files are there, of the right sizes, and reads the manifest back. Where a good manifest is
    there already, that one is returned and nothing is written.

    Raises:
        IncompleteError: files are missing.
        DamagedError: a stage was sealed again with other receipts; seal it once more, and commit that.
        CheckpointError: the manifest is there, and of another state.
        StoreError: the store fails, or does not keep what it took.
    """
    there = _existing(store, manifest.id)
    if there is None:
        if wrong := missing_files(store, manifest):
            raise IncompleteError(f"checkpoint {manifest.id.folder} is not committed: {wrong[0]}")
        for stage in manifest.stages:  # two may have sealed it with different receipts: the file is the last one's
            load_file(store, f"{manifest.id.stage(stage.stage)}/{DCP_METADATA}", stage.dcp)
        data = manifest.to_bytes()
        store.put(manifest.id.manifest, data)
        there = _existing(store, manifest.id)
        if there is None:
            raise StoreError(f"{manifest.id.manifest} was written, and the store does not have it.")
    if (there.run, there.id) != (manifest.run, manifest.id):
        raise CheckpointError(f"checkpoint {manifest.id.folder} is of run {there.run!r}, not of {manifest.run!r}.")
    return there


def _existing(store: Store, id: CheckpointId) -> Manifest | None:
    """The manifest, if there is a good one."""
    try:
        return load_manifest(store, id)
    except StoreError:
        raise
    except CheckpointError:
        return None
