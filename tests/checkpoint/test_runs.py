"""Which blocks are read together, in which order, and how far ahead; by hand."""

from __future__ import annotations

import threading

import pytest

from checkpoint import runs
from checkpoint.index import DataFile, Entry, PartIndex
from checkpoint.runs import AHEAD, Run, RunAhead, Source
from checkpoint.slices import Slice

BLOCK = 10


def index(writer: str, *sizes: int) -> PartIndex:
    """Return a part whose files have these sizes, in blocks of 10 bytes."""
    files = tuple(DataFile(size, ("0a" * 32,) * -(-size // BLOCK)) for size in sizes)
    return PartIndex(0, 0, 1, writer, BLOCK, files, ())


def source(of: PartIndex, file: int, start: int, stop: int) -> Source:
    """Return bytes start .. stop - 1 of a file."""
    rows = Slice("t", "uint8", (1000,), (start,), (stop - start,))
    return Source(of, Entry(rows, file, start, stop - start, start), rows, start, stop)


def content(run: Run) -> bytes:
    """What a file has: every byte is its position."""
    return bytes(range(256))[run.first * BLOCK : run.stop * BLOCK]


class Reads:
    """Fetches runs, and remembers which."""

    def __init__(self) -> None:
        self.runs: list[tuple[str, int, int, int]] = []
        self._lock = threading.Lock()

    def __call__(self, run: Run) -> bytes:
        with self._lock:
            self.runs.append((run.index.writer, run.file, run.first, run.stop))
        return content(run)


ONE, TWO = index("one", 200, 200), index("two", 200)


def read(sources: list[Source]) -> list[tuple[str, int, int, int]]:
    """Read all sources in order, compare what comes, and return the runs that were fetched, in order of fetching."""
    reads = Reads()
    ahead = RunAhead(reads, sources)
    try:
        for one in sources:
            found = b"".join(bytes(piece) for piece in ahead.pieces(one))
            assert found == bytes(range(256))[one.start : one.stop]
    finally:
        ahead.close()
    return reads.runs


@pytest.mark.parametrize(
    ("wanted", "fetched"),
    [
        pytest.param([(3, 17)], [(0, 2)], id="whole blocks around the bytes"),
        pytest.param([(10, 20)], [(1, 2)], id="a block that is wanted as it is"),
        pytest.param([(0, 5), (5, 30)], [(0, 3)], id="two that touch in a block"),
        pytest.param([(0, 10), (10, 20)], [(0, 2)], id="neighbours are one run"),
        pytest.param([(0, 10), (20, 30)], [(0, 1), (2, 3)], id="what lies between is not read"),
        pytest.param([(20, 30), (0, 10)], [(0, 1), (2, 3)], id="in the order of the file, whatever is wanted first"),
        pytest.param([(0, 10), (0, 10)], [(0, 1)], id="nothing is read twice"),
        pytest.param([(5, 5)], [], id="nothing of nothing"),
    ],
)
def test_the_blocks_that_are_needed_are_read_once(
    wanted: list[tuple[int, int]], fetched: list[tuple[int, int]]
) -> None:
    found = read([source(ONE, 0, *ends) for ends in wanted])
    assert sorted(found) == [("one", 0, *ends) for ends in fetched]


def test_files_and_parts_are_read_apart_in_the_order_in_which_they_are_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "AHEAD", 1)
    # Blocks 0 and 1 of the first file are neighbours, so they come together.
    wanted = [source(TWO, 0, 0, 10), source(TWO, 0, 10, 20), source(ONE, 1, 0, 10), source(ONE, 0, 0, 10)]
    assert read(wanted) == [("two", 0, 0, 2), ("one", 1, 0, 1), ("one", 0, 0, 1)]


@pytest.mark.parametrize(
    ("most", "fetched"),
    [
        (30, [(0, 3), (3, 6), (6, 8)]),
        (39, [(0, 3), (3, 6), (6, 8)]),
        (1, [(i, i + 1) for i in range(8)]),
        (80, [(0, 8)]),
    ],
)
def test_a_run_is_bounded(most: int, fetched: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "RUN_BYTES", most)
    assert sorted(read([source(ONE, 0, 0, 80)])) == [("one", 0, *ends) for ends in fetched]


def test_a_source_comes_in_pieces_of_the_runs_that_it_lies_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "RUN_BYTES", 20)
    wanted = source(ONE, 0, 15, 47)
    ahead = RunAhead(Reads(), [wanted])
    # Runs are blocks 1 and 2 (bytes 10 to 29), 3 and 4 (30 to 49).
    assert [bytes(piece) for piece in ahead.pieces(wanted)] == [bytes(range(15, 30)), bytes(range(30, 47))]
    ahead.close()


def test_two_runs_are_read_ahead_and_one_behind_is_kept() -> None:
    wanted = [source(ONE, 0, at, at + 10) for at in range(0, 200, 20)]
    reads = Reads()
    ahead = RunAhead(reads, wanted)
    assert reads.runs == [], "nothing is read before something is used"
    kept = []
    for one in wanted:
        list(ahead.pieces(one))
        kept.append(sorted(ahead._futures))
    ahead.close()
    # Of ten runs: the one in use, AHEAD after it, and the one before it.
    assert AHEAD == 2
    assert kept[:3] == [[0, 1, 2], [0, 1, 2, 3], [1, 2, 3, 4]]
    assert kept[-3:] == [[6, 7, 8, 9], [7, 8, 9], [8, 9]]
    assert len(reads.runs) == 10


def test_what_goes_wrong_while_reading_reaches_whoever_uses_it() -> None:
    def broken(run: Run) -> bytes:
        raise OSError("no answer")

    wanted = source(ONE, 0, 0, 10)
    ahead = RunAhead(broken, [wanted])
    with pytest.raises(OSError, match="no answer"):
        list(ahead.pieces(wanted))
    ahead.close()
