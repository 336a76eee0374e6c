"""The end of a run's checkpoint: its manifest, what goes of the run's older ones, and what the protocol is told."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from actors import manifest as module
from actors.checkpointing import Checkpointing
from actors.manifest import commit_checkpoint, whole_checkpoints
from actors.spec import ParticipantSpec
from actors.steps import effects, events
from checkpoint.catalogue import catalogue
from checkpoint.commit import commit, seal_stage
from checkpoint.config import CheckpointConfig
from checkpoint.errors import IncompleteError, StoreError
from checkpoint.load import load_manifest
from checkpoint.manifest import Manifest
from checkpoint.names import CheckpointId
from checkpoint.retention import RetentionPolicy
from checkpoint.store import Store
from tests.checkpoint.world import PARTS, inventory, save, write
from tests.test_spec import spec


def spec_for(folder: Path, **settings: Any) -> ParticipantSpec:
    """A participant whose run saves there."""
    found = CheckpointConfig(url=str(folder), **{"last": 99, **settings})
    made = spec(checkpoint=found, config_text="train:\n  steps: 20\n")
    return dataclasses.replace(made, train=dataclasses.replace(made.train, seed=9))


def receipts(folder: Path, commit: int, history: int = 0) -> list[bytes]:
    """Write both stages of a checkpoint; return their receipts as they travel."""
    store, id, found = Store.open(str(folder)), CheckpointId(history, commit), []
    for stage in range(2):
        parts = [write(store, id, stage, part, f"w{part}") for part in range(PARTS)]
        found.append(json.dumps(seal_stage(store, id, stage, parts, inventory(stage)).to_json()).encode())
    return found


def committed(here: ParticipantSpec, number: int, history: int = 0) -> str:
    """Write and commit a checkpoint; return what is said of it."""
    folder = Path(here.checkpoint.url)
    about = {"slot": 31, "view": 4}
    return commit_checkpoint(here, history, number, receipts(folder, number, history), about)


def test_the_manifest_says_where_the_run_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.time, "time", lambda: 1_760_000_000.9)
    said = committed(spec_for(tmp_path), 30, history=2)
    # 742 bytes of tensors a stage (720, 18 and 4) in two parts each: 0.0 MB.
    assert said == "h0002-c0000000030 is complete: 0.0 MB in 4 parts"
    found = load_manifest(Store.open(str(tmp_path)), CheckpointId(2, 30))
    assert (found.run, found.created, found.config) == ("r1", 1_760_000_000, "train:\n  steps: 20\n")
    assert found.data_position == {"step": 30, "microbatches": 6, "fingerprint": "print"}
    assert found.random == {"seed": 9}
    assert found.protocol == {"slot": 31, "view": 4}
    assert found.layout == {"stages": 2, "zero": 1, "devices": 1}
    assert [stage.stage for stage in found.stages] == [0, 1] and found.tensor_bytes == 2 * 742


def test_the_size_is_said_in_millions_of_bytes(tmp_path: Path) -> None:
    found = []
    for receipt, size in zip(receipts(tmp_path, 10), (1_250_000, 2_000_000), strict=True):
        found.append(json.dumps(json.loads(receipt) | {"tensor_bytes": size}).encode())
    said = commit_checkpoint(spec_for(tmp_path), 0, 10, found, {})
    assert said == "h0000-c0000000010 is complete: 3.2 MB in 4 parts"


def test_what_has_no_manifest_that_can_be_read_does_not_stop_the_clearing(tmp_path: Path) -> None:
    store, here = Store.open(str(tmp_path)), spec_for(tmp_path, last=1)
    write(store, CheckpointId(0, 1), 0, 0, "w")
    committed(here, 10)
    (tmp_path / CheckpointId(0, 2).folder).mkdir()
    (tmp_path / CheckpointId(0, 2).manifest).write_text("{}")
    assert committed(here, 20).endswith("; 2 older went"), "commit 10, and the damaged one"


def test_older_ones_of_the_run_go_as_its_config_says(tmp_path: Path) -> None:
    here = spec_for(tmp_path, last=2, keep_multiples=20)
    said = [committed(here, number).rpartition("; ")[2] for number in (10, 20, 30, 40)]
    assert said[2:] == ["1 older went", "h0000-c0000000040 is complete: 0.0 MB in 4 parts"]
    assert [one.id.commit for one in catalogue(Store.open(str(tmp_path)))] == [40, 30, 20]


def test_the_policy_is_the_config_s_with_hours_in_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[RetentionPolicy, float, set[CheckpointId]]] = []

    def watch(store: Store, policy: RetentionPolicy, now: float, busy: Any = ()) -> Any:
        seen.append((policy, now, set(busy)))
        return SimpleNamespace(removed=())

    monkeypatch.setattr(module, "clean_up", watch)
    monkeypatch.setattr(module.time, "time", lambda: 500.0)
    committed(spec_for(tmp_path, last=4, keep_multiples=7, keep_hours=0.5), 10)
    assert seen == [(RetentionPolicy(4, 7, 1800.0), 500.0, {CheckpointId(0, 10)})]


def test_checkpoints_of_other_runs_are_left_alone(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path))
    other = save(store, CheckpointId(0, 5))
    assert other.run == "a-run"
    here = spec_for(tmp_path, last=1)
    for number in (10, 20):
        committed(here, number)
    assert [one.id.commit for one in catalogue(store)] == [20, 5]


def test_a_checkpoint_is_complete_also_when_clearing_away_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*given: Any, **more: Any) -> None:
        raise StoreError("no answer")

    monkeypatch.setattr(module, "clean_up", broken)
    said = committed(spec_for(tmp_path), 10)
    assert said.startswith("h0000-c0000000010 is complete: ")
    assert said.endswith("; older ones could not be cleared away: no answer")
    assert whole_checkpoints(str(tmp_path)) == ((0, 10),)


def test_a_receipt_that_is_none_and_files_that_are_missing_are_errors(tmp_path: Path) -> None:
    here = spec_for(tmp_path)
    for wrong in (b"{}", b"nonsense"):
        with pytest.raises(ValueError):
            commit_checkpoint(here, 0, 10, [wrong], {})
    found = receipts(tmp_path, 10)
    next(tmp_path.rglob("*.distcp")).unlink()
    with pytest.raises(IncompleteError):
        commit_checkpoint(here, 0, 10, found, {})
    assert whole_checkpoints(str(tmp_path)) == ()


def test_whole_checkpoints_are_those_with_all_files_the_newest_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert whole_checkpoints("") == () and whole_checkpoints(str(tmp_path / "none")) == ()
    here = spec_for(tmp_path)
    for number, history in ((20, 0), (10, 1), (30, 0)):
        committed(here, number, history)
    next((tmp_path / CheckpointId(0, 30).folder).rglob("*.distcp")).unlink()
    write(Store.open(str(tmp_path)), CheckpointId(2, 1), 0, 0, "w")
    assert whole_checkpoints(str(tmp_path)) == ((1, 10), (0, 20))
    monkeypatch.chdir(tmp_path)
    assert whole_checkpoints("") == (), "no folder is not the one that the process is in"


@dataclass
class Told:
    """A participant's checkpoints, and what it was told and said."""

    work: Checkpointing
    events: list[events.Event]
    notes: list[tuple[str, str]]


def opened(here: ParticipantSpec) -> Told:
    """With a protocol in slot 31 and view 4."""
    heard: list[events.Event] = []
    notes: list[tuple[str, str]] = []
    decision, view = SimpleNamespace(slot=31), SimpleNamespace(number=4)
    participant: Any = SimpleNamespace(context=SimpleNamespace(decision=decision, view=view))
    return Told(Checkpointing(here, participant, heard.append, lambda *note: notes.append(note)), heard, notes)


def test_a_commit_is_told_and_said(tmp_path: Path) -> None:
    told = opened(spec_for(tmp_path))
    asyncio.run(told.work.commit(effects.CommitCheckpoint(1, 10, tuple(receipts(tmp_path, 10, 1)))))
    assert told.events == [events.CheckpointCommitted(1, 10)]
    ((kind, said),) = told.notes
    assert kind == "checkpoint" and said.startswith("h0001-c0000000010 is complete: ")
    assert load_manifest(Store.open(str(tmp_path)), CheckpointId(1, 10)).protocol == {"slot": 31, "view": 4}


@pytest.mark.parametrize(
    ("receipt", "says"), [(b"{}", "the receipt of a stage lacks 'stage'"), (b"x", "Expecting value: line 1 column 1")]
)
def test_a_commit_that_fails_costs_this_checkpoint_alone(tmp_path: Path, receipt: bytes, says: str) -> None:
    told = opened(spec_for(tmp_path))
    asyncio.run(told.work.commit(effects.CommitCheckpoint(1, 10, (receipt,))))
    ((failed,), notes) = told.events, told.notes
    assert isinstance(failed, events.SaveFailed) and (failed.history, failed.commit) == (1, 10)
    assert failed.reason.startswith(says) and notes == []


def test_an_error_without_words_is_called_by_its_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*given: Any) -> None:
        raise RuntimeError

    told = opened(spec_for(tmp_path))
    monkeypatch.setattr("actors.checkpointing.commit_checkpoint", broken)
    monkeypatch.setattr("actors.checkpointing.whole_checkpoints", broken)
    asyncio.run(told.work.commit(effects.CommitCheckpoint(1, 10, ())))
    asyncio.run(told.work.list_whole())
    assert told.events == [events.SaveFailed(1, 10, "RuntimeError")]
    assert told.notes == [("checkpoint", "RuntimeError")]


def test_a_list_is_told_and_one_that_fails_is_said(tmp_path: Path) -> None:
    told = opened(spec_for(tmp_path))
    save(Store.open(str(tmp_path)), CheckpointId(0, 5))
    asyncio.run(told.work.list_whole())
    assert told.events == [events.CheckpointsListed(((0, 5),))] and told.notes == []
    broken = opened(spec(checkpoint=CheckpointConfig(url="nonsense://x")))
    asyncio.run(broken.work.list_whole())
    assert broken.events == []
    ((kind, said),) = broken.notes
    assert kind == "checkpoint" and "nonsense" in said


def test_committing_twice_finds_the_first_one(tmp_path: Path) -> None:
    here, found = spec_for(tmp_path), receipts(tmp_path, 10)
    first = commit_checkpoint(here, 0, 10, found, {"slot": 1})
    assert commit_checkpoint(here, 0, 10, found, {"slot": 2}) == first
    manifest: Manifest = load_manifest(Store.open(str(tmp_path)), CheckpointId(0, 10))
    assert manifest.protocol == {"slot": 1} and commit(Store.open(str(tmp_path)), manifest) == manifest
