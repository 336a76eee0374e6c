"""Reads boxes of tensors from a checkpoint: only the blocks that hold them, each verified before it is used.

Nothing is unpickled. What is wanted may lie in any number of entries, files, parts and stages, so every layout reads
what every other has written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from checkpoint.entry import empty, fill
from checkpoint.errors import IncompatibleError
from checkpoint.index import Entry, PartIndex
from checkpoint.load import load_index
from checkpoint.manifest import Manifest
from checkpoint.slices import DTYPE_BYTES, Slice, SliceLike, gap, narrow
from checkpoint.store import Store
from checkpoint.verify import read_blocks

if TYPE_CHECKING:
    from torch import Tensor

RUN_BYTES = 8 << 20
"""Most that is read in one request."""
AHEAD = 2
"""Runs that are read and verified ahead, each by a thread; one more, the last one, is kept."""


@dataclass(frozen=True)
class _Source:
    """Where (part of) a wanted box lies."""

    index: PartIndex
    entry: Entry
    rows: Slice
    """Rows of the entry's box that the wanted part lies in; whole in every other dimension."""
    start: int
    """Bytes start .. stop - 1 of the entry's file are those rows."""
    stop: int


@dataclass(frozen=True)
class _Run:
    """Neighbouring blocks of a file, read together."""

    index: PartIndex
    file: int
    first: int
    stop: int


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
        runs = _Runs(self, [source for found in sources for source in found])
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

    def fetch(self, run: _Run) -> bytes:
        """Return a run's bytes, verified."""
        path = f"{self._manifest.id.stage(run.index.stage)}/{run.index.file_name(run.file)}"
        data = read_blocks(self._store, path, run.index, run.file, run.first, run.stop)
        self._read.append(len(data))
        return data

    @property
    def bytes_read(self) -> int:
        """Of data files, so far."""
        return sum(self._read)

    def _sources(self, box: Slice) -> list[_Source]:
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


def _source(index: PartIndex, entry: Entry, box: Slice) -> _Source:
    part = entry.slice.overlap(box)
    assert part is not None
    first = part.offsets[0] - entry.slice.offsets[0] if part.sizes else 0
    rows = entry.slice.take_rows(first, first + part.rows)
    row = entry.slice.nbytes // entry.slice.rows
    return _Source(index, entry, rows, entry.payload + first * row, entry.payload + (first + part.rows) * row)


class _Runs:
    """Plans which blocks are read together, reads ahead, and keeps the last run, as the next box may begin in it."""

    def __init__(self, reader: Reader, sources: Sequence[_Source]) -> None:
        self._reader = reader
        self._order = _plan(sources)
        self._at = {(id(run.index), run.file, block): i for i, run in enumerate(self._order) for block in _blocks(run)}
        self._threads = ThreadPoolExecutor(AHEAD, thread_name_prefix="restore")
        self._futures: dict[int, Future[bytes]] = {}

    def pieces(self, source: _Source) -> Iterator[memoryview]:
        """Yield the bytes of a source's rows."""
        size, file, at = source.index.block_bytes, source.entry.file, source.start
        while at < source.stop:
            number = self._at[id(source.index), file, at // size]
            start = at - self._order[number].first * size
            piece = memoryview(self._get(number))[start : start + source.stop - at]
            yield piece
            at += len(piece)

    def close(self) -> None:
        """Stop reading ahead."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _get(self, number: int) -> bytes:
        for one in range(number, min(len(self._order), number + 1 + AHEAD)):
            if one not in self._futures:
                self._futures[one] = self._threads.submit(self._reader.fetch, self._order[one])
        for old in [one for one in self._futures if not number - 1 <= one <= number + AHEAD]:
            del self._futures[old]
        return self._futures[number].result()


def _blocks(run: _Run) -> range:
    return range(run.first, run.stop)


def _plan(sources: Sequence[_Source]) -> list[_Run]:
    """Needed blocks of every file, joined where they are neighbours, in the order in which files are first wanted."""
    needed: dict[tuple[int, int], tuple[PartIndex, set[int]]] = {}
    for source in sources:
        size, key = source.index.block_bytes, (id(source.index), source.entry.file)
        blocks = needed.setdefault(key, (source.index, set()))[1]
        blocks.update(range(source.start // size, -(-source.stop // size)))
    runs: list[_Run] = []
    for (_, file), (index, wanted) in needed.items():
        most = max(1, RUN_BYTES // index.block_bytes)
        for block in sorted(wanted):
            last = runs[-1] if runs else None
            joins = last is not None and last.index is index and last.file == file and last.stop == block
            if joins and last is not None and block - last.first < most:
                runs[-1] = _Run(index, file, last.first, block + 1)
            else:
                runs.append(_Run(index, file, block, block + 1))
    return runs


def bytes_needed(wanted: Iterable[SliceLike]) -> int:
    """Return the bytes of the boxes themselves, to compare `Reader.bytes_read` with."""
    return sum(Slice.of(one).elements * DTYPE_BYTES[one.dtype] for one in wanted)
