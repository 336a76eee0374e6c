"""A shard's part in checkpoints: writes beside its work, one tensor whenever it has a moment; and reads.

What is written is the engine's own memory, so a part has to be complete before the next update. A thread takes the
engine between two computations, for one tensor at a time; an update that comes before it is through writes the rest.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Generator
from typing import Any

from checkpoint.catalogue import inspect
from checkpoint.commit import seal_stage
from checkpoint.errors import CheckpointError
from checkpoint.load import load_manifest
from checkpoint.names import CheckpointId
from checkpoint.parts import write_in_steps
from checkpoint.reader import Reader
from checkpoint.receipts import PartReceipt
from checkpoint.slices import Slice, part_of
from checkpoint.store import Store

PAUSE_S = 0.002
"""Between two tensors, so that work that waits for the engine gets it."""
BEHIND_S = 0.05
"""When the store has not taken what was written before."""

Place = tuple[str, int, int]
"""URL, history and commit of a checkpoint."""


def encode(receipt: Any) -> bytes:
    """A receipt as others get it."""
    return json.dumps(receipt.to_json()).encode()


class PartSaver:
    """Writes parts, one after the other.

    Args:
        engine: its shard's.
        lock: held by whoever uses the engine.
    """

    def __init__(self, engine: Any, lock: threading.Lock) -> None:
        self._engine, self._lock = engine, lock
        self._steps: Generator[bool, None, PartReceipt] | None = None
        self._waiting: list[tuple[Place, int, int, str]] = []
        self._receipts: dict[tuple[int, int, int], bytes | str] = {}
        """(History, commit, part) -> receipt, or what went wrong."""
        self._current = (0, 0, 0)
        self._done = threading.Condition()

    def begin(self, place: Place, stage: int, part: int, parts: int, writer: str) -> None:
        """Begin to write; the caller holds the engine. One that is under way is completed first."""
        self.complete()
        url, history, commit = place
        self._current = (history, commit, part)
        inventory = self._engine.state_inventory()
        names = {piece.name for piece in part_of(inventory, part, parts)}
        id, tensors = CheckpointId(history, commit), self._engine.named_state(names)
        try:
            self._steps = write_in_steps(Store.open(url), id, stage, part, parts, writer, inventory, tensors)
        except CheckpointError as error:
            self._finish(str(error))
            return
        threading.Thread(target=self._work, args=(self._steps,), name="checkpoint", daemon=True).start()

    def _work(self, steps: Generator[bool, None, PartReceipt]) -> None:
        while True:
            with self._lock:
                if self._steps is not steps:
                    return
                behind = self._step()
            time.sleep(BEHIND_S if behind else PAUSE_S)

    def _step(self) -> bool:
        """Write one tensor; the caller holds the engine. Returns whether the store is behind."""
        assert self._steps is not None
        try:
            return next(self._steps)
        except StopIteration as end:
            self._finish(encode(end.value))
        except (CheckpointError, OSError, ValueError) as error:
            self._finish(str(error) or type(error).__name__)
        return False

    def complete(self) -> None:
        """Write what is left now; the caller holds the engine, and is about to change it."""
        while self._steps is not None:
            self._step()

    def _finish(self, result: bytes | str) -> None:
        self._steps = None
        with self._done:
            self._receipts[self._current] = result
            self._done.notify_all()

    def wait(self, history: int, commit: int, part: int) -> bytes | str:
        """The receipt of a part that was begun, when it is there; or one sentence that says what went wrong."""
        key = (history, commit, part)
        with self._done:
            self._done.wait_for(lambda: key in self._receipts)
            return self._receipts.pop(key)


def seal(engine: Any, place: Place, stage: int, receipts: list[bytes]) -> bytes:
    """Make a stage whole; return its receipt. Raises CheckpointError."""
    url, history, commit = place
    parts = [PartReceipt.from_json(json.loads(one)) for one in receipts]
    inventory = engine.state_inventory()
    return encode(seal_stage(Store.open(url), CheckpointId(history, commit), stage, parts, inventory))


def fetch(engine: Any, place: Place, stage: int, stages: int, *, reads: bool) -> None:
    """Take over a stage's state from a checkpoint; all ranks together. Raises CheckpointError.

    Args:
        engine: its shard's.
        place: which checkpoint.
        stage: the own one.
        stages: how many the run has: a checkpoint of as many is read from its own stage's files only.
        reads: whether this rank reads; the others get tensors from it.
    """
    if not reads:
        engine.load_named_state(None)
        return
    url, history, commit = place
    store, id = Store.open(url), CheckpointId(history, commit)
    if problems := inspect(store, id).problems:
        raise CheckpointError(problems[0])
    manifest = load_manifest(store, id)
    only = [stage] if manifest.layout.get("stages") == stages == len(manifest.stages) else None
    boxes = [Slice.of(one) for one in engine.state_inventory()]
    engine.load_named_state(Reader(store, manifest, only).read(boxes))
