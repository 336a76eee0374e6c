"""What is kept and what goes: by number, by commit, by age; never the last good one, never what is being written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from checkpoint.catalogue import Found, State, catalogue
from checkpoint.manifest import Manifest
from checkpoint.names import CheckpointId
from checkpoint.retention import RetentionPolicy, clean_up, outdated
from checkpoint.store import Store
from tests.checkpoint.world import assert_newest_is_whole, save, write


def found(commit: int, state: State = State.GOOD, created: int = 0, history: int = 0) -> Found:
    """Return a checkpoint without files."""
    id = CheckpointId(history, commit)
    return Found(id, state, Manifest(id, "r", created, (), ""))


GOOD, BAD, OPEN = State.GOOD, State.DAMAGED, State.UNFINISHED
CASES = [
    (RetentionPolicy(last=2), [(10, GOOD), (20, GOOD), (30, GOOD)], [10]),
    (RetentionPolicy(last=0), [(10, GOOD), (20, GOOD)], [10]),
    (RetentionPolicy(last=1, every=20), [(10, GOOD), (20, GOOD), (30, GOOD), (40, GOOD), (50, GOOD)], [10, 30]),
    (RetentionPolicy(last=1, every=20, max_age_s=65), [(20, GOOD), (40, GOOD), (50, GOOD)], [20]),
    (RetentionPolicy(last=2), [(10, GOOD), (20, BAD), (30, GOOD)], [20]),
    (RetentionPolicy(last=1), [(10, GOOD), (20, BAD), (30, BAD)], []),
    (RetentionPolicy(last=1), [(10, BAD), (20, BAD)], []),
    (RetentionPolicy(last=1), [(10, GOOD), (20, OPEN), (30, GOOD)], [10]),
    (RetentionPolicy(last=1), [], []),
]


@pytest.mark.parametrize(("policy", "there", "goes"), CASES)
def test_what_goes(policy: RetentionPolicy, there: list[tuple[int, State]], goes: list[int]) -> None:
    everything = [found(commit, state, created=commit) for commit, state in there]
    assert sorted(id.commit for id in outdated(everything, policy, now=100.0)) == goes
    assert sorted(id.commit for id in outdated(everything[::-1], policy, now=100.0)) == goes


def test_a_later_history_is_newer_whatever_its_commit() -> None:
    there = [found(50), found(20, history=1)]
    assert outdated(there, RetentionPolicy(last=1), 0.0) == [CheckpointId(0, 50)]


def test_leftovers_go_unless_somebody_may_be_writing_them(tmp_path: Path) -> None:
    store, policy = Store.open(str(tmp_path)), RetentionPolicy(last=5, grace_s=60.0)
    old, busy, recent, newest, later = (CheckpointId(0, commit) for commit in (1, 2, 3, 4, 5))
    for id in (old, busy, recent, later):
        write(store, id, 0, 0, "w")
    save(store, newest)
    for id in (old, busy, later):
        for path in (tmp_path / id.folder).rglob("*"):
            os.utime(path, (0, 0))
    removal = clean_up(store, policy, now=0.0, busy=[busy])
    assert (removal.removed, removal.swept, removal.kept_back) == ((), (old,), ())
    assert [one.id for one in catalogue(store)] == [later, newest, recent, busy]
    assert not (tmp_path / old.folder).exists()


def test_a_checkpoint_that_is_being_read_stays(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path))
    first, second = CheckpointId(0, 1), CheckpointId(0, 2)
    save(store, first)
    save(store, second)
    assert clean_up(store, RetentionPolicy(last=1), 0.0, busy=[first]).removed == ()
    assert clean_up(store, RetentionPolicy(last=1), 0.0).removed == (first,)
    assert assert_newest_is_whole(store) == second


def test_damage_inside_files_counts_when_every_byte_is_read(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path))
    first, second = CheckpointId(0, 1), CheckpointId(0, 2)
    save(store, first)
    manifest = save(store, second)
    part = manifest.stages[0].parts[0]
    path = tmp_path / second.stage(0) / f"p0000-{part.writer}-00000.distcp"
    data = bytearray(path.read_bytes())
    data[50] ^= 1
    path.write_bytes(data)
    assert clean_up(store, RetentionPolicy(last=1), 0.0, deep=True).removed == ()
    assert {one.id for one in catalogue(store)} == {first, second}
