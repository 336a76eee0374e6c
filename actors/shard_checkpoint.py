"""A shard's part in checkpoints: writes beside its work, one tensor whenever it has a moment; and reads.

What is written is the engine's own memory. A thread takes the engine between two computations, for one tensor at a
time, and copies it; an update that comes before it is through copies the rest of the part.
"""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Generator, Iterator
from typing import Any

from checkpoint.catalogue import inspect
from checkpoint.commit import seal_stage
from checkpoint.errors import CheckpointError
from checkpoint.load import load_manifest
from checkpoint.names import CheckpointId, PartPlace
from checkpoint.parts import write_in_steps
from checkpoint.reader import Reader
from checkpoint.receipts import PartReceipt
from checkpoint.slices import Slice, part_of
from checkpoint.store import Store

PAUSE_S = 0.002
"""Between two tensors, so that work that waits for the engine gets it."""
Key = tuple[int, int, int]
"""History, commit and part."""
Place = tuple[str, int, int]
"""URL, history and commit of a checkpoint."""


def encode(receipt: Any) -> bytes:
    """A receipt as others get it."""
    return json.dumps(receipt.to_json()).encode()


class _Tensors:
    """A part's tensors: the engine's own as long as it stands still, then copies.

    Args:
        live: from the engine; nobody but us draws from it.
        lock: held by whoever uses the engine.
    """

    def __init__(self, live: Iterator[tuple[Any, Any]], lock: threading.Lock) -> None:
        self._live, self._lock = live, lock
        self._copies: deque[tuple[Any, Any]] | None = None

    def __iter__(self) -> _Tensors:
        return self

    def __next__(self) -> tuple[Any, Any]:
        if self._copies is None:
            with self._lock:
                if self._copies is None:
                    box, values = next(self._live)
                    return box, values.clone()
        if not self._copies:
            raise StopIteration
        return self._copies.popleft()

    def detach(self) -> None:
        """Copy what was not drawn yet; the caller holds the engine, and is about to change it."""
        if self._copies is None:
            self._copies = deque((box, values.clone()) for box, values in self._live)


class PartSaver:
    """Writes parts, each in a thread of its own. Nobody who uses the engine ever waits for the store.

    Args:
        engine: its shard's.
        lock: held by whoever uses the engine.
    """

    def __init__(self, engine: Any, lock: threading.Lock) -> None:
        self._engine, self._lock = engine, lock
        self._tensors: dict[Key, _Tensors] = {}
        """Parts that are being written."""
        self._results: dict[Key, bytes | str] = {}
        self._done = threading.Condition()

    def begin(self, place: Place, stage: int, part: int, parts: int, writer: str, *, copy: bool) -> None:
        """Begin to write; the caller holds the engine. Parts of earlier commits are given up.

        copy: draw all tensors now, as ranks that put them together have to.
        """
        url, history, commit = place
        for key, old in list(self._tensors.items()):
            if key[:2] != (history, commit):
                self._finish(key, old, "the next checkpoint is due")
        inventory = self._engine.state_inventory()
        names = {piece.name for piece in part_of(inventory, part, parts)}
        key, tensors = (history, commit, part), _Tensors(self._engine.named_state(names), self._lock)
        self._tensors[key] = tensors
        if copy:
            tensors.detach()

        def work() -> None:
            try:
                where = PartPlace(CheckpointId(history, commit), stage, part, parts, writer)
                steps = write_in_steps(Store.open(url), where, inventory, tensors)
                result: bytes | str = encode(self._drive(key, tensors, steps))
            except Exception as error:  # whatever a store's library raises costs this part, and nothing else
                result = str(error) or type(error).__name__
            self._finish(key, tensors, result)

        threading.Thread(target=work, name="checkpoint", daemon=True).start()

    def _drive(self, key: Key, tensors: _Tensors, steps: Generator[bool, None, PartReceipt]) -> PartReceipt:
        while self._tensors.get(key) is tensors:
            try:
                next(steps)
            except StopIteration as end:
                receipt: PartReceipt = end.value
                return receipt
            time.sleep(PAUSE_S)
        steps.close()
        raise CheckpointError("it was given up")

    def detach(self) -> None:
        """The engine is about to change, and the caller holds it: what is not written yet is copied."""
        for tensors in list(self._tensors.values()):
            tensors.detach()

    def _finish(self, key: Key, tensors: _Tensors, result: bytes | str) -> None:
        with self._done:
            if self._tensors.get(key) is tensors:
                del self._tensors[key]
                self._results[key] = result
                self._done.notify_all()

    def wait(self, history: int, commit: int, part: int) -> bytes | str:
        """The receipt of a part that was begun, when it is there; or one sentence that says what went wrong."""
        key = (history, commit, part)
        with self._done:
            self._done.wait_for(lambda: key in self._results or key not in self._tensors)
            return self._results.pop(key, "it was never begun")


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
    url, history, commit = place

    def tensors() -> Iterator[tuple[Any, Any]]:
        """In the iterator, so that other ranks are told when anything of it fails."""
        store, id = Store.open(url), CheckpointId(history, commit)
        if problems := inspect(store, id).problems:
            raise CheckpointError(problems[0])
        manifest = load_manifest(store, id)
        only = [stage] if manifest.layout.get("stages") == stages == len(manifest.stages) else None
        boxes = [Slice.of(one) for one in engine.state_inventory()]
        yield from Reader(store, manifest, only).read(boxes)

    engine.load_named_state(tensors() if reads else None)
