"""States on its disk and in the checkpoint store: when they are written, read, and dropped."""

from __future__ import annotations

from typing import Any

import pytest

from actors.steps.archive import Archive
from actors.steps.context import Context
from actors.steps.effects import DropState, FetchCheckpoint, KeepState, RestoreState
from actors.steps.events import FetchFailed
from tests.steps.parts import STEP, clear, context, notes, wanted

RETURNED = {"returns": ((17, 2),)}
"""The run returned from step 17 to commit 2: commits 3 to 17 of era 0 are given up."""


def archive(held: int = -1, **changes: Any) -> tuple[Context, Archive]:
    one = context("s0a", **changes)
    one.held = held
    return one, Archive(one)


@pytest.mark.parametrize(
    ("every", "first", "written"),
    [
        (3, 0, [0, 3, 6, 9]),
        (4, 0, [0, 4, 8]),
        (3, 5, [5, 6, 9]),  # the commit that the run begins with, too
        (0, 0, []),
        (1, 0, list(range(10))),
    ],
)
def test_a_state_is_written_every_so_many_commits(every: int, first: int, written: list[int]) -> None:
    one, made = archive(keep_every=every, first=first)
    for commit in range(first, 10):
        one.held = commit
        made.keep()
        made.keep()
    assert wanted(one, KeepState) == [KeepState(0, commit) for commit in written]


def test_a_state_is_written_under_the_era_that_made_it_and_not_twice() -> None:
    one, made = archive(decided=RETURNED, keep_every=1)
    one.kept = frozenset({(0, 2), (0, 4)})
    for commit in (1, 2, 3, 4):
        one.held = commit
        made.keep()
    assert wanted(one, KeepState) == [KeepState(0, 1), KeepState(1, 3), KeepState(1, 4)], "4 of era 0 does not count"


def test_the_very_state_that_the_step_needs_is_restored() -> None:
    one, made = archive()
    one.kept = frozenset({(0, STEP), (0, 2)})
    assert made.restore()
    assert wanted(one, RestoreState) == [RestoreState(0, STEP)]
    assert one.restoring and one.waits.next_deadline() == 12.0
    assert made.restore()
    assert len(wanted(one, RestoreState)) == 1, "it is on its way"
    made.restored(STEP, "hash")
    assert (one.held, one.parameter_hash, one.restoring) == (STEP, "hash", False)
    assert one.waits.next_deadline() is None and notes(one) == ["restored"]


@pytest.mark.parametrize(
    ("kept", "decided"),
    [
        ({(0, 2), (0, 4)}, {}),
        ({(0, STEP)}, RETURNED),  # of the era that was given up
        ({(0, 0)}, {"step": 0}),  # commit 0 is what every shard begins with
        (set(), {}),
        ({(0, 4)}, {"source": (0, 4)}),  # a checkpoint of another commit
    ],
)
def test_no_other_state_is_restored(kept: set[tuple[int, int]], decided: dict[str, Any]) -> None:
    one, made = archive(decided=decided)
    one.kept = frozenset(kept)
    assert not made.restore()
    assert one.out == [] and not one.restoring and one.waits.next_deadline() is None


def test_a_state_of_the_newest_era_is_restored_as_of_that_era() -> None:
    one, made = archive(decided=RETURNED)
    one.kept = frozenset({(0, STEP), (1, STEP)})
    assert made.restore()
    assert wanted(one, RestoreState) == [RestoreState(1, STEP)]


@pytest.mark.parametrize(
    ("setup", "source", "fetched"),
    [
        ({"first": STEP, "resumed": 2}, (-1, -1), FetchCheckpoint(2, STEP, True)),  # the run begins with it
        ({"first": 1, "resumed": 2}, (4, STEP), FetchCheckpoint(4, STEP, False)),  # the run returned to it
        ({"first": 1, "resumed": 2}, (-1, -1), None),
        ({"first": STEP, "resumed": -1}, (-1, -1), None),
        ({"first": STEP, "resumed": 0}, (4, 2), FetchCheckpoint(0, STEP, True)),
    ],
)
def test_what_is_not_on_the_disk_comes_from_the_store_if_the_step_was_taken_up_from_there(
    setup: dict[str, int], source: tuple[int, int], fetched: FetchCheckpoint | None
) -> None:
    one, made = archive(decided={"source": source}, **setup)
    assert made.restore() is (fetched is not None)
    assert wanted(one, FetchCheckpoint) == ([fetched] if fetched else [])


def test_the_disk_goes_before_the_store() -> None:
    one, made = archive(first=STEP, resumed=2)
    one.kept = frozenset({(0, STEP)})
    assert made.restore()
    assert wanted(one, FetchCheckpoint) == [] and len(wanted(one, RestoreState)) == 1


def test_a_stage_may_take_180_floors_to_come_from_the_store() -> None:
    """360 s at two seconds."""
    one, made = archive(first=STEP, resumed=2)
    one.now = 10.0
    made.restore()
    assert one.waits.next_deadline() == 370.0
    made.restored(STEP, "hash")
    assert one.waits.next_deadline() is None and one.held == STEP


def test_a_checkpoint_that_cannot_be_used_is_not_tried_again_and_others_are_told_why() -> None:
    one, made = archive(first=STEP, resumed=2)
    made.restore()
    made.fetch_failed(FetchFailed(2, STEP, "x" * 500))
    assert one.unusable == {(2, STEP): "x" * 400}
    assert not one.restoring and one.waits.next_deadline() is None and notes(one) == ["damaged"]
    clear(one)
    assert not made.restore()
    assert one.out == []


def test_a_state_that_was_not_asked_for_is_not_held() -> None:
    one, made = archive()
    made.restored(STEP, "hash")
    assert (one.held, one.parameter_hash) == (-1, "parameters") and notes(one) == []


def test_what_could_not_be_read_from_the_disk_comes_from_elsewhere() -> None:
    one, made = archive()
    one.kept = frozenset({(0, STEP), (0, 2)})
    made.restore()
    made.kept(frozenset({(0, STEP)}))
    assert one.restoring, "it is there still"
    made.kept(frozenset({(0, 2)}))
    assert not one.restoring and one.waits.next_deadline() is None
    assert one.kept == {(0, 2)}


def test_what_comes_from_the_store_does_not_depend_on_the_disk() -> None:
    one, made = archive(first=STEP, resumed=2)
    made.restore()
    made.kept(frozenset())
    assert one.restoring and one.waits.next_deadline() == 360.0


def test_a_load_from_a_replica_is_none_of_the_disks_business() -> None:
    one, made = archive()
    one.waits.start(0.0, ("load",), "load", "")
    made.kept(frozenset())
    assert one.waits.waiting(("load",))


def test_states_of_eras_that_were_given_up_are_dropped_once() -> None:
    """An era that is not known here yet may count."""
    one, made = archive(decided=RETURNED)
    made.kept(frozenset({(0, 1), (0, 2), (0, 3), (0, 9), (1, 3), (1, 2), (2, 9)}))
    assert wanted(one, DropState) == [DropState(0, 3), DropState(0, 9), DropState(1, 2)]
    made.tidy()
    made.kept(one.kept)
    assert len(wanted(one, DropState)) == 3


def test_new_shards_are_asked_again() -> None:
    one, made = archive(held=STEP, keep_every=3)
    made.keep()
    made.restore()
    made.lost()
    made.keep()
    assert wanted(one, KeepState) == [KeepState(0, STEP)] * 2
    other, fetching = archive(first=STEP, resumed=2)
    fetching.restore()
    fetching.lost()
    assert not other.restoring and other.waits.next_deadline() is None


def test_what_is_kept_of_another_stage_is_of_no_use() -> None:
    one, made = archive()
    one.kept = frozenset({(0, STEP)})
    made.restore()
    made.moved()
    assert one.kept == frozenset() and not one.restoring
    assert not made.restore()
