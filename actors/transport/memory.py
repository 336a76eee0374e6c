"""The in-memory twin of the TCP transport: same interface, same schema checks, no sockets.

Messages go through the real encoder and the real parser, so a message that would not travel does not travel here.
Several transports of one process may run in different event loops, as participants do in a simulated world.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Protocol

from actors.transport.base import Array, LinkInfo, Peer, SentBytes, TensorSpec, TransportEvents
from actors.transport.counting import SentCounter
from actors.transport.deadline import Deadline
from actors.transport.errors import LinkError, WireError
from actors.transport.frame import MAX_PAYLOAD, build
from actors.transport.gossip import GossipEvents
from actors.transport.memory_gossip import MemoryGossip
from actors.transport.memory_hub import MemoryHub
from actors.transport.parser import FrameParser
from actors.transport.refusals import Refusals
from actors.transport.schema import MessageRegistry


class _NoGossip:
    """Implements `GossipEvents` for an owner without a mesh."""

    def on_gossip(self, peer_id: str, data: bytes) -> None:
        """Nothing."""

    def on_gossip_broken(self, peer_id: str) -> None:
        """Nothing."""

    def on_gossip_unreachable(self, peer_id: str, address: str, refused: bool) -> None:
        """Nothing."""


class _Owner(Protocol):
    """What an inbox needs of its transport."""

    @property
    def events(self) -> TransportEvents:
        """Takes what arrives."""

    @property
    def refusals(self) -> Refusals:
        """Counts what is refused."""


class _Inbox:
    """Parses what one process of a peer sends to one transport."""

    def __init__(self, owner: _Owner, peer_id: str, registry: MessageRegistry) -> None:
        self.received_bytes = 0
        self._owner, self._peer_id = owner, peer_id
        self._parser = FrameParser(registry, self, MAX_PAYLOAD)

    def take(self, buffers: Sequence[memoryview]) -> None:
        """All bytes of a frame."""
        for buffer in buffers:
            self.received_bytes += len(buffer)
            self._parser.feed(buffer)

    def admit(self, message: object, specs: tuple[TensorSpec, ...]) -> str | None:
        """As the owner says."""
        return self._owner.events.admit(self._peer_id, message, specs) if specs else None

    def on_frame(self, message: object, tensors: tuple[Array, ...]) -> None:
        """A message."""
        self._owner.events.on_message(self._peer_id, message, tensors)

    def on_skipped(self, message: object, reason: str) -> None:
        """Tensors that were not wanted."""
        self._owner.refusals.count("not-admitted", f"{type(message).__name__} from {self._peer_id[:8]}: {reason}")


class MemoryTransport:
    """Implements `base.Transport`, and `MeshTransport` where it carries gossip.

    Args:
        peer_id: of the owner.
        hub: the network. Its weather says how messages travel and how soon a lost link is noticed.
        registry: the kinds of messages.
        events: told of what arrives.
        gossip: told of the gossip that arrives; None for an owner without a mesh.
    """

    def __init__(
        self,
        peer_id: str,
        hub: MemoryHub,
        registry: MessageRegistry,
        events: TransportEvents,
        gossip: GossipEvents | None = None,
    ) -> None:
        self.events = events
        self.refusals = Refusals(events.on_refused)
        self.loop = asyncio.get_running_loop()
        """The event loop of the owner's process."""
        self._peer_id, self._hub, self._registry = peer_id, hub, registry
        self._gossip = MemoryGossip(peer_id, hub, gossip if gossip is not None else _NoGossip(), self.loop)
        self._sent = SentCounter()
        self._members: dict[str, Peer] = {}
        self._up: dict[str, MemoryTransport] = {}
        """Peers whose link stands -> the process at its other end."""
        self._sent_to: dict[str, int] = {}
        self._inboxes: dict[str, _Inbox] = {}
        self._noticing: dict[str, tuple[MemoryTransport | None, MemoryTransport | None]] = {}
        """Changes of links that will be noticed: peer -> (who can be reached now, with whom the link stands)."""
        self._blocked: frozenset[str] = frozenset()
        self._deaf = False

    @property
    def peer_id(self) -> str:
        """The own id."""
        return self._peer_id

    @property
    def sent(self) -> SentBytes:
        """Cumulative bytes by purpose."""
        return self._sent.snapshot()

    @property
    def refused(self) -> dict[str, int]:
        """Reason -> cases."""
        return self.refusals.counts

    @property
    def gossip(self) -> MemoryGossip:
        """Links of the mesh."""
        return self._gossip

    async def listen(self, host: str, port: int) -> str:
        """Join the hub; host and port are ignored."""
        return self._hub.join(self)

    # Who is there

    def set_members(self, members: Mapping[str, Peer]) -> None:
        """Links exist to members that list this one too."""
        self._members = {peer_id: peer for peer_id, peer in members.items() if peer_id != self._peer_id}
        self._up = {peer_id: other for peer_id, other in self._up.items() if peer_id in self._members}
        self._hub.changed()

    def knows(self, peer_id: str) -> bool:
        """Whether that peer is a member."""
        return peer_id in self._members

    def block(self, peers: set[str], *, incoming: bool = True) -> None:
        """Fault injection: nothing passes to (and from) these peers any more; an empty set heals."""
        self._blocked, self._deaf = frozenset(peers), incoming
        self._hub.changed()

    def sends_nothing_to(self, peer_id: str) -> bool:
        """Whether `block` stops what goes to a peer."""
        return peer_id in self._blocked

    def hears_nothing_of(self, peer_id: str) -> bool:
        """Whether `block` stops what comes from a peer."""
        return self._deaf and peer_id in self._blocked

    def nobody_listens(self, peer_id: str, address: str) -> None:
        """Gossip was refused at the peer's address: a link that is broken there is lost at once."""
        if self._hub.process(peer_id) is None:
            self._settle(peer_id)

    def look(self) -> None:
        """Compare which links stand with which could, and notice the difference when the weather says."""
        for peer_id in self._members:
            reached, had = self._hub.reach(self._peer_id, peer_id), self._up.get(peer_id)
            if reached is not had and self._noticing.get(peer_id) != (reached, had):
                self._noticing[peer_id] = (reached, had)
                gone = had is not None and self._hub.process(peer_id) is not had
                up = reached is not None and had is None
                after = self._hub.weather.notice_s(self._peer_id, peer_id, up=up, vanished=gone)
                self.loop.call_later(after, self._settle, peer_id)

    def _settle(self, peer_id: str) -> None:
        """Tell the owner what is so now."""
        self._noticing.pop(peer_id, None)
        peer, had = self._members.get(peer_id), self._up.get(peer_id)
        reached = self._hub.reach(self._peer_id, peer_id)
        if peer is None or reached is had:
            return
        if had is not None:
            del self._up[peer_id]
            self._inboxes.pop(peer_id, None)
            self.events.on_peer_down(peer_id, f"{peer.name}: cut off")
        if reached is not None:
            self._up[peer_id] = reached
            self.events.on_peer_up(peer_id)

    # What passes

    async def send(self, peer_id: str, message: object, tensors: Sequence[Array] = (), *, deadline: Deadline) -> int:
        """Hand a message to the network; see `base.Transport.send`."""
        if peer_id not in self._members:
            raise LinkError(peer_id[:8], "it is no member of this mesh")
        frame = build(self._registry, message, tensors)
        other = self._up.get(peer_id)
        if other is None or self._hub.open_way(self._peer_id, peer_id) is None:
            raise LinkError(self._members[peer_id].name, f"it is lost; {frame.kind.kind} was not sent")
        self._sent.add(frame, message)
        self._sent_to[peer_id] = self._sent_to.get(peer_id, 0) + frame.nbytes
        copies = [memoryview(bytes(buffer)) for buffer in frame.buffers]
        for delay in self._hub.weather.link_arrivals(self._peer_id, peer_id):
            other.loop.call_later(delay, other.take, self, copies)
        return frame.nbytes

    def take(self, sender: MemoryTransport, buffers: Sequence[memoryview]) -> None:
        """A frame of a peer's process; lost when that is not the process that this one has a link with."""
        peer_id = sender.peer_id
        if self._up.get(peer_id) is not sender:
            self._settle(peer_id)
        if self._up.get(peer_id) is not sender or self._hub.open_way(peer_id, self._peer_id) is None:
            return
        inbox = self._inboxes.setdefault(peer_id, _Inbox(self, peer_id, self._registry))
        try:
            inbox.take(buffers)
        except WireError as error:
            del self._inboxes[peer_id]
            self.refusals.count(error.reason, f"{peer_id[:8]}: {error.detail}")

    def take_gossip(self, peer_id: str, data: bytes) -> None:
        """A message of the mesh."""
        if self._hub.process(self._peer_id) is self:
            self._gossip.take(peer_id, data)

    def linked(self, peer_id: str) -> None:
        """A gossip connection to a peer stands."""
        self._gossip.add(peer_id)

    def gossip_broken(self, peer_id: str) -> None:
        """The gossip connection to a peer ended, not on purpose."""
        self._gossip.broken(peer_id)

    def links(self) -> tuple[LinkInfo, ...]:
        """One entry a member."""
        received = {peer_id: inbox.received_bytes for peer_id, inbox in self._inboxes.items()}
        return tuple(
            LinkInfo(
                peer_id,
                peer.name,
                peer_id in self._up,
                0.0 if peer_id in self._up else None,
                self._sent_to.get(peer_id, 0),
                received.get(peer_id, 0),
                0,
            )
            for peer_id, peer in self._members.items()
        )

    # The end

    async def close(self) -> None:
        """Leave the hub after what was sent has been delivered."""
        await asyncio.sleep(0)
        self._members = {}
        self._hub.leave(self)

    def vanish(self) -> None:
        """The owner's process is gone, without a word."""
        self._gossip.broken_for_all()
        self._hub.leave(self)
