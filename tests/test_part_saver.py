"""What a shard's saver copies and when, which parts it gives up, and which files a shard reads."""

from __future__ import annotations

import json
import threading
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from actors.shard_checkpoint import PartSaver, encode, fetch, seal
from checkpoint.commit import commit, seal_stage
from checkpoint.errors import CheckpointError, IncompleteError
from checkpoint.load import load_manifest
from checkpoint.manifest import Manifest
from checkpoint.names import CheckpointId
from checkpoint.receipts import FileRecord, PartReceipt, StageReceipt
from checkpoint.store import Store
from tests.checkpoint.world import PARTS, STAGES, inventory, values, write

ID = CheckpointId(0, 5)


class Engine:
    """Holds the state of a commit; remembers which names were asked for."""

    def __init__(self, number: int = 5, stage: int = 0) -> None:
        self.boxes = inventory(stage)
        self.state = {box.name: values(box, number).clone() for box in self.boxes}
        self.asked: list[set[str]] = []
        self.loaded: list[str] | None = []

    def state_inventory(self) -> Any:
        """What it holds."""
        return self.boxes

    def named_state(self, names: Collection[str] | None = None) -> Iterator[tuple[Any, torch.Tensor]]:
        """Its own memory."""
        assert names is not None
        self.asked.append(set(names))
        return ((box, self.state[box.name]) for box in self.boxes if box.name in names)

    def load_named_state(self, tensors: Any) -> None:
        """Take over a state."""
        self.loaded = None if tensors is None else [box.name for box, _ in tensors]

    def update(self) -> None:
        """The next commit."""
        for tensor in self.state.values():
            tensor.add_(1)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """A store that takes nothing until it is told to."""
    opened, right = threading.Event(), Store.put

    def put(self: Store, path: str, data: Any) -> None:
        assert opened.wait(60)
        right(self, path, data)

    monkeypatch.setattr(Store, "put", put)
    yield opened
    opened.set()


def held(folder: Path, saver: PartSaver, engine: Engine, parts: int) -> dict[str, torch.Tensor]:
    """Wait for all parts of commit 5, seal and commit them, and return what they hold."""
    receipts = []
    for part in range(parts):
        receipt = saver.wait(0, 5, part)
        assert isinstance(receipt, bytes), receipt
        receipts.append(receipt)
    stage = StageReceipt.from_json(json.loads(seal(engine, (str(folder), 0, 5), 0, receipts)))
    commit(Store.open(str(folder)), Manifest(ID, "run", 1, (stage,), "", layout={"stages": 1}))
    other, found = Engine(9), dict[str, torch.Tensor]()
    other.load_named_state = lambda tensors: found.update((box.name, v.clone()) for box, v in tensors)  # type: ignore[method-assign]
    fetch(other, (str(folder), 0, 5), 0, 1, reads=True)
    return found


@pytest.mark.parametrize("copy", [True, False])
def test_a_part_is_of_the_moment_before_the_update(tmp_path: Path, gate: threading.Event, copy: bool) -> None:
    lock, engine = threading.Lock(), Engine()
    saver = PartSaver(engine, lock)
    with lock:
        for part in range(2):
            saver.begin((str(tmp_path), 0, 5), 0, part, 2, f"w{part}", copy=copy)
        if not copy:
            saver.detach()
        engine.update()
    gate.set()
    assert all(torch.equal(value, Engine().state[name]) for name, value in held(tmp_path, saver, engine, 2).items())


def test_only_the_part_s_tensors_are_asked_for(tmp_path: Path) -> None:
    # Twenty rows of 36 bytes, 18 bytes, 4 bytes: 742, cut at 371, which is behind row 11 of the matrix.
    engine = Engine()
    saver = PartSaver(engine, threading.Lock())
    for part in range(2):
        saver.begin((str(tmp_path), 0, 5), 0, part, 2, "w", copy=True)
    weight, norm, step = (box.name for box in engine.boxes)
    assert engine.asked == [{weight}, {weight, norm, step}]
    assert all(isinstance(saver.wait(0, 5, part), bytes) for part in range(2))


def test_the_engine_is_free_while_the_store_is_slow(tmp_path: Path, gate: threading.Event) -> None:
    lock, engine = threading.Lock(), Engine()
    saver = PartSaver(engine, lock)
    with lock:
        saver.begin((str(tmp_path), 0, 5), 0, 0, 1, "w", copy=False)
    for _ in range(50):
        assert lock.acquire(timeout=60)
        lock.release()
    (writing,) = [thread for thread in threading.enumerate() if thread.name == "checkpoint"]
    assert writing.daemon, "a store that never answers does not keep the process alive"
    gate.set()
    assert isinstance(saver.wait(0, 5, 0), bytes)


def test_parts_of_another_checkpoint_are_given_up_and_those_of_the_same_are_not(
    tmp_path: Path, gate: threading.Event
) -> None:
    saver = PartSaver(Engine(), threading.Lock())
    for history, number, part in ((0, 5, 0), (0, 5, 1), (1, 5, 0)):
        saver.begin((str(tmp_path), history, number), 0, part, 2, f"w{part}", copy=True)
    assert [saver.wait(0, 5, part) for part in range(2)] == ["the next checkpoint is due"] * 2
    gate.set()
    assert isinstance(saver.wait(1, 5, 0), bytes)


def test_a_part_that_is_begun_again_is_the_new_one(tmp_path: Path, gate: threading.Event) -> None:
    saver = PartSaver(Engine(), threading.Lock())
    for writer in ("first", "second"):
        saver.begin((str(tmp_path), 0, 5), 0, 0, 1, writer, copy=True)
    gate.set()
    receipt = saver.wait(0, 5, 0)
    assert isinstance(receipt, bytes) and PartReceipt.from_json(json.loads(receipt)).writer == "second"


def test_a_result_is_given_once_and_one_that_was_never_begun_is_said(tmp_path: Path) -> None:
    saver = PartSaver(Engine(), threading.Lock())
    assert saver.wait(0, 5, 0) == "it was never begun"
    saver.begin((str(tmp_path), 0, 5), 0, 0, 1, "w", copy=False)
    assert isinstance(saver.wait(0, 5, 0), bytes)
    assert saver.wait(0, 5, 0) == "it was never begun"


def test_what_goes_wrong_is_one_sentence(tmp_path: Path) -> None:
    saver = PartSaver(Engine(), threading.Lock())
    saver.begin((str(tmp_path), 0, 5), 0, 0, 1, "no/name", copy=False)
    assert saver.wait(0, 5, 0) == "writer 'no/name' must be 1 to 64 letters, digits, _ or -."
    saver.begin(("nonsense://x", 0, 5), 0, 0, 1, "w", copy=False)
    assert "is not a URL of a folder" in str(saver.wait(0, 5, 0))


def test_receipts_travel_as_json_and_a_stage_needs_all_of_them(tmp_path: Path) -> None:
    receipt = PartReceipt(0, 1, "w", FileRecord(1, "0a" * 32), 0, 0)
    assert json.loads(encode(receipt)) == receipt.to_json()
    with pytest.raises(IncompleteError, match="stage 0 of checkpoint h0000-c0000000005 does not have all its parts"):
        seal(Engine(), (str(tmp_path), 0, 5), 0, [])


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A checkpoint of two stages."""
    store, sealed = Store.open(str(tmp_path)), []
    for stage in range(STAGES):
        receipts = [write(store, ID, stage, part, "w") for part in range(PARTS)]
        sealed.append(seal_stage(store, ID, stage, receipts, inventory(stage)))
    commit(store, Manifest(ID, "run", 1, tuple(sealed), "", layout={"stages": STAGES}))
    return tmp_path


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that were read."""
    paths, right = list[str](), Store.read

    def read(self: Store, path: str, start: int, stop: int) -> bytes:
        paths.append(path)
        return right(self, path, start, stop)

    monkeypatch.setattr(Store, "read", read)
    return paths


@pytest.mark.parametrize(("stages", "others"), [(2, False), (1, True), (3, True)])
def test_on_the_layout_that_wrote_it_other_stages_are_not_opened(
    kept: Path, opened: list[str], stages: int, others: bool
) -> None:
    engine = Engine(9, stage=1)
    fetch(engine, (str(kept), 0, 5), 1, stages, reads=True)
    assert engine.loaded == [box.name for box in inventory(1)]
    assert any(path.startswith(ID.stage(1)) for path in opened)
    assert any(path.startswith(ID.stage(0)) for path in opened) is others


def test_a_manifest_that_does_not_say_its_layout_is_read_from_all_stages(kept: Path, opened: list[str]) -> None:
    store = Store.open(str(kept))
    manifest = load_manifest(store, ID)
    (kept / ID.manifest).unlink()
    commit(store, Manifest(ID, "run", 1, manifest.stages, ""))
    opened.clear()
    fetch(Engine(9, stage=1), (str(kept), 0, 5), 1, 2, reads=True)
    assert any(path.startswith(ID.stage(0)) for path in opened)


def test_a_rank_that_does_not_read_opens_nothing(kept: Path, opened: list[str]) -> None:
    engine = Engine()
    fetch(engine, (str(kept), 0, 5), 0, 2, reads=False)
    assert engine.loaded is None and opened == []


def test_a_checkpoint_that_is_not_whole_is_named_before_anything_is_taken(kept: Path) -> None:
    next((kept / ID.stage(1)).glob("*.distcp")).unlink()
    engine = Engine()
    with pytest.raises(CheckpointError, match=r"stage-0001/p000.*\.distcp is missing"):
        fetch(engine, (str(kept), 0, 5), 0, 2, reads=True)
    with pytest.raises(CheckpointError, match="has no manifest"):
        fetch(engine, (str(kept), 0, 6), 0, 2, reads=True)
