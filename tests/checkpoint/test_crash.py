"""The writer is stopped at every single file operation, and stores misbehave: the newest listed checkpoint is whole."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from checkpoint.catalogue import State, catalogue, next_history
from checkpoint.errors import CheckpointError, StoreError
from checkpoint.names import CheckpointId
from checkpoint.retention import RetentionPolicy, clean_up
from checkpoint.store import Store
from tests.checkpoint.faulty import Fault, FaultyFileSystem, Stopped
from tests.checkpoint.world import IMPATIENT, assert_newest_is_whole, save

POLICY = RetentionPolicy(last=1, grace_s=0.0)
FIRST, SECOND, THIRD = CheckpointId(0, 10), CheckpointId(0, 20), CheckpointId(1, 15)


def life(store: Store) -> None:
    """Save twice more and clean up after each."""
    for id in (SECOND, THIRD):
        save(store, id)
        clean_up(store, POLICY, now=0.0)


class Folder:
    """Fresh folders of a filesystem."""

    def __init__(self, fs: Any, root: str) -> None:
        self.fs, self._root, self._count = fs, root, 0
        save(Store(fs, f"{root}/0"), FIRST)

    def fresh(self) -> str:
        """Return a path that is not used yet, with the first checkpoint in it."""
        self._count += 1
        root = f"{self._root}/{self._count}"
        self.fs.cp(f"{self._root}/0/{FIRST.folder}", f"{root}/{FIRST.folder}", recursive=True)
        return root


@pytest.fixture(params=["local", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    """A real disk and a store of objects. Nothing loses power here, so nothing waits for the disk."""
    monkeypatch.setattr("os.fsync", lambda handle: None)
    if request.param == "local":
        return Folder(LocalFileSystem(), str(tmp_path))
    return Folder(MemoryFileSystem(), f"/{tmp_path.name}")


def stopped(folder: Folder, fault: Fault, point: int) -> Store:
    """Return a store in which the writer's process ended at one of its operations."""
    root = folder.fresh()
    plan = FaultyFileSystem(folder.fs, lambda number, name: fault if number == point else Fault.NONE)
    with pytest.raises(Stopped):
        life(Store(plan, root))
    return Store(folder.fs, root)


@pytest.mark.slow
@pytest.mark.parametrize("fault", [Fault.STOP, Fault.STOP_HALF])
def test_stopped_at_any_operation_a_whole_checkpoint_is_the_newest(folder: Folder, fault: Fault) -> None:
    counting = FaultyFileSystem(folder.fs, lambda number, name: Fault.NONE)
    life(Store(counting, folder.fresh()))
    points = [i for i, name in enumerate(counting.log) if fault is not Fault.STOP_HALF or name == "write"]
    newest = set()
    for point in points:
        store = stopped(folder, fault, point)
        newest.add(assert_newest_is_whole(store))
        assert all(one.state is not State.DAMAGED for one in catalogue(store))
        if point % 5 == 0:  # another process goes on where this one ended
            after = CheckpointId(next_history(store), 16)
            save(store, after)
            clean_up(store, POLICY, now=0.0)
            assert assert_newest_is_whole(store) == after
            assert [one.id for one in catalogue(store)] == [after], "leftovers stay"
    if points:
        assert {FIRST, SECOND} <= newest


def test_stopped_right_after_an_operation_is_stopped_before_the_next_one(folder: Folder) -> None:
    """So what was shown for every operation that does not happen holds for every one that is the last."""
    counting = FaultyFileSystem(folder.fs, lambda number, name: Fault.NONE)
    life(Store(counting, folder.fresh()))
    manifests = [i for i, name in enumerate(counting.log) if "manifest.json" in name]
    for point in (*manifests, len(counting.log) - 1):
        assert_newest_is_whole(stopped(folder, Fault.STOP_AFTER, point))


ODD = [Fault.FAIL, Fault.FAIL_AFTER, Fault.LOSE, Fault.TWICE, Fault.LATE, Fault.LATE_AGAIN, Fault.FULL]


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 1 << 30), rate=st.sampled_from([0.01, 0.05, 0.2]), faults=st.sets(st.sampled_from(ODD)))
def test_a_store_that_misbehaves_never_spoils_the_newest(seed: int, rate: float, faults: set[Fault]) -> None:
    rng, fs, root = random.Random(seed), MemoryFileSystem(), f"/odd/{seed}-{rate}"
    if fs.exists(root):
        fs.rm(root, recursive=True)
    save(Store(fs, root), FIRST)
    kinds = sorted(faults, key=lambda fault: fault.value)

    def plan(number: int, name: str) -> Fault:
        return rng.choice(kinds) if kinds and rng.random() < rate else Fault.NONE

    odd = FaultyFileSystem(fs, plan, lambda number: rng.random() < rate, late_by=rng.randint(1, 40))
    store, honest = Store(odd, root, IMPATIENT), Store(fs, root)
    newest = FIRST
    for commit_ in (20, 30, 40):
        id, saved = CheckpointId(0, commit_), False
        try:
            save(store, id)
            saved = True
        except CheckpointError as error:
            assert "\n" not in str(error)
        there = assert_newest_is_whole(honest)
        assert newest <= there
        assert there == id or not saved, "a save that succeeded is not there"
        try:
            clean_up(store, POLICY, now=0.0)
        except CheckpointError as error:
            assert "\n" not in str(error)
        newest = assert_newest_is_whole(honest)
        assert there <= newest
    odd.flush_late()
    assert_newest_is_whole(honest)


def losing(what: str) -> FaultyFileSystem:
    """Return a store in memory that loses one kind of operation and says nothing."""
    return FaultyFileSystem(MemoryFileSystem(), lambda number, name: Fault.LOSE if what in name else Fault.NONE)


def test_a_manifest_that_the_store_took_and_lost_is_missed() -> None:
    store = Store(losing(f"put /lost/manifest/{FIRST.manifest}"), "/lost/manifest")
    with pytest.raises(StoreError, match="was written, and the store does not have it"):
        save(store, FIRST)


def test_files_stay_while_their_manifest_cannot_be_deleted() -> None:
    fs, root = losing(f"delete /lost/deletion/{FIRST.manifest}"), "/lost/deletion"
    store = Store(fs, root)
    for id in (FIRST, SECOND):
        save(store, id)
    removal = clean_up(store, POLICY, now=0.0)
    assert (removal.removed, removal.kept_back) == ((), (FIRST,))
    assert [one.state for one in catalogue(store, deep=True)] == [State.GOOD, State.GOOD]


def test_a_full_disk_is_said_and_not_tried_again(tmp_path: Path) -> None:
    fs = FaultyFileSystem(LocalFileSystem(), lambda number, name: Fault.FULL if name == "write" else Fault.NONE)
    with pytest.raises(CheckpointError, match=r"writing .* failed: .*No space left"):
        save(Store(fs, str(tmp_path)), FIRST)
    assert sum(name == "write" for name in fs.log) == 1
    assert not list(tmp_path.rglob("*.distcp"))
