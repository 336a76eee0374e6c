"""Links of the gossip mesh: small messages to anybody of the run, best effort, beside the data links on the same port.

A connection is dialled when there is something to say, and stays; so a probe costs one small packet each way and never
waits behind a tensor, and a process that dies is noticed by everyone it has talked to, at once.
"""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
from collections import deque
from typing import Protocol

from actors.transport.gossip_connection import FrameKind, GossipConnection
from actors.transport.handshake import compatible
from actors.transport.messages import Hello
from actors.transport.profile import Profile
from actors.transport.refusals import Refusals
from actors.transport.shaping import Shape
from actors.transport.sockets import dial

logger = logging.getLogger("tessera.transport")

MAX_QUEUED = 64
"""Messages that wait while a connection forms; the oldest is dropped."""
MAX_CONNECTIONS = 1024
MANY, IDLE_S = 128, 120.0
"""Beyond so many connections, those unused for so long are closed."""
_TWIN_S = 1.0
"""The second of two connections between one pair is closed after this."""
_APART_S = 1e-6
"""Between two delayed messages of one connection: timers of one and the same time ring in any order."""
_PREFIX = "tcp:"


class GossipEvents(Protocol):
    """What gossip links tell their owner. Called in the event loop; each must return quickly."""

    def on_gossip(self, peer_id: str, data: bytes) -> None:
        """A message of an authenticated participant of this run."""

    def on_gossip_broken(self, peer_id: str) -> None:
        """The last connection to a peer ended, and neither side had said goodbye."""

    def on_gossip_unreachable(self, peer_id: str, address: str, refused: bool) -> None:
        """No connection formed. `peer_id` is empty where only an address was known; `refused`: nobody listens there."""


class GossipLinks:
    """All gossip connections of one participant."""

    def __init__(
        self,
        own_id: str,
        hello: Hello,
        context: ssl.SSLContext,
        profile: Profile,
        events: GossipEvents,
        refusals: Refusals,
        shape: Shape | None,
    ) -> None:
        self._own_id, self._hello, self._context, self._profile = own_id, hello, context, profile
        self._events, self._refusals = events, refusals
        self._delay = (shape.delay_ms / 1e3, shape.jitter_ms / 1e3) if shape is not None else (0.0, 0.0)
        self._random = random.Random(shape.seed if shape is not None else 0)
        self._loop = asyncio.get_running_loop()
        self._links: dict[str, list[GossipConnection]] = {}
        self._queues: dict[str, deque[bytes]] = {}
        """peer id or address -> what waits for the dial under way"""
        self._tasks: set[asyncio.Task[None]] = set()
        self._all: set[GossipConnection] = set()
        self._places: dict[str, str] = {}
        """address -> peer id that answered there; our own id for ourselves"""
        self._last: dict[GossipConnection, float] = {}
        """When the last delayed message over a connection is due"""
        self._blocked: set[str] = set()
        self._deaf = True
        """Whether nothing comes from those who are blocked, either."""
        self._closing = False
        self.dropped = 0
        """Messages that were not sent: no address, a full queue, a slow peer."""
        self.sent_bytes = self.received_bytes = 0

    # --- what the owner does -------------------------------------------------------------------------------------

    def send(self, peer_id: str, addresses: tuple[str, ...], data: bytes) -> None:
        """To a peer, over a connection that stands or through one of its addresses (`tcp:host:port`)."""
        if peer_id in self._blocked:
            if peer_id not in self._links:
                self._loop.call_later(self._profile.dial_s, self._unreachable, peer_id, "", False)
            return
        connections = self._links.get(peer_id)
        if connections:
            self._write(connections[0], data)
        else:
            self._dial(peer_id, peer_id, addresses, data)

    def contact(self, address: str, data: bytes) -> None:
        """To whoever of the run answers at an address."""
        known = self._places.get(address)
        if known == self._own_id:
            return
        if known is not None and known in self._links:
            self.send(known, (), data)
        else:
            self._dial(address, "", (address,), data)

    def block(self, peers: set[str], *, incoming: bool = True) -> None:
        """Fault injection: nothing passes to (and from) these peers any more, silently; an empty set heals."""
        self._blocked, self._deaf = set(peers), incoming

    def connected(self, peer_id: str) -> bool:
        """Whether a connection to that peer stands."""
        return peer_id in self._links

    async def close(self) -> None:
        """Say goodbye to everyone."""
        self._closing = True
        for task in list(self._tasks):
            task.cancel()
        for connection in list(self._all):
            connection.close()
        if self._all:
            await asyncio.wait([connection.closed for connection in self._all], timeout=1.0)
        for connection in list(self._all):
            connection.abort()
        if self._all:
            await asyncio.wait([connection.closed for connection in self._all], timeout=1.0)
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- connections ---------------------------------------------------------------------------------------------

    def taken_over(self) -> GossipConnection:
        """A protocol for an accepted connection whose TLS handshake asked for gossip."""
        return self._connection(dialled=False)

    def _connection(self, *, dialled: bool) -> GossipConnection:
        connection = GossipConnection(self, self._hello, self._profile.handshake_s, dialled=dialled)
        self._all.add(connection)
        return connection

    def _dial(self, key: str, peer_id: str, addresses: tuple[str, ...], data: bytes) -> None:
        places = [address for address in addresses if address.startswith(_PREFIX)]
        if self._closing or not places:
            self.dropped += 1
            return
        queue = self._queues.get(key)
        if queue is None:
            queue = self._queues[key] = deque()
            task = self._loop.create_task(self._connect(key, peer_id, places))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        queue.append(data)
        if len(queue) > MAX_QUEUED:
            queue.popleft()
            self.dropped += 1

    async def _connect(self, key: str, peer_id: str, addresses: list[str]) -> None:
        """Try the addresses in turn, then send what waited."""
        refused, connection = False, None
        try:
            for address in addresses:
                connection, refused = await self._try(address, peer_id)
                if connection is not None:
                    break
        finally:
            queue = self._queues.pop(key)
        if connection is not None:
            for data in queue:
                self._write(connection, data)
        elif self._places.get(addresses[0]) != self._own_id:
            self.dropped += len(queue)
            self._unreachable(peer_id, addresses[0], refused)

    async def _try(self, address: str, peer_id: str) -> tuple[GossipConnection | None, bool]:
        """One attempt: the connection, or None and whether it was refused."""
        connection: GossipConnection | None = None
        try:
            async with asyncio.timeout(self._profile.dial_s):
                where = address.removeprefix(_PREFIX)
                connection = await dial(
                    where, self._context, lambda: self._connection(dialled=True), self._profile.handshake_s, None
                )
                self._remember(address, connection.peer_id)
                if peer_id and connection.peer_id != peer_id:
                    detail = f"{peer_id[:8]} was expected at {where}, but {connection.peer_id[:8]} is there"
                    self._refusals.count("wrong-identity", detail)
                elif connection.peer_id != self._own_id:
                    ends = {connection.agreed, connection.closed}
                    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
                    if connection.accepted:
                        return connection, False
                connection.close()
        except (OSError, ValueError) as error:  # TimeoutError and ssl.SSLError are OSErrors
            if isinstance(error, ssl.SSLError):
                self._refusals.count("tls-handshake", f"dialling {address}: {error}")
            if connection is not None:
                connection.abort()
            return None, isinstance(error, ConnectionRefusedError)
        return None, False

    def _remember(self, address: str, peer_id: str) -> None:
        self._places[address] = peer_id
        if len(self._places) > MAX_CONNECTIONS:
            del self._places[next(iter(self._places))]

    def _unreachable(self, peer_id: str, address: str, refused: bool) -> None:
        if not self._closing:
            self._events.on_gossip_unreachable(peer_id, address, refused)

    def _write(self, connection: GossipConnection, data: bytes) -> None:
        connection.used_at = self._loop.time()
        delay, jitter = self._delay
        if not delay and not jitter:
            self._written(connection, data)
            return
        now = self._loop.time()
        due = max(now + delay + jitter * self._random.random(), self._last.get(connection, 0.0) + _APART_S)
        self._last[connection] = due
        self._loop.call_at(due, self._written, connection, data)

    def _written(self, connection: GossipConnection, data: bytes) -> None:
        if connection.peer_id in self._blocked or not connection.send(FrameKind.DATA, data):
            self.dropped += 1
        else:
            self.sent_bytes += 4 + len(data)

    # --- what connections call -----------------------------------------------------------------------------------

    def gossip_hello(self, connection: GossipConnection, hello: Hello) -> None:
        """Accept or refuse who is there."""
        peer_id = connection.peer_id
        refusal = compatible(self._hello, hello, peer_id)
        if refusal is not None:
            self._refusals.count(refusal.reason, refusal.detail)
            connection.refuse(refusal)
            return
        if self._closing or peer_id in self._blocked or peer_id == self._own_id:
            connection.close()
            return
        connection.accept()
        connection.used_at = self._loop.time()
        links = self._links.setdefault(peer_id, [])
        links.insert(0, connection)
        links.sort(key=self._preference)
        if len(links) > 1:
            self._loop.call_later(_TWIN_S, self._close_twins, peer_id)
        if len(self._links) > MANY:
            self._close_idle()

    def _preference(self, connection: GossipConnection) -> bool:
        """Both sides keep the one that the smaller id dialled, and of two such the newer (the sort is stable)."""
        return connection.dialled != (self._own_id < connection.peer_id)

    def _close_twins(self, peer_id: str) -> None:
        links = self._links.get(peer_id, [])
        for connection in links[1:]:
            connection.close()

    def _close_idle(self) -> None:
        """Too many: end those that nobody uses, and beyond the limit the one that was used longest ago."""
        now = self._loop.time()
        oldest = sorted(self._links.items(), key=lambda item: item[1][0].used_at)
        for count, (_, connections) in enumerate(oldest):
            excess = len(self._links) - count
            if excess <= MANY or (now - connections[0].used_at < IDLE_S and excess <= MAX_CONNECTIONS):
                return
            for connection in list(connections):
                connection.close()

    def gossip_data(self, connection: GossipConnection, data: bytes) -> None:
        """A message; a fault of the owner's must not look like a fault of the link."""
        connection.used_at = self._loop.time()
        self.received_bytes += 4 + len(data)
        if connection.peer_id in self._blocked and self._deaf:
            return
        try:
            self._events.on_gossip(connection.peer_id, data)
        except Exception:
            logger.exception("the handler of gossip from %s failed", connection.peer_id[:8])
            self._refusals.count("handler-failed", f"gossip from {connection.peer_id[:8]}")

    def gossip_refused(self, connection: GossipConnection, reason: str, detail: str) -> None:
        """Bytes that changed nothing."""
        self._refusals.count(reason, detail)

    def gossip_closed(self, connection: GossipConnection) -> None:
        """A connection is gone; the last one of a peer without a goodbye is a hint that the peer is gone too."""
        self._all.discard(connection)
        self._last.pop(connection, None)
        links = self._links.get(connection.peer_id, [])
        if connection not in links:
            return
        links.remove(connection)
        if links:
            return
        del self._links[connection.peer_id]
        if not connection.on_purpose and not self._closing and connection.peer_id not in self._blocked:
            self._events.on_gossip_broken(connection.peer_id)
