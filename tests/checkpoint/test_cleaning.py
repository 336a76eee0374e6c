"""Which checkpoints stay and in which order others go, worked out by hand."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from checkpoint.catalogue import Found, State, catalogue
from checkpoint.manifest import Manifest
from checkpoint.names import CheckpointId
from checkpoint.retention import Removal, RetentionPolicy, clean_up, outdated
from checkpoint.store import FileInfo, Store
from tests.checkpoint.world import save, write

GOOD, BAD, OPEN = State.GOOD, State.DAMAGED, State.UNFINISHED


def found(commit: int, state: State = GOOD, history: int = 0, created: int = 0) -> Found:
    """Return a checkpoint without files."""
    id = CheckpointId(history, commit)
    return Found(id, state, Manifest(id, "r", created, (), ""))


def goes(policy: RetentionPolicy, there: list[Found], now: float = 0.0) -> list[tuple[int, int]]:
    """History and commit of those that go, the newest first."""
    return [(id.history, id.commit) for id in outdated(there, policy, now)]


TENS = [found(commit) for commit in range(10, 71, 10)]


@pytest.mark.parametrize(
    ("last", "every", "kept"),
    [
        (1, 0, [70]),
        (3, 0, [50, 60, 70]),
        (7, 0, [10, 20, 30, 40, 50, 60, 70]),
        (99, 0, [10, 20, 30, 40, 50, 60, 70]),
        (0, 0, [70]),
        (-2, 0, [70]),
        (1, 20, [20, 40, 60, 70]),
        (2, 30, [30, 60, 70]),
        (1, 1, [10, 20, 30, 40, 50, 60, 70]),
        (1, 1000, [70]),
    ],
)
def test_the_last_and_the_multiples_stay(last: int, every: int, kept: list[int]) -> None:
    gone = [commit for _, commit in goes(RetentionPolicy(last=last, every=every), TENS)]
    assert gone == [commit for commit in range(70, 9, -10) if commit not in kept]


@pytest.mark.parametrize(
    ("age", "kept"),
    [(0.0, [20, 40, 60, 70]), (79.0, [40, 60, 70]), (80.0, [20, 40, 60, 70]), (39.0, [70]), (40.0, [60, 70])],
)
def test_multiples_go_when_they_are_older_than_their_age(age: float, kept: list[int]) -> None:
    there = [found(commit, created=commit) for commit in range(10, 71, 10)]  # at 100, commit 20 is 80 seconds old
    gone = [commit for _, commit in goes(RetentionPolicy(last=1, every=20, max_age_s=age), there, now=100.0)]
    assert gone == [commit for commit in range(70, 9, -10) if commit not in kept]


def test_the_last_stay_however_old_they_are() -> None:
    assert goes(RetentionPolicy(last=2, every=1, max_age_s=1.0), TENS[:2], now=1e9) == []


def test_histories_are_older_and_newer_not_commits() -> None:
    there = [found(90), found(100), found(20, history=1), found(40, history=1), found(5, history=2)]
    assert goes(RetentionPolicy(last=2), there) == [(1, 20), (0, 100), (0, 90)]
    assert goes(RetentionPolicy(last=1, every=20), there) == [(0, 90)]


@pytest.mark.parametrize(
    ("there", "gone"),
    [
        pytest.param([found(10), found(20, BAD), found(30)], [(0, 20)], id="a damaged one does not count as kept"),
        pytest.param([found(10), found(20), found(30, BAD)], [], id="one newer than the newest good stays to be seen"),
        pytest.param([found(10, BAD), found(20)], [(0, 10)], id="an older damaged one goes"),
        pytest.param(
            [found(10, OPEN), found(20), found(30), found(40)], [(0, 20)], id="an unfinished one is no checkpoint"
        ),
        pytest.param([found(10, BAD), found(20, BAD)], [], id="where none is good all stay"),
    ],
)
def test_only_good_ones_count(there: list[Found], gone: list[tuple[int, int]]) -> None:
    assert goes(RetentionPolicy(last=2), there) == gone


def test_a_damaged_multiple_is_not_kept() -> None:
    there = [found(20, BAD), found(30), found(40)]
    assert goes(RetentionPolicy(last=1, every=10), there) == [(0, 20)]


def test_the_usual_policy() -> None:
    usual = RetentionPolicy()
    assert (usual.last, usual.every, usual.max_age_s, usual.grace_s) == (3, 0, 0.0, 3600.0)


class Slow(Store):
    """Remembers what was deleted, in order; its files were changed when they are said to have been."""

    log: tuple[str, ...] = ()
    clock: float | None = 1000.0

    def delete(self, paths: object) -> None:
        """Delete and remember."""
        listed = sorted(paths)  # type: ignore[call-overload]
        self.log += tuple(listed)
        super().delete(listed)

    def info(self, path: str) -> FileInfo | None:
        """The manifest's time is the one of the clock."""
        known = super().info(path)
        return None if known is None else FileInfo(known.size, self.clock)


@pytest.fixture
def store(tmp_path: Path) -> Slow:
    """An empty store."""
    opened = Slow.open(str(tmp_path))
    assert isinstance(opened, Slow)
    return opened


FIRST, SECOND, THIRD = CheckpointId(0, 1), CheckpointId(0, 2), CheckpointId(0, 3)


def test_the_manifest_goes_first_and_then_everything_else(store: Slow, tmp_path: Path) -> None:
    save(store, FIRST)
    save(store, SECOND)
    assert clean_up(store, RetentionPolicy(last=1), 0.0) == Removal((FIRST,), (), ())
    assert store.log[0] == FIRST.manifest and len(store.log) > 8
    assert all(path.startswith(FIRST.folder) for path in store.log)
    assert not (tmp_path / FIRST.folder).exists()


def leftover(store: Store, folder: Path, id: CheckpointId, modified: float) -> None:
    """Write one part of a checkpoint, last changed at a time."""
    write(store, id, 0, 0, "w")
    for path in (folder / id.folder).rglob("*.*"):
        os.utime(path, (modified, modified))


@pytest.mark.parametrize(
    ("modified", "swept"),
    [(939.0, True), (940.0, False), (999.0, False), (2000.0, False)],
    ids=["61 s before", "60 s before", "1 s before", "after"],
)
def test_a_leftover_goes_when_it_has_rested_for_longer_than_the_grace(
    store: Slow, tmp_path: Path, modified: float, swept: bool
) -> None:
    leftover(store, tmp_path, FIRST, modified)
    save(store, SECOND)
    removal = clean_up(store, RetentionPolicy(last=1, grace_s=60.0), now=0.0)
    assert removal == Removal((), (FIRST,) if swept else (), ())
    assert (tmp_path / FIRST.folder).exists() is not swept


def test_one_file_that_was_touched_keeps_a_leftover(store: Slow, tmp_path: Path) -> None:
    leftover(store, tmp_path, FIRST, 0.0)
    os.utime(sorted((tmp_path / FIRST.folder).rglob("*.*"))[0], (990.0, 990.0))
    save(store, SECOND)
    assert clean_up(store, RetentionPolicy(grace_s=60.0), now=0.0).swept == ()


def test_leftovers_stay_where_they_are_newer_busy_or_times_are_unknown(store: Slow, tmp_path: Path) -> None:
    for id in (FIRST, THIRD):
        leftover(store, tmp_path, id, 0.0)
    assert clean_up(store, RetentionPolicy(grace_s=60.0), now=0.0).swept == (), "there is no good one yet"
    save(store, SECOND)
    assert clean_up(store, RetentionPolicy(grace_s=60.0), now=0.0, busy=[FIRST]).swept == ()
    store.clock = None
    assert clean_up(store, RetentionPolicy(grace_s=60.0), now=0.0).swept == ()
    store.clock = 1000.0
    assert clean_up(store, RetentionPolicy(grace_s=60.0), now=0.0).swept == (FIRST,)
    assert [(one.id, one.state) for one in catalogue(store)] == [(THIRD, OPEN), (SECOND, GOOD)]


def test_what_is_busy_stays_also_when_others_go(store: Slow) -> None:
    for id in (FIRST, SECOND, THIRD):
        save(store, id)
    assert clean_up(store, RetentionPolicy(last=1), 0.0, busy=[SECOND]).removed == (FIRST,)
