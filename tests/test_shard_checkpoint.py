"""A shard's part of a checkpoint: written beside the work, whatever the store does."""

from __future__ import annotations

import json
import threading
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from actors import shard_checkpoint
from actors.shard_checkpoint import PartSaver, fetch, seal
from checkpoint.commit import commit
from checkpoint.errors import StoreError
from checkpoint.manifest import Manifest
from checkpoint.names import CheckpointId
from checkpoint.receipts import StageReceipt
from checkpoint.store import Store
from tests.checkpoint.world import inventory, values


class Engine:
    """Holds the state of a commit, in memory that updates change."""

    def __init__(self, stage: int, number: int) -> None:
        self._boxes = inventory(stage)
        self.state = {box.name: values(box, number).clone() for box in self._boxes}

    def state_inventory(self) -> Any:
        """What it holds."""
        return self._boxes

    def named_state(self, names: Collection[str] | None = None) -> Iterator[tuple[Any, torch.Tensor]]:
        """Its own memory."""
        return ((box, self.state[box.name]) for box in self._boxes if names is None or box.name in names)

    def load_named_state(self, tensors: Any) -> None:
        """Take over a state."""
        self.state = {box.name: tensor.clone() for box, tensor in tensors}

    def update(self) -> None:
        """The next commit."""
        for tensor in self.state.values():
            tensor.add_(1)


def saved(url: str, engine: Engine, saver: PartSaver, number: int) -> bytes:
    """Write the whole stage in two parts, and seal it."""
    receipts = []
    for part in range(2):
        saver.begin((url, 0, number), 0, part, 2, f"writer-{part}", copy=False)
        receipt = saver.wait(0, number, part)
        assert isinstance(receipt, bytes), receipt
        receipts.append(receipt)
    return seal(engine, (url, 0, number), 0, receipts)


def test_a_state_goes_through_the_store_while_the_engine_works_on(tmp_path: Path) -> None:
    url, lock = str(tmp_path), threading.Lock()
    engine = Engine(0, 5)
    saver = PartSaver(engine, lock)
    stage = StageReceipt.from_json(json.loads(saved(url, engine, saver, 5)))
    store = Store.open(url)
    commit(store, Manifest(CheckpointId(0, 5), "run", 1, (stage,), "", layout={"stages": 1}))
    other = Engine(0, 9)
    fetch(other, (url, 0, 5), 0, 1, reads=True)
    wanted = Engine(0, 5).state
    assert all(torch.equal(other.state[name], tensor) for name, tensor in wanted.items())


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """A store that takes nothing until it is told to."""
    opened = threading.Event()
    right = Store.put

    def put(self: Store, path: str, data: Any) -> None:
        opened.wait(30)
        right(self, path, data)

    monkeypatch.setattr(Store, "put", put)
    yield opened
    opened.set()


def test_an_update_does_not_wait_for_the_store_and_what_is_written_is_from_before_it(
    tmp_path: Path, slow: threading.Event
) -> None:
    url, lock = str(tmp_path), threading.Lock()
    engine = Engine(0, 5)
    saver = PartSaver(engine, lock)
    with lock:
        saver.begin((url, 0, 5), 0, 0, 1, "writer", copy=False)
    with lock:
        saver.detach()
        engine.update()
    slow.set()
    receipt = saver.wait(0, 5, 0)
    assert isinstance(receipt, bytes), receipt
    stage = StageReceipt.from_json(json.loads(seal(engine, (url, 0, 5), 0, [receipt])))
    commit(Store.open(url), Manifest(CheckpointId(0, 5), "run", 1, (stage,), "", layout={"stages": 1}))
    other = Engine(0, 9)
    fetch(other, (url, 0, 5), 0, 1, reads=True)
    assert all(torch.equal(other.state[name], tensor) for name, tensor in Engine(0, 5).state.items())


def test_a_part_is_given_up_when_the_next_one_is_due(tmp_path: Path, slow: threading.Event) -> None:
    lock, engine = threading.Lock(), Engine(0, 5)
    saver = PartSaver(engine, lock)
    for number in (5, 6):
        with lock:
            saver.begin((str(tmp_path), 0, number), 0, 0, 1, "writer", copy=True)
    assert saver.wait(0, 5, 0) == "the next checkpoint is due"
    slow.set()
    assert isinstance(saver.wait(0, 6, 0), bytes)


@pytest.mark.parametrize("error", [StoreError("no answer"), RuntimeError("out of threads"), OSError(28, "full")])
def test_whatever_goes_wrong_costs_the_part_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    lock, engine = threading.Lock(), Engine(0, 5)
    saver = PartSaver(engine, lock)

    def broken(*given: Any) -> Any:
        raise error

    with monkeypatch.context() as context:
        context.setattr(shard_checkpoint, "write_in_steps", broken)
        saver.begin((str(tmp_path), 0, 5), 0, 0, 1, "writer", copy=False)
        assert str(error) in str(saver.wait(0, 5, 0))
    with lock:
        saver.detach()
        engine.update()
    saver.begin((str(tmp_path), 0, 6), 0, 0, 1, "writer", copy=False)
    assert isinstance(saver.wait(0, 6, 0), bytes)
