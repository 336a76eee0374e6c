"""The shards of one participant, as its MeshActor sees them: one computation at a time on all local devices.

With several devices each gets its slice of the microbatch (along the batch), so all ranks run in lockstep and ZeRO's
collectives meet; results are put together again. The flat gradient is the ranks' partitions, one after the other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt
import ray

from actors.shard_actor import ShardActor
from actors.spec import NAMESPACE, ParticipantSpec
from actors.steps.events import JobKind

Array = npt.NDArray[Any]


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
    gradient_lengths: tuple[int, ...]
    """Elements of the flat gradient on each rank."""


class ShardGroup(Protocol):
    """The local devices of a participant."""

    async def build(self) -> Built:
        """Build the stage on every device."""

    def run(
        self, kind: JobKind, key: tuple[int, int], tensors: Sequence[Array], labels: Array | None
    ) -> Awaitable[Outcome]:
        """Start a job; jobs run in the order in which they were started."""

    async def export_gradient(self) -> Array:
        """Return the accumulated flat gradient, shape [N] float32."""

    async def apply(self, average: Array, clip_factor: float, step: int) -> str:
        """Update the parameters and return their hash."""

    def close(self) -> None:
        """Free the devices."""


class RayShardGroup:
    """ShardActors on the node of the calling actor, which owns them: they die with it.

    Args:
        spec: the participant.
        rendezvous: path for the process group of several devices.
        on_lost: called with a sentence when a shard's process died.
    """

    def __init__(self, spec: ParticipantSpec, rendezvous: str, on_lost: Callable[[str], None]) -> None:
        self._spec = spec
        self._world = spec.layout.devices
        self._lengths: tuple[int, ...] = ()
        self._closed = False
        self._on_lost = on_lost
        node = ray.get_runtime_context().get_node_id()
        here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(node, soft=False)
        self._actors = [
            cast(Any, ShardActor)
            .options(
                name=f"{spec.actor_name}/shard-{rank}",
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
        self._lengths = tuple(length for _, _, length in built)
        return Built(built[0][0], built[0][1], self._lengths)

    def run(
        self, kind: JobKind, key: tuple[int, int], tensors: Sequence[Array], labels: Array | None
    ) -> Awaitable[Outcome]:
        """Start a job; jobs run in the order in which they were started."""
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

    async def export_gradient(self) -> Array:
        """Return the accumulated flat gradient, shape [N] float32."""
        parts = await self._all("export_gradient")
        return np.concatenate(parts) if self._world > 1 else parts[0]

    async def apply(self, average: Array, clip_factor: float, step: int) -> str:
        """Update the parameters and return their hash."""
        cuts = np.cumsum(self._lengths)[:-1]
        parts = np.split(average, cuts)
        calls = [actor.apply.remote(part, clip_factor, step) for actor, part in zip(self._actors, parts, strict=True)]
        return str((await self._answers(calls))[0])

    async def _all(self, method: str) -> list[Any]:
        return await self._answers([getattr(actor, method).remote() for actor in self._actors])

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
            ray.kill(actor, no_restart=True)
