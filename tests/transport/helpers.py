"""A small run for tests: an owner, participants, four messages, and events that can be waited for."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from actors.transport.base import Array, Peer, TensorSpec
from actors.transport.identity import Identity, Owner
from actors.transport.profile import Profile
from actors.transport.schema import Lane, MessageRegistry, TrafficClass
from actors.transport.shaping import Shape
from actors.transport.tcp import TcpTransport

RUN = "run-1"
QUICK = Profile(name="test", ping_s=0.1, idle_ping_s=0.5, silence_s=2.5, redial_s=1.5, connect_s=15.0, handshake_s=2.0)
"""Short enough for tests, long enough for a busy machine."""
PATIENCE_S = 20.0
"""Nothing here takes this long; a test that waits so long has failed."""

REGISTRY = MessageRegistry()


@REGISTRY.message(kind="test.bulk", lane=Lane.BULK, traffic=TrafficClass.BOUNDARY, tensors=1)
@dataclass(frozen=True)
class Bulk:
    """One tensor."""

    number: int
    boundary: int = 0


@REGISTRY.message(kind="test.note")
@dataclass(frozen=True)
class Note:
    """No tensor."""

    text: str


@REGISTRY.message(kind="test.pair", lane=Lane.BULK, traffic=TrafficClass.AVERAGING, tensors=2)
@dataclass(frozen=True)
class Pair:
    """Two tensors."""

    number: int


@REGISTRY.message(kind="test.spare", lane=Lane.BULK, traffic=TrafficClass.AVERAGING, tensors=1, background=True)
@dataclass(frozen=True)
class Spare:
    """One tensor, in the background."""

    number: int


class Recorder:
    """Events of one participant, in order."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, object, tuple[Array, ...]]] = []
        self.ups: list[str] = []
        self.downs: list[tuple[str, str]] = []
        self.refusals: list[tuple[str, str]] = []
        self.policy: Callable[[object, tuple[TensorSpec, ...]], str | None] = lambda message, specs: None
        self._changed = asyncio.Event()

    def on_message(self, peer_id: str, message: object, tensors: tuple[Array, ...]) -> None:
        self.messages.append((peer_id, message, tensors))
        self._changed.set()

    def on_peer_up(self, peer_id: str) -> None:
        self.ups.append(peer_id)
        self._changed.set()

    def on_peer_down(self, peer_id: str, reason: str) -> None:
        self.downs.append((peer_id, reason))
        self._changed.set()

    def admit(self, peer_id: str, message: object, specs: tuple[TensorSpec, ...]) -> str | None:
        return self.policy(message, specs)

    def on_refused(self, reason: str, detail: str) -> None:
        self.refusals.append((reason, detail))
        self._changed.set()

    async def until(self, holds: Callable[[], bool], what: str = "it") -> None:
        """Wait for a state that some event brings about."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not holds():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            seen = f"messages {len(self.messages)}, ups {self.ups}, downs {self.downs}, refusals {self.refusals[-3:]}"
            raise AssertionError(f"{what} did not happen; {seen}") from None

    async def message_count(self, count: int) -> None:
        """Wait for so many messages in all."""
        await self.until(lambda: len(self.messages) >= count, f"message {count}")


def figure(text: str) -> None:
    """Tell whoever runs with -rP or -s what was measured."""
    sys.stdout.write(f"{text}\n")


def invite(owner: Owner, folder: Path, name: str, run_id: str = RUN) -> Identity:
    """An identity with a certificate of that owner."""
    identity = Identity.load_or_create(folder / name)
    identity.install(owner.issue(identity.public_key, name, run_id), owner.ca_pem)
    return identity


@dataclass
class Node:
    """A participant under test."""

    identity: Identity
    transport: TcpTransport
    events: Recorder
    peer: Peer


async def start(
    owner: Owner,
    folder: Path,
    name: str,
    *,
    profile: Profile = QUICK,
    shape: Shape | None = None,
    run_id: str = RUN,
    protocol: int = 1,
    max_payload: int = 256 << 20,
) -> Node:
    """A listening participant without members."""
    identity, events = invite(owner, folder, name), Recorder()
    transport = TcpTransport(
        identity, run_id, REGISTRY, events, profile, shape, protocol=protocol, max_payload=max_payload
    )
    address = await transport.listen("127.0.0.1", 0)
    return Node(identity, transport, events, Peer(identity.peer_id, name, address))


def introduce(*nodes: Node) -> None:
    """Make all members of each other."""
    members = {node.peer.peer_id: node.peer for node in nodes}
    for node in nodes:
        node.transport.set_members(members)


async def connected(*nodes: Node) -> None:
    """Introduce them, and wait until everyone is up everywhere."""
    introduce(*nodes)
    for node in nodes:
        await node.events.until(lambda node=node: len(set(node.events.ups)) >= len(nodes) - 1, "being up")


async def close(*nodes: Node) -> None:
    """Close all."""
    await asyncio.gather(*(node.transport.close() for node in nodes))


async def pair(folder: Path, **options: object) -> tuple[Node, Node]:
    """Two connected participants; the one that dials comes first."""
    owner = Owner.load_or_create(folder / "owner")
    nodes = [await start(owner, folder, name, **options) for name in ("ann", "bob")]
    await connected(*nodes)
    nodes.sort(key=lambda node: node.peer.peer_id)
    return nodes[0], nodes[1]
