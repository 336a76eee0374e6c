"""The shards of a simulated participant: the small NumPy model, with computing times in virtual time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from actors.shard_checkpoint import encode, fetch, seal
from actors.shards import Built, Outcome, Place, ShardLostError
from actors.spec import ParticipantSpec
from actors.steps.jobs import JobKind
from checkpoint.names import CheckpointId, PartPlace
from checkpoint.parts import write_in_steps
from checkpoint.shelf import Shelf, ShelfError, rank_folder
from checkpoint.slices import part_of
from checkpoint.store import Store
from orchestrator.simulation.runtime.numpy_engine import NumpyEngine

T = TypeVar("T")
Array = npt.NDArray[Any]
WORK = {JobKind.FORWARD: 1 / 3, JobKind.EVALUATE: 1 / 3, JobKind.BACKWARD: 2 / 3, JobKind.LOSS: 1.0}
BUILD_S, EXPORT_S, UPDATE_S, WRITE_S = 2.0, 0.02, 0.05, 0.05
"""Longest time to build a stage; times to hand out a vector, to update, and to write one tensor."""


class NumpyShardGroup:
    """Implements `ShardGroup` with one device. Jobs run one after the other, in the order in which they were given.

    Args:
        spec: the participant.
        on_lost: called with a sentence when the device died.
        rng: of the world.
        compute_s: a microbatch takes so long, forward and backward.
        holds: called with the engine whenever its parameters have changed.
    """

    def __init__(
        self,
        spec: ParticipantSpec,
        on_lost: Callable[[str], None],
        rng: random.Random,
        compute_s: float,
        holds: Callable[[NumpyEngine], None] = lambda engine: None,
    ) -> None:
        self._spec, self._on_lost, self._rng, self._compute_s, self._holds = spec, on_lost, rng, compute_s, holds
        self._loop = asyncio.get_running_loop()
        self._free_at = self._paused_until = 0.0
        self._waiting: set[asyncio.Future[Any]] = set()
        self._closed = False
        self._speed, self._slow_until = 1.0, 0.0
        self.engine = NumpyEngine(spec, rng.getrandbits(32))

    # --- time ------------------------------------------------------------------------------------------------------

    def _do(self, seconds: float, work: Callable[[], T]) -> asyncio.Future[T]:
        """Queue work that takes so long; the future has what it returns or raises."""
        future: asyncio.Future[T] = self._loop.create_future()
        if self._closed:
            future.set_exception(self._lost())
            return future
        self._waiting.add(future)
        slow = self._speed if self._loop.time() < self._slow_until else 1.0
        self._free_at = max(self._loop.time(), self._free_at) + seconds * slow
        self._loop.call_at(self._free_at, self._finish, future, work)
        return future

    def _finish(self, future: asyncio.Future[T], work: Callable[[], T]) -> None:
        if self._closed or future.done():
            return
        if self._paused_until > self._loop.time():
            self._free_at = max(self._free_at, self._paused_until)
            self._loop.call_at(self._paused_until, self._finish, future, work)
            return
        self._waiting.discard(future)
        try:
            future.set_result(work())
        except Exception as error:
            future.set_exception(error)

    def _lost(self) -> ShardLostError:
        spec = self._spec
        return ShardLostError(f"lost shard 0 of {spec.name} (stage {spec.stage.index}): its process died")

    # --- faults ----------------------------------------------------------------------------------------------------

    def die(self) -> None:
        """Fault injection: the device's process is killed, with all that it held."""
        if not self._closed:
            self.close()
            self._on_lost(str(self._lost()))

    def pause(self, seconds: float) -> None:
        """Fault injection: the device stands still for so long."""
        self._paused_until = self._loop.time() + seconds

    def slow_down(self, factor: float, seconds: float) -> None:
        """Fault injection: jobs take so many times their time, for so long."""
        self._speed, self._slow_until = factor, self._loop.time() + seconds

    def close(self) -> None:
        """Free the device; whoever waits for it hears that it is lost."""
        self._closed = True
        waiting, self._waiting = self._waiting, set()
        for future in waiting:
            if not future.done():
                future.set_exception(self._lost())
                future.exception()  # it may be that no task waits for it any more

    # --- work ------------------------------------------------------------------------------------------------------

    async def build(self) -> Built:
        """Build the stage."""
        engine = self.engine
        count, length = engine.parameters_count, engine.state_length
        return await self._do(
            self._rng.uniform(0.1, BUILD_S), lambda: Built(engine.parameter_hash(), count, count, length)
        )

    def run(
        self, kind: JobKind, key: tuple[int, int], tensors: Sequence[Array], labels: Array | None
    ) -> Awaitable[Outcome]:
        """Start a job."""
        engine = self.engine
        seconds = self._compute_s * WORK[kind] * self._rng.uniform(0.7, 1.3)
        weight = 1.0 / self._spec.train.microbatches

        def work() -> Outcome:
            loss = 0.0
            out: tuple[Array, ...] = ()
            if kind is JobKind.FORWARD:
                out = engine.forward(key, tensors[0], keep=key[1] >= 0)
            elif kind is JobKind.BACKWARD:
                out = engine.backward(key, tensors[0])
            else:
                assert labels is not None, "the last stage computes losses from its own corpus"
                if kind is JobKind.LOSS:
                    loss, out = engine.loss(key, tensors[0], labels, weight)
                else:
                    loss = engine.evaluate(tensors[0], labels)
            return Outcome(out, loss, seconds)

        return self._do(seconds, work)

    def export_gradient(self) -> Awaitable[tuple[Array, frozenset[int]]]:
        """The accumulated gradient, and which microbatches are in it."""
        engine = self.engine
        return self._do(EXPORT_S, lambda: (engine.export_gradient(), frozenset(index for _, index in engine.counted)))

    def discard(self) -> Awaitable[None]:
        """Forget what was accumulated and stashed."""
        return self._do(0.0, self.engine.discard)

    def apply(self, average: Array, clip_factor: float, step: int) -> Awaitable[str]:
        """Update the parameters and return their hash."""

        def work() -> str:
            self.engine.apply(average, clip_factor, step)
            return self._changed()

        return self._do(UPDATE_S, work)

    def export_state(self) -> Awaitable[tuple[Array, str]]:
        """The state, and the hash of the parameters."""
        return self._do(EXPORT_S, lambda: (self.engine.export_state(), self.engine.parameter_hash()))

    def load_state(self, state: Array) -> Awaitable[str]:
        """Take over a state and return the hash of its parameters."""

        def work() -> str:
            self.engine.load_state(np.array(state))
            return self._changed()

        return self._do(UPDATE_S, work)

    def _changed(self) -> str:
        self._holds(self.engine)
        return self.engine.parameter_hash()

    # --- the own disk, and the store -------------------------------------------------------------------------------

    def keep(self, folder: str, era: int, commit: int) -> Awaitable[str]:
        """Write the state to this machine's disk, a while after it was handed out."""
        exported = self._do(EXPORT_S, lambda: (self.engine.export_state(), self.engine.parameter_hash()))

        async def write() -> str:
            values, parameter_hash = await exported
            await asyncio.sleep(WRITE_S)
            try:
                self._shelf(folder).put(era, commit, values, parameter_hash)
            except OSError as error:
                return str(error)
            return ""

        return self._loop.create_task(write())

    def restore(self, folder: str, era: int, commit: int) -> Awaitable[tuple[str, str]]:
        """Take over a state from this machine's disk; return (hash of the parameters, what went wrong)."""

        def work() -> tuple[str, str]:
            try:
                values, wanted = self._shelf(folder).get(era, commit)
                self.engine.load_state(values)
            except (ShelfError, ValueError) as error:
                return "", str(error)
            found = self._changed()
            return found, "" if found == wanted else f"commit {commit} has other parameters than were written"

        return self._do(UPDATE_S, work)

    def _shelf(self, folder: str) -> Shelf:
        return Shelf(rank_folder(folder, 0), self._spec.stage.index)

    def save(self, place: Place, part: int, parts: int) -> Awaitable[bytes | str]:
        """Write a part of a checkpoint, one tensor at a time; return its receipt, or what went wrong."""
        url, history, commit = place
        stage = self._spec.stage.index
        where = PartPlace(CheckpointId(history, commit), stage, part, parts, self._spec.name)

        def draw() -> tuple[Any, Any]:
            inventory = self.engine.state_inventory()
            names = {piece.name for piece in part_of(inventory, part, parts)}
            return inventory, iter(list(self.engine.named_state(names)))

        drawn = self._do(EXPORT_S, draw)

        async def write() -> bytes | str:
            inventory, tensors = await drawn
            try:
                steps = write_in_steps(Store.open(url), where, inventory, tensors)
                while True:
                    try:
                        next(steps)
                    except StopIteration as end:
                        return encode(end.value)
                    await asyncio.sleep(WRITE_S)
            except Exception as error:  # whatever a store's library raises costs this part, and nothing else
                return str(error) or type(error).__name__

        return self._loop.create_task(write())

    def seal(self, place: Place, receipts: list[bytes]) -> Awaitable[bytes | str]:
        """Make the stage whole in a checkpoint; return its receipt, or what went wrong."""

        def work() -> bytes | str:
            try:
                return seal(self.engine, place, self._spec.stage.index, receipts)
            except Exception as error:
                return str(error) or type(error).__name__

        return self._do(WRITE_S, work)

    def fetch(self, place: Place) -> Awaitable[tuple[str, str]]:
        """Take over the stage's state from a checkpoint; return (hash of the parameters, what went wrong)."""
        spec = self._spec

        def work() -> tuple[str, str]:
            try:
                fetch(self.engine, place, spec.stage.index, spec.layout.stages, reads=True)
            except Exception as error:
                return "", str(error) or type(error).__name__
            return self._changed(), ""

        return self._do(UPDATE_S, work)

    async def inventory(self) -> list[Any]:
        """What the device holds."""
        return [{"held": {name: value.shape for name, value in self.engine.values().items()}}]
