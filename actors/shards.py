"""The shards of one participant, as its MeshActor sees them: one computation at a time on all local devices.

With several devices each gets its slice of the microbatch (along the batch), so all ranks run in lockstep and ZeRO's
collectives meet; results are put together again. The flat gradient is the ranks' partitions, one after the other.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt
import ray

from actors.shard_actor import ShardActor
from actors.spec import NAMESPACE, ParticipantSpec
from actors.steps.jobs import JobKind

Array = npt.NDArray[Any]
Place = tuple[str, int, int]
"""URL, history and commit of a checkpoint."""


class ShardLostError(Exception):
    """A shard's process died while it was wanted; the message names it."""


@dataclass(frozen=True)
class Outcome:
    """What a job gave."""

    tensors: tuple[Array, ...]
    loss: float
    seconds: float
    """Time the slowest shard was busy, pacing included."""


@dataclass(frozen=True)
class Built:
    """What the shards hold."""

    parameter_hash: str
    parameters: int
    gradient_length: int
    """Elements of the flat gradient, all ranks together."""
    state_length: int
    """Elements of the flat state, all ranks together."""
    processes: tuple[int, ...] = ()
    """Process ids, where the devices have processes of their own."""


class ShardGroup(Protocol):
    """The local devices of a participant. What is asked for is done in the order in which it was asked for."""

    async def build(self) -> Built:
        """Build the stage on every device."""

    def run(
        self, kind: JobKind, key: tuple[int, int], tensors: Sequence[Array], labels: Array | None
    ) -> Awaitable[Outcome]:
        """Start a job."""

    def export_gradient(self) -> Awaitable[tuple[Array, frozenset[int]]]:
        """Return the accumulated flat gradient, shape [N] float32, and which microbatches are in it."""

    def discard(self) -> Awaitable[None]:
        """Forget what was accumulated and stashed."""

    def apply(self, average: Array, clip_factor: float, step: int) -> Awaitable[str]:
        """Update the parameters and return their hash."""

    def export_state(self) -> Awaitable[tuple[Array, str]]:
        """Return the flat state, shape [M] float32, and the hash of the parameters."""

    def load_state(self, state: Array) -> Awaitable[str]:
        """Take over a state and return the hash of its parameters."""

    def keep(self, folder: str, era: int, commit: int) -> Awaitable[str]:
        """Write the state to this machine's disk, beside the work; return what went wrong."""

    def restore(self, folder: str, era: int, commit: int) -> Awaitable[tuple[str, str]]:
        """Take over a state from this machine's disk; return (hash of the parameters, what went wrong)."""

    def save(self, place: Place, part: int, parts: int) -> Awaitable[bytes | str]:
        """Write a part of a checkpoint beside the work; return its receipt, or what went wrong."""

    def seal(self, place: Place, receipts: list[bytes]) -> Awaitable[bytes | str]:
        """Make the stage whole in a checkpoint; return its receipt, or what went wrong."""

    def fetch(self, place: Place) -> Awaitable[tuple[str, str]]:
        """Take over the stage's state from a checkpoint; return (hash of the parameters, what went wrong)."""

    async def inventory(self) -> list[Any]:
        """What the devices hold and ever constructed, for tests."""

    def slow_down(self, factor: float, seconds: float) -> None:
        """Fault injection: jobs take so many times their time, for so long."""

    def close(self) -> None:
        """Free the devices."""


class RayShardGroup:
    """ShardActors on the node of the calling actor, which owns them: they die with it.

    Args:
        spec: the participant.
        rendezvous: path for the process group of several devices.
        on_lost: called with a sentence when a shard's process died.
        number: how many groups this process had before.
    """

    def __init__(self, spec: ParticipantSpec, rendezvous: str, on_lost: Callable[[str], None], number: int = 0) -> None:
        self._spec = spec
        self._world = spec.layout.devices
        self._gradients: list[int] = []
        self._states: list[int] = []
        again = f".{number}" if number else ""
        self._closed = False
        self._on_lost = on_lost
        node = ray.get_runtime_context().get_node_id()
        here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(node, soft=False)
        self._actors = [
            cast(Any, ShardActor)
            .options(
                name=f"{spec.actor_name}/shard-{rank}{again}",
                namespace=NAMESPACE,
                num_gpus=spec.gpus,
                scheduling_strategy=here,
            )
            .remote(spec, rank, rendezvous)
            for rank in range(self._world)
        ]
        self._watching: list[asyncio.Task[None]] = []

    async def build(self) -> Built:
        """Build the stage on every device."""
        self._watching = [asyncio.create_task(self._watch(rank)) for rank in range(self._world)]
        built = await self._all("build")
        self._gradients = [gradient for _, _, gradient, _ in built]
        self._states = [state for _, _, _, state in built]
        processes = tuple(await self._all("process"))
        return Built(built[0][0], built[0][1], sum(self._gradients), sum(self._states), processes)

    def run(
        self, kind: JobKind, key: tuple[int, int], tensors: Sequence[Array], labels: Array | None
    ) -> Awaitable[Outcome]:
        """Start a job."""
        calls = []
        for rank, actor in enumerate(self._actors):
            part = tuple(self._slice(array, rank) for array in tensors)
            mine = None if labels is None else self._slice(labels, rank)
            calls.append(actor.run.remote(kind.value, key, part, mine))
        return self._gather(calls)

    async def _gather(self, calls: list[Any]) -> Outcome:
        results = await self._answers(calls)
        if self._world == 1:
            return Outcome(*results[0])
        tensors = tuple(np.concatenate(parts) for parts in zip(*(result[0] for result in results), strict=True))
        loss = sum(result[1] for result in results) / self._world
        return Outcome(tensors, loss, max(result[2] for result in results))

    def _slice(self, array: Array, rank: int) -> Array:
        if self._world == 1:
            return array
        size = len(array) // self._world
        return array[rank * size : (rank + 1) * size]

    def export_gradient(self) -> Awaitable[tuple[Array, frozenset[int]]]:
        """Return the accumulated flat gradient, shape [N] float32, and which microbatches are in it."""
        return self._joined("export_gradient")

    def discard(self) -> Awaitable[None]:
        """Forget what was accumulated and stashed."""
        return self._first("discard", [() for _ in self._actors])

    def apply(self, average: Array, clip_factor: float, step: int) -> Awaitable[str]:
        """Update the parameters and return their hash."""
        parts = np.split(average, np.cumsum(self._gradients)[:-1])
        return self._first("apply", [(part, clip_factor, step) for part in parts])

    def export_state(self) -> Awaitable[tuple[Array, str]]:
        """Return the flat state, shape [M] float32, and the hash of the parameters."""
        return self._joined("export_state")

    def load_state(self, state: Array) -> Awaitable[str]:
        """Take over a state and return the hash of its parameters."""
        parts = np.split(state, np.cumsum(self._states)[:-1])
        return self._first("load_state", [(part,) for part in parts])

    def keep(self, folder: str, era: int, commit: int) -> Awaitable[str]:
        """Write the state to this machine's disk, beside the work; return what went wrong."""
        calls = [actor.keep.remote(era, commit) for actor in self._actors]

        async def answer() -> str:
            await self._answers(calls)
            wrong = await self._answers([actor.kept.remote(folder, era, commit) for actor in self._actors])
            return next(filter(None, wrong), "")

        return answer()

    def restore(self, folder: str, era: int, commit: int) -> Awaitable[tuple[str, str]]:
        """Take over a state from this machine's disk; return (hash of the parameters, what went wrong)."""
        calls = [actor.restore.remote(folder, era, commit) for actor in self._actors]

        async def answer() -> tuple[str, str]:
            found = await self._answers(calls)
            return found[0][0], next((wrong for _, wrong in found if wrong), "")

        return answer()

    def save(self, place: Place, part: int, parts: int) -> Awaitable[bytes | str]:
        """Write a part of a checkpoint beside the work; return its receipt, or what went wrong."""
        calls = [actor.save.remote(place, part, parts) for actor in self._actors]

        async def answer() -> bytes | str:
            await self._answers(calls)  # begun
            receipt: bytes | str = (await self._answers([self._actors[0].saved.remote(place[1], place[2], part)]))[0]
            return receipt

        return answer()

    def seal(self, place: Place, receipts: list[bytes]) -> Awaitable[bytes | str]:
        """Make the stage whole in a checkpoint; return its receipt, or what went wrong."""
        return self._one(self._actors[0].seal.remote(place, receipts))

    def fetch(self, place: Place) -> Awaitable[tuple[str, str]]:
        """Take over the stage's state from a checkpoint; return (hash of the parameters, what went wrong)."""
        return self._first("fetch", [(place,) for _ in self._actors])

    def _one(self, call: Any) -> Awaitable[Any]:
        async def answer() -> Any:
            return (await self._answers([call]))[0]

        return answer()

    def _first(self, method: str, arguments: list[tuple[Any, ...]]) -> Awaitable[Any]:
        """Call all ranks now; the first one's answer is everybody's."""
        calls = [getattr(actor, method).remote(*given) for actor, given in zip(self._actors, arguments, strict=True)]

        async def answer() -> Any:
            return (await self._answers(calls))[0]

        return answer()

    def _joined(self, method: str) -> Awaitable[Any]:
        """Call all ranks now; each answers with its part of a vector and what is the same for all."""
        calls = [getattr(actor, method).remote() for actor in self._actors]

        async def answer() -> Any:
            parts = await self._answers(calls)
            whole = np.concatenate([part for part, _ in parts]) if self._world > 1 else parts[0][0]
            return whole, parts[0][1]

        return answer()

    async def _all(self, method: str) -> list[Any]:
        return await self._answers([getattr(actor, method).remote() for actor in self._actors])

    async def inventory(self) -> list[Any]:
        """What the ranks hold and ever constructed, for tests."""
        return await self._all("inventory")

    def slow_down(self, factor: float, seconds: float) -> None:
        """Fault injection: jobs take so many times their time, for so long."""
        for actor in self._actors:
            actor.slow_down.remote(factor, seconds)

    async def _answers(self, calls: list[Any]) -> list[Any]:
        """What the ranks answer. Raises ShardLostError when one of them died, whichever call notices it first."""
        results = await asyncio.gather(*calls, return_exceptions=True)
        for rank, result in enumerate(results):
            if isinstance(result, ray.exceptions.RayActorError):
                raise ShardLostError(self._lost(rank)) from None
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return results

    def _lost(self, rank: int) -> str:
        return f"lost shard {rank} of {self._spec.name} (stage {self._spec.stage.index}): its process died"

    async def _watch(self, rank: int) -> None:
        """Wait on a call that never answers: Ray breaks it at once when the process dies."""
        try:
            await self._actors[rank].watch.remote()
        except ray.exceptions.RayError:
            if not self._closed:
                self._on_lost(self._lost(rank))

    def close(self) -> None:
        """Free the devices."""
        self._closed = True
        for task in self._watching:
            task.cancel()
        for actor in self._actors:
            with contextlib.suppress(ray.exceptions.RayError):
                ray.kill(actor, no_restart=True)
