"""The in-memory twin of the TCP transport, for tests: same interface, same schema checks, no sockets.

Messages go through the real encoder and the real parser, so a message that would not travel does not travel here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from actors.transport.base import Array, LinkInfo, Peer, SentBytes, TensorSpec, TransportEvents
from actors.transport.counting import SentCounter
from actors.transport.deadline import Deadline
from actors.transport.errors import LinkError, WireError
from actors.transport.frame import MAX_PAYLOAD, build
from actors.transport.parser import FrameParser
from actors.transport.refusals import Refusals
from actors.transport.schema import MessageRegistry


class MemoryHub:
    """The network between memory transports of one event loop."""

    def __init__(self) -> None:
        self._transports: dict[str, MemoryTransport] = {}
        self._cut: set[str] = set()

    def join(self, transport: MemoryTransport) -> str:
        """A transport begins to listen; returns its address."""
        self._transports[transport.peer_id] = transport
        self.changed()
        return f"memory:{len(self._transports)}"

    def leave(self, peer_id: str) -> None:
        """A transport closed."""
        self._transports.pop(peer_id, None)
        self.changed()

    def cut(self, peer_id: str) -> None:
        """Nobody reaches this peer any more, nor does it reach anybody; all are told."""
        self._cut.add(peer_id)
        self.changed()

    def heal(self, peer_id: str) -> None:
        """Undo a cut."""
        self._cut.discard(peer_id)
        self.changed()

    def changed(self) -> None:
        """Let every transport look again at whom it reaches."""
        for transport in list(self._transports.values()):
            transport.look()

    def reach(self, one: str, other: str) -> MemoryTransport | None:
        """The other transport, when both are there, uncut and members of each other."""
        a, b = self._transports.get(one), self._transports.get(other)
        if a is None or b is None or {one, other} & self._cut or not (a.knows(other) and b.knows(one)):
            return None
        return b


class _Inbox:
    """Parses what one peer sends to one transport."""

    def __init__(self, owner: MemoryTransport, peer_id: str, registry: MessageRegistry) -> None:
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
    """Implements `base.Transport`. A cut, or a close, is a loss at once; nothing is redialled or shaped."""

    def __init__(self, peer_id: str, hub: MemoryHub, registry: MessageRegistry, events: TransportEvents) -> None:
        self.events = events
        self.refusals = Refusals(events.on_refused)
        self._peer_id = peer_id
        self._hub = hub
        self._registry = registry
        self._sent = SentCounter()
        self._members: dict[str, Peer] = {}
        self._up: set[str] = set()
        self._sent_to: dict[str, int] = {}
        self._inboxes: dict[str, _Inbox] = {}

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

    async def listen(self, host: str, port: int) -> str:
        """Join the hub; host and port are ignored."""
        return self._hub.join(self)

    def set_members(self, members: Mapping[str, Peer]) -> None:
        """Links exist to members that list this one too."""
        self._members = {peer_id: peer for peer_id, peer in members.items() if peer_id != self._peer_id}
        self._up &= self._members.keys()
        self._hub.changed()

    def knows(self, peer_id: str) -> bool:
        """Whether that peer is a member."""
        return peer_id in self._members

    def look(self) -> None:
        """Compare who is reachable with who was, and tell the owner in the loop's next turn."""
        loop = asyncio.get_running_loop()
        for peer_id in self._members:
            reached = self._hub.reach(self._peer_id, peer_id) is not None
            if reached and peer_id not in self._up:
                self._up.add(peer_id)
                loop.call_soon(self.events.on_peer_up, peer_id)
            elif not reached and peer_id in self._up:
                self._up.discard(peer_id)
                loop.call_soon(self.events.on_peer_down, peer_id, f"{self._members[peer_id].name}: cut off")

    async def send(self, peer_id: str, message: object, tensors: Sequence[Array] = (), *, deadline: Deadline) -> int:
        """Deliver in the loop's next turn; see `base.Transport.send`."""
        if peer_id not in self._members:
            raise LinkError(peer_id[:8], "it is no member of this mesh")
        frame = build(self._registry, message, tensors)
        if peer_id not in self._up or self._hub.reach(self._peer_id, peer_id) is None:
            raise LinkError(self._members[peer_id].name, f"it is lost; {frame.kind.kind} was not sent")
        self._sent.add(frame, message)
        self._sent_to[peer_id] = self._sent_to.get(peer_id, 0) + frame.nbytes
        copies = [memoryview(bytes(buffer)) for buffer in frame.buffers]
        asyncio.get_running_loop().call_soon(self._carry, peer_id, copies)
        return frame.nbytes

    def _carry(self, peer_id: str, buffers: Sequence[memoryview]) -> None:
        other = self._hub.reach(self._peer_id, peer_id)
        if other is not None:
            other.take(self._peer_id, buffers)

    def take(self, peer_id: str, buffers: Sequence[memoryview]) -> None:
        """A frame of a peer."""
        inbox = self._inboxes.setdefault(peer_id, _Inbox(self, peer_id, self._registry))
        try:
            inbox.take(buffers)
        except WireError as error:
            del self._inboxes[peer_id]
            self.refusals.count(error.reason, f"{peer_id[:8]}: {error.detail}")

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

    async def close(self) -> None:
        """Leave the hub after what was sent has been delivered."""
        await asyncio.sleep(0)
        self._members = {}
        self._hub.leave(self._peer_id)
