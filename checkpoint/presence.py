"""Whether the files of a checkpoint are there, by one listing and without reading them."""

from __future__ import annotations

from checkpoint.manifest import Manifest
from checkpoint.names import DCP_METADATA, data_file
from checkpoint.receipts import PartReceipt
from checkpoint.store import FileInfo, Store


def missing_files(store: Store, manifest: Manifest) -> list[str]:
    """Return a sentence for every file that is missing or has another size; empty when all are there.

    Sizes of data files are compared in sum for each part, as each one's is in the index. Raises StoreError.
    """
    found = store.files(manifest.id.folder)
    wrong = []
    for stage in manifest.stages:
        folder = manifest.id.stage(stage.stage)
        small = {DCP_METADATA: stage.dcp.size} | {part.index_file: part.index.size for part in stage.parts}
        wrong += [_small(f"{folder}/{name}", size, found) for name, size in small.items()]
        wrong += [_data(folder, part, found) for part in stage.parts]
    return [sentence for sentence in wrong if sentence]


def _small(path: str, size: int, found: dict[str, FileInfo]) -> str:
    if path not in found:
        return f"{path} is missing."
    return "" if found[path].size == size else f"{path} has {found[path].size} bytes instead of {size}."


def _data(folder: str, part: PartReceipt, found: dict[str, FileInfo]) -> str:
    paths = [f"{folder}/{data_file(part.part, part.writer, number)}" for number in range(part.files)]
    for path in paths:
        if path not in found:
            return f"{path} is missing."
    size = sum(found[path].size for path in paths)
    if size == part.data_bytes:
        return ""
    return f"the data files of part {part.part} in {folder} have {size} bytes instead of {part.data_bytes}."
