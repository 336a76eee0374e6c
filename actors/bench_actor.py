"""Actors for benchmarks: the transport and the shard round trip of a participant, with nothing around them."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import ray

if TYPE_CHECKING:
    from actors.spec import ParticipantSpec


@ray.remote(num_cpus=0, max_concurrency=16)
class LinkActor:
    """One end of a link, as a MeshActor has it; the other end acknowledges each tensor."""

    def __init__(self, spec: ParticipantSpec) -> None:
        self._spec = spec
        self._transport: Any = None
        self._other = ""
        self._came = asyncio.Event()
        self._up = asyncio.Event()

    async def open(self) -> tuple[str, bytes]:
        """Make an identity; return (peer id, public key)."""
        from actors.transport.identity import Identity

        self._identity = Identity.load_or_create(Path(tempfile.mkdtemp(prefix="tessera-")))
        return self._identity.peer_id, self._identity.public_key

    async def listen(self, cert_pem: bytes, ca_pem: bytes) -> str:
        """Listen; return host:port."""
        from actors.protocol import build_registry
        from actors.transport.profile import PROFILES
        from actors.transport.tcp import TcpTransport

        self._identity.install(cert_pem, ca_pem)
        self._transport = TcpTransport(
            self._identity, self._spec.run_id, build_registry(), self, PROFILES["local"], None
        )
        return str(await self._transport.listen("127.0.0.1", 0))

    async def join(self, peers: list[tuple[str, str, str]]) -> None:
        """Link to the others and wait until the links stand."""
        from actors.transport.base import Peer

        self._other = next(peer for peer, _, _ in peers if peer != self._identity.peer_id)
        self._transport.set_members({peer: Peer(peer, name, address) for peer, name, address in peers})
        await asyncio.wait_for(self._up.wait(), 30)

    async def send(self, size: int, times: int) -> float:
        """Send tensors of `size` bytes, each acknowledged; return seconds for one."""
        from actors.steps.messages import Phase, Slice
        from actors.transport.deadline import Deadline

        array = np.random.default_rng(0).normal(size=size // 4).astype(np.float32)
        began = time.perf_counter()
        for _ in range(times):
            self._came.clear()
            message = Slice(0, 0, 0, 0, Phase.SCATTER, 0)
            await self._transport.send(self._other, message, (array,), deadline=Deadline.after(30))
            await asyncio.wait_for(self._came.wait(), 30)
        return (time.perf_counter() - began) / times

    async def hop(self, size: int, times: int) -> float:
        """Return the median seconds of a round trip to a shard actor that computes nothing on a tensor of `size`."""
        shard = EchoActor.remote()  # type: ignore[attr-defined]
        array = np.zeros(size // 4, np.float32)
        seconds = []
        for _ in range(times):
            began = time.perf_counter()
            await shard.echo.remote(array)
            seconds.append(time.perf_counter() - began)
        return median(seconds)

    # TransportEvents

    def on_message(self, peer_id: str, message: object, tensors: tuple[Any, ...]) -> None:
        """A tensor, or its acknowledgement."""
        from actors.steps.messages import Abort

        if tensors:
            self._acknowledging = asyncio.get_running_loop().create_task(self._acknowledge(peer_id))
        elif isinstance(message, Abort):
            self._came.set()

    async def _acknowledge(self, peer_id: str) -> None:
        from actors.steps.messages import Abort
        from actors.transport.deadline import Deadline

        await self._transport.send(peer_id, Abort("ack"), deadline=Deadline.after(30))

    def on_peer_up(self, peer_id: str) -> None:
        """The link stands."""
        self._up.set()

    def on_peer_down(self, peer_id: str, reason: str) -> None:
        """Waiting calls run into their deadlines."""

    def admit(self, peer_id: str, message: object, specs: Any) -> str | None:
        """Everything is expected here."""
        return None

    def on_refused(self, reason: str, detail: str) -> None:
        """Nothing is refused here."""


@ray.remote(num_cpus=0)
class EchoActor:
    """Stands where a ShardActor stands, and computes nothing."""

    def echo(self, array: np.ndarray) -> np.ndarray:
        """Return a copy, as a computation would return another tensor."""
        return array.copy()
