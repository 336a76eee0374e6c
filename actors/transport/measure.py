"""How fast a link is on this machine: two transports in one event loop, over loopback, with TLS."""

from __future__ import annotations

import asyncio
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from actors.transport.base import Array, Peer, TensorSpec
from actors.transport.deadline import Deadline
from actors.transport.identity import Identity, Owner
from actors.transport.profile import PROFILES
from actors.transport.schema import Lane, MessageRegistry, TrafficClass
from actors.transport.tcp import TcpTransport

_REGISTRY = MessageRegistry()
_LIMIT_S = 60.0


@_REGISTRY.message(kind="measure.block", lane=Lane.BULK, traffic=TrafficClass.BOUNDARY, tensors=1)
@dataclass(frozen=True)
class Block:
    """A message of which only the size matters."""

    number: int


class _Counter:
    """Counts messages and ups."""

    def __init__(self) -> None:
        self.up = asyncio.Event()
        self.messages: asyncio.Queue[int] = asyncio.Queue()

    def on_message(self, peer_id: str, message: object, tensors: tuple[Array, ...]) -> None:
        self.messages.put_nowait(tensors[0].nbytes)

    def on_peer_up(self, peer_id: str) -> None:
        self.up.set()

    def on_peer_down(self, peer_id: str, reason: str) -> None:
        self.up.clear()

    def admit(self, peer_id: str, message: object, specs: tuple[TensorSpec, ...]) -> str | None:
        return None

    def on_refused(self, reason: str, detail: str) -> None:
        pass


async def link_throughput(nbytes: int = 16 << 20, repeats: int = 16) -> float:
    """MB/s (10**6 bytes) of messages of that size, after one to warm up. Both ends share this thread."""
    with tempfile.TemporaryDirectory() as folder:
        owner = Owner.create(Path(folder) / "owner")
        nodes = [await _start(owner, Path(folder), name) for name in ("one", "two")]
        members = {peer.peer_id: peer for _, _, peer in nodes}
        for transport, _, _ in nodes:
            transport.set_members(members)
        try:
            async with asyncio.timeout(_LIMIT_S):
                for _, events, _ in nodes:
                    await events.up.wait()
                return await _measure(nodes[0][0], nodes[1][2].peer_id, nodes[1][1], nbytes, repeats)
        finally:
            for transport, _, _ in nodes:
                await transport.close()


async def _start(owner: Owner, folder: Path, name: str) -> tuple[TcpTransport, _Counter, Peer]:
    identity = Identity.load_or_create(folder / name)
    identity.install(owner.issue(identity.public_key, name, "measure"), owner.ca_pem)
    events = _Counter()
    transport = TcpTransport(identity, "measure", _REGISTRY, events, PROFILES["local"])
    address = await transport.listen("127.0.0.1", 0)
    return transport, events, Peer(identity.peer_id, name, address)


async def _measure(sender: TcpTransport, to: str, receiver: _Counter, nbytes: int, repeats: int) -> float:
    block = np.zeros(nbytes, np.uint8)
    began = 0.0
    for number in range(repeats + 1):
        await sender.send(to, Block(number), [block], deadline=Deadline.after(_LIMIT_S))
        if number == 0:
            await receiver.messages.get()
            began = time.perf_counter()
    for _ in range(repeats):
        await receiver.messages.get()
    return nbytes * repeats / (time.perf_counter() - began) / 1e6
