"""What is in a store: in which order, what each folder is, and which checkpoint is taken."""

from __future__ import annotations

from pathlib import Path

import pytest

from checkpoint.catalogue import State, catalogue, checkpoint_ids, inspect, newest_good, next_history
from checkpoint.errors import NoCheckpointError
from checkpoint.names import CheckpointId
from checkpoint.store import Store
from tests.checkpoint.world import save, write

IDS = [CheckpointId(0, 20), CheckpointId(0, 100), CheckpointId(1, 15), CheckpointId(2, 1)]
FIRST, SECOND, THIRD, LAST = IDS


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Four good checkpoints in three histories."""
    made = Store.open(str(tmp_path))
    for id in IDS:
        save(made, id)
    return made


def damage(folder: Path, id: CheckpointId) -> None:
    """Turn the last bit of a data file."""
    path = sorted((folder / id.folder).rglob("*.distcp"))[0]
    path.write_bytes(path.read_bytes()[:-1] + bytes([path.read_bytes()[-1] ^ 1]))


def test_the_newest_come_first_and_history_counts_before_commit(store: Store) -> None:
    assert checkpoint_ids(store) == [LAST, THIRD, SECOND, FIRST]
    assert [one.id for one in catalogue(store)] == [LAST, THIRD, SECOND, FIRST]
    assert newest_good(store)[0].id == LAST


def test_the_next_history_is_above_every_folder_also_unfinished_ones(store: Store, tmp_path: Path) -> None:
    assert next_history(Store.open(str(tmp_path / "nothing"))) == 0
    assert next_history(store) == 3
    write(store, CheckpointId(7, 0), 0, 0, "w")
    assert next_history(store) == 8


def test_a_folder_is_good_damaged_or_unfinished(store: Store, tmp_path: Path) -> None:
    (tmp_path / THIRD.manifest).unlink()
    sorted((tmp_path / SECOND.folder).rglob("*.distcp"))[0].unlink()
    (tmp_path / FIRST.manifest).write_text("{}")
    newest, third, second, first = catalogue(store)
    assert (newest.state, newest.problems) == (State.GOOD, ()) and newest.manifest is not None
    assert (third.state, third.manifest) == (State.UNFINISHED, None)
    assert third.problems == (f"checkpoint {THIRD.folder} has no manifest: it was never completed.",)
    assert second.state is State.DAMAGED and second.manifest is not None, "its manifest is right, its files are not"
    assert len(second.problems) == 1 and second.problems[0].endswith(".distcp is missing.")
    assert (first.state, first.manifest) == (State.DAMAGED, None)
    assert first.problems[0].startswith(f"{FIRST.manifest} is malformed")


def test_bytes_are_read_when_that_is_asked_for_and_only_then(store: Store, tmp_path: Path) -> None:
    damage(tmp_path, LAST)
    assert inspect(store, LAST).state is State.GOOD
    assert inspect(store, LAST, deep=True).state is State.DAMAGED
    assert newest_good(store)[0].id == LAST
    manifest, passed = newest_good(store, deep=True)
    assert manifest.id == THIRD
    assert [(one.id, one.state) for one in passed] == [(LAST, State.DAMAGED)]
    assert [one.state for one in catalogue(store, deep=True)] == [State.DAMAGED, *[State.GOOD] * 3]


def test_files_that_are_missing_are_named_without_reading_the_others(store: Store, tmp_path: Path) -> None:
    damage(tmp_path, LAST)
    (tmp_path / LAST.stage(1) / ".metadata").unlink()
    assert inspect(store, LAST, deep=True).problems == (f"{LAST.stage(1)}/.metadata is missing.",)


def test_those_that_are_known_to_be_bad_are_not_looked_at(store: Store, tmp_path: Path) -> None:
    (tmp_path / THIRD.manifest).unlink()
    manifest, passed = newest_good(store, skip=lambda id: id == LAST)
    assert manifest.id == SECOND
    assert [one.id for one in passed] == [THIRD]


def test_where_none_is_good_the_newest_says_why(store: Store, tmp_path: Path) -> None:
    for id in IDS:
        (tmp_path / id.manifest).write_text("{}" if id == LAST else "[]")
    with pytest.raises(NoCheckpointError) as error:
        newest_good(store)
    assert str(error.value).startswith(
        f"none of 4 checkpoints is good; of the newest: {LAST.manifest} is malformed: the manifest lacks 'format'"
    )
    with pytest.raises(NoCheckpointError, match="none of 1 checkpoints is good"):
        newest_good(store, skip=lambda id: id != THIRD)
    with pytest.raises(NoCheckpointError, match=r"^there is no checkpoint\.$"):
        newest_good(store, skip=lambda id: True)
