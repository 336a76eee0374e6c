"""Reads boxes of tensors from a checkpoint: only the blocks that hold them, each verified before it is used.

Nothing is unpickled. What is wanted may lie in any number of entries, files, parts and stages, so every layout reads
what every other has written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from checkpoint.entry import empty, fill
from checkpoint.errors import IncompatibleError
from checkpoint.index import Entry, PartIndex
from checkpoint.load import load_index
from checkpoint.manifest import Manifest
from checkpoint.runs import Run, RunAhead, Source
from checkpoint.slices import DTYPE_BYTES, Slice, SliceLike, gap, narrow
from checkpoint.store import Store
from checkpoint.verify import read_blocks

if TYPE_CHECKING:
    from torch import Tensor


class Reader:
    """Reads from one checkpoint.

    Args:
        store: where it is.
        manifest: which one.
        stages: whose indexes to read; None for all. On the layout that wrote it, one's own is enough.

    Raises DamagedError when an index is not as it was written, StoreError.
    """

    def __init__(self, store: Store, manifest: Manifest, stages: Iterable[int] | None = None) -> None:
        self._store, self._manifest = store, manifest
        self._read: list[int] = []
        self._entries: dict[str, list[tuple[PartIndex, Entry]]] = {}
        wanted = None if stages is None else set(stages)
        for stage in manifest.stages:
            if wanted is None or stage.stage in wanted:
                for receipt in stage.parts:
                    index = load_index(store, manifest.id, stage.stage, receipt)
                    for entry in index.entries:
                        self._entries.setdefault(entry.slice.name, []).append((index, entry))

    def names(self) -> frozenset[str]:
        """Return the names of all tensors of these stages."""
        return frozenset(self._entries)

    def read(self, wanted: Sequence[SliceLike]) -> Iterator[tuple[Slice, Tensor]]:
        """Yield each wanted box with its values, one at a time, shape box.sizes on the CPU.

        At most AHEAD + 2 runs are in memory. In the order of writing, nothing is read twice.

        Raises:
            IncompatibleError: before anything is read, when a tensor is missing or has another type or shape.
            DamagedError: when a block is not as it was written; it names file, bytes and tensor.
            StoreError: the store fails.
        """
        boxes = [Slice.of(one) for one in wanted]
        sources = [self._sources(box) for box in boxes]
        runs = RunAhead(self._fetch, [source for found in sources for source in found])
        try:
            for box, found in zip(boxes, sources, strict=True):
                values = empty(box)
                for source in found:
                    part = source.rows.overlap(box)
                    assert part is not None
                    target = narrow(values, box, part)
                    if source.rows == part and target.is_contiguous():
                        fill(target, runs.pieces(source))
                    else:
                        rows = empty(source.rows)
                        fill(rows, runs.pieces(source))
                        target.copy_(narrow(rows, source.rows, part))
                yield box, values
        finally:
            runs.close()

    @property
    def bytes_read(self) -> int:
        """Of data files, so far."""
        return sum(self._read)

    def _fetch(self, run: Run) -> bytes:
        path = f"{self._manifest.id.stage(run.index.stage)}/{run.index.file_name(run.file)}"
        data = read_blocks(self._store, path, run.index, run.file, run.first, run.stop)
        self._read.append(len(data))
        return data

    def _sources(self, box: Slice) -> list[Source]:
        entries = self._entries.get(box.name, [])
        if not entries:
            raise IncompatibleError(f"checkpoint {self._manifest.id.folder} has no tensor {box.name!r}.")
        held = entries[0][1].slice
        if (held.dtype, held.shape) != (box.dtype, box.shape):
            raise IncompatibleError(
                f"tensor {box.name!r} is {held.dtype} of {held.shape} in checkpoint {self._manifest.id.folder}, "
                f"and {box.dtype} of {box.shape} is wanted."
            )
        touching = [(index, entry) for index, entry in entries if entry.slice.overlap(box)]
        if wrong := gap([entry.slice for _, entry in touching], box):
            raise IncompatibleError(f"checkpoint {self._manifest.id.folder} {wrong}.")
        return [_source(index, entry, box) for index, entry in touching]


def _source(index: PartIndex, entry: Entry, box: Slice) -> Source:
    part = entry.slice.overlap(box)
    assert part is not None
    first = part.offsets[0] - entry.slice.offsets[0] if part.sizes else 0
    rows = entry.slice.take_rows(first, first + part.rows)
    row = entry.slice.nbytes // entry.slice.rows
    return Source(index, entry, rows, entry.payload + first * row, entry.payload + (first + part.rows) * row)


def bytes_needed(wanted: Iterable[SliceLike]) -> int:
    """Return the bytes of the boxes themselves, to compare `Reader.bytes_read` with."""
    return sum(Slice.of(one).elements * DTYPE_BYTES[one.dtype] for one in wanted)
