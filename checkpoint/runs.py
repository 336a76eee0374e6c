"""Which blocks of which files are read together, and ahead of who uses them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from checkpoint.index import Entry, PartIndex
from checkpoint.slices import Slice

RUN_BYTES = 8 << 20
"""Most that is read in one request."""
AHEAD = 2
"""Runs that are read and verified ahead, each by a thread; one more, the last one, is kept."""


@dataclass(frozen=True)
class Source:
    """Where (part of) a wanted box lies."""

    index: PartIndex
    entry: Entry
    rows: Slice
    """Rows of the entry's box that the wanted part lies in; whole in every other dimension."""
    start: int
    """Bytes start .. stop - 1 of the entry's file are those rows."""
    stop: int


@dataclass(frozen=True)
class Run:
    """Neighbouring blocks of a file, read together."""

    index: PartIndex
    file: int
    first: int
    stop: int


class RunAhead:
    """Plans which blocks are read together, reads ahead, and keeps the last run, as the next box may begin in it.

    Args:
        fetch: reads and verifies a run.
        sources: all that will be asked for, in that order.
    """

    def __init__(self, fetch: Callable[[Run], bytes], sources: Sequence[Source]) -> None:
        self._fetch = fetch
        self._order = _plan(sources)
        self._at = {(id(run.index), run.file, block): i for i, run in enumerate(self._order) for block in _blocks(run)}
        self._threads = ThreadPoolExecutor(AHEAD, thread_name_prefix="restore")
        self._futures: dict[int, Future[bytes]] = {}

    def pieces(self, source: Source) -> Iterator[memoryview]:
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
                self._futures[one] = self._threads.submit(self._fetch, self._order[one])
        for old in [one for one in self._futures if not number - 1 <= one <= number + AHEAD]:
            del self._futures[old]
        return self._futures[number].result()


def _blocks(run: Run) -> range:
    return range(run.first, run.stop)


def _plan(sources: Sequence[Source]) -> list[Run]:
    """Needed blocks of every file, joined where they are neighbours, in the order in which files are first wanted."""
    needed: dict[tuple[int, int], tuple[PartIndex, set[int]]] = {}
    for source in sources:
        size, key = source.index.block_bytes, (id(source.index), source.entry.file)
        blocks = needed.setdefault(key, (source.index, set()))[1]
        blocks.update(range(source.start // size, -(-source.stop // size)))
    runs: list[Run] = []
    for (_, file), (index, wanted) in needed.items():
        most = max(1, RUN_BYTES // index.block_bytes)
        for block in sorted(wanted):
            last = runs[-1] if runs else None
            joins = last is not None and last.index is index and last.file == file and last.stop == block
            if joins and last is not None and block - last.first < most:
                runs[-1] = Run(index, file, last.first, block + 1)
            else:
                runs.append(Run(index, file, block, block + 1))
    return runs
