"""Links over TCP and TLS 1.3: the transport that real participants use.

Between two members there are two connections, one a lane, both dialled by the one with the smaller id. This module
decides who may talk (identity, version, run, membership) and gives each connection to its link.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence

from actors.transport.base import Array, LinkInfo, Peer, SentBytes, TensorSpec, TransportEvents
from actors.transport.connection import SHUTDOWN_S, Connection
from actors.transport.counting import SentCounter
from actors.transport.deadline import Deadline
from actors.transport.errors import LinkError, WireError
from actors.transport.frame import MAX_PAYLOAD, Frame, build
from actors.transport.gossip import GossipEvents, GossipLinks
from actors.transport.handshake import NOT_READY, judge
from actors.transport.identity import Identity
from actors.transport.link import PeerLink
from actors.transport.messages import LINK_MESSAGES, PROTOCOL, SOFTWARE, Hello, Refusal
from actors.transport.profile import Profile
from actors.transport.refusals import Refusals
from actors.transport.schema import Lane, MessageRegistry
from actors.transport.shaper import Shaper
from actors.transport.shaping import Shape
from actors.transport.sockets import Acceptor, dial, join_address, open_listener
from actors.transport.tls import client_context, server_context
from actors.transport.uplink import Uplink

logger = logging.getLogger("tessera.transport")

_FLUSH_S = 1.0
"""Closing waits so long for queued messages to leave."""


class TcpTransport:
    """Implements `base.Transport`. Create it inside a running event loop."""

    def __init__(
        self,
        identity: Identity,
        run_id: str,
        registry: MessageRegistry,
        events: TransportEvents,
        profile: Profile,
        shape: Shape | None = None,
        *,
        max_payload: int = MAX_PAYLOAD,
        protocol: int = PROTOCOL,
        gossip: GossipEvents | None = None,
    ) -> None:
        self.profile = profile
        self._peer_id = identity.peer_id
        self._registry = registry.merged(LINK_MESSAGES)
        self._events = events
        self._max_payload = max_payload
        self._hello = Hello(protocol, SOFTWARE, run_id, Lane.CONTROL, identity.name, "", 0, "")
        self._server_context = server_context(identity)
        self._client_context = client_context(identity)
        self._refusals = Refusals(events.on_refused)
        self._sent = SentCounter()
        self._shaper = Shaper(shape) if shape is not None and shape.changes_anything else None
        self._uplink = Uplink(asyncio.get_running_loop())
        self._gossip = (
            GossipLinks(
                identity.peer_id,
                self._hello,
                client_context(identity, gossip=True),
                profile,
                gossip,
                self._refusals,
                shape,
            )
            if gossip is not None
            else None
        )
        self._acceptor: Acceptor | None = None
        self._members: Mapping[str, Peer] | None = None
        self._links: dict[str, PeerLink] = {}
        self._connections: dict[Connection, tuple[PeerLink, Lane] | None] = {}
        self._leavers: set[asyncio.Task[None]] = set()
        self._cut: frozenset[str] = frozenset()
        self._deaf = True
        self._closing = False
        self._ticker = asyncio.get_running_loop().create_task(self._tick())

    # --- what the owner does -------------------------------------------------------------------------------------

    @property
    def peer_id(self) -> str:
        """Hex of the own public key."""
        return self._peer_id

    @property
    def gossip(self) -> GossipLinks:
        """Links of the mesh; only where `gossip` events were given."""
        assert self._gossip is not None
        return self._gossip

    @property
    def sent(self) -> SentBytes:
        """Cumulative bytes by purpose."""
        return self._sent.snapshot()

    @property
    def refused(self) -> dict[str, int]:
        """Reason -> cases."""
        return self._refusals.counts

    def block(self, peers: set[str], *, incoming: bool = True) -> None:
        """Fault injection: the lines to these peers carry nothing more (and nothing from them); an empty set heals.

        Connections stay, as they do when packets are lost on the way, until either side gives them up.
        """
        self._cut, self._deaf = frozenset(peers), incoming
        if self._gossip is not None:
            self._gossip.block(peers, incoming=incoming)
        for connection in list(self._connections):
            self._sever(connection)

    def _sever(self, connection: Connection) -> None:
        cut = connection.peer_id in self._cut
        connection.sever(outgoing=cut, incoming=cut and self._deaf)

    def nobody_listens(self, peer_id: str, address: str) -> None:
        """A dial of the mesh's to this member was refused by its machine."""
        link = self._links.get(peer_id)
        if link is not None and not self._closing and link.peer.address == address:
            link.refused()

    def links(self) -> tuple[LinkInfo, ...]:
        """One entry a member."""
        return tuple(link.info() for link in self._links.values())

    async def listen(self, host: str, port: int) -> str:
        """Accept connections there. Raises OSError when the address cannot be bound."""
        assert self._acceptor is None, "one listener is enough"
        buffer = self._shaper.socket_buffer if self._shaper is not None else None
        listener = await open_listener(host, port, buffer)
        self._acceptor = Acceptor(
            listener, self._server_context, self._new_connection, self.profile.handshake_s, self._refusals, buffer
        )
        bound = listener.getsockname()
        return join_address(bound[0], bound[1])

    def set_members(self, members: Mapping[str, Peer]) -> None:
        """Keep links to exactly these. A member whose address changed gets a new link."""
        assert not self._closing
        self._members = dict(members)
        for peer_id, link in list(self._links.items()):
            if members.get(peer_id) != link.peer:
                self._leave(self._links.pop(peer_id))
        for peer_id, peer in members.items():
            if peer_id != self._peer_id and peer_id not in self._links:
                dials = self._peer_id < peer_id
                self._links[peer_id] = PeerLink(peer, self, self._shaper, self._uplink, dials=dials)

    async def send(self, peer_id: str, message: object, tensors: Sequence[Array] = (), *, deadline: Deadline) -> int:
        """Queue a message; see `base.Transport.send`."""
        link = self._links.get(peer_id)
        if link is None:
            raise LinkError(peer_id[:8], "it is no member of this mesh")
        frame = build(self._registry, message, tensors, self._max_payload)
        await link.send(frame, deadline)
        self._sent.add(frame, message)
        return frame.nbytes

    async def close(self) -> None:
        """Send what is queued, for a second at most; then release everything."""
        if self._closing:
            return
        self._closing = True
        self._ticker.cancel()
        if self._acceptor is not None:
            await self._acceptor.close()
        if self._gossip is not None:
            await self._gossip.close()
        for link in self._links.values():
            link.say_goodbye()
        flush = Deadline.after(_FLUSH_S)
        while not (flush.expired or all(link.idle for link in self._links.values())):  # noqa: ASYNC110  (bounded)
            await asyncio.sleep(0.01)
        if self._shaper is not None:
            await self._shaper.drained(flush)
        links = list(self._links.values())
        for link in links:
            for connection in link.stop():
                connection.close("closed here")
            await link.join()
        await asyncio.gather(self._ticker, *self._leavers, return_exceptions=True)
        await self._close_connections()
        self._uplink.close()
        if self._shaper is not None:
            self._shaper.close()

    async def _close_connections(self) -> None:
        for connection in list(self._connections):
            connection.close("closed here")
        if self._connections:
            await asyncio.wait([connection.closed for connection in self._connections], timeout=SHUTDOWN_S)
        for connection in list(self._connections):
            connection.abort("closed here")
        if self._connections:
            await asyncio.wait([connection.closed for connection in self._connections], timeout=SHUTDOWN_S)
        await asyncio.sleep(0)  # asyncio closes the sockets one turn later

    def _leave(self, link: PeerLink) -> None:
        """Close the link to someone who is no member any more."""
        for connection in link.stop():
            connection.close("no member any more")
        task = asyncio.get_running_loop().create_task(link.join())
        self._leavers.add(task)
        task.add_done_callback(self._leavers.discard)

    async def _tick(self) -> None:
        """One timer for all links. When it comes late, we were stalled, and the peers are excused for as long."""
        loop = asyncio.get_running_loop()
        interval = min(0.25, self.profile.ping_s / 4)
        due = loop.time() + interval
        while True:
            await asyncio.sleep(max(0.0, due - loop.time()))
            late = loop.time() - due
            for link in list(self._links.values()):
                if late > interval:
                    link.excuse(late)
                link.tick(loop.time())
            due = loop.time() + interval

    # --- what links need -----------------------------------------------------------------------------------------

    def own_hello(self, lane: Lane) -> Hello:
        """A hello without session and counts."""
        return self._hello

    def frame_of(self, message: object) -> Frame:
        """Encode a link message."""
        frame = build(self._registry, message)
        self._sent.add(frame, message)
        return frame

    async def dial(self, link: PeerLink, lane: Lane) -> Connection | None:
        """One attempt to connect a lane."""
        buffer = self._shaper.socket_buffer if self._shaper is not None else None
        seconds = self.profile.handshake_s
        if link.peer.peer_id in self._cut:
            await asyncio.sleep(seconds)
            return None
        try:
            connection = await dial(link.peer.address, self._client_context, self._new_connection, seconds, buffer)
        except (OSError, ValueError) as error:
            self._note_dial_failure(link, error)
            if isinstance(error, ConnectionRefusedError):
                link.refused()
            return None
        self._connections[connection] = (link, lane)
        try:
            if connection.peer_id != link.peer.peer_id:
                detail = f"{link.peer.name} at {link.peer.address} is {connection.peer_id[:8]}"
                self._refusals.count("wrong-identity", f"{detail}, not {link.peer.peer_id[:8]}")
                return None
            connection.send_now(link.hello(lane))
            await asyncio.wait({connection.agreed, connection.closed}, return_when=asyncio.FIRST_COMPLETED)
            return connection if connection.agreed.done() else None
        finally:
            if not connection.agreed.done():
                connection.abort("the dial failed")

    def _note_dial_failure(self, link: PeerLink, error: Exception) -> None:
        if type(error).__module__ == "ssl":
            self._refusals.count("tls-handshake", f"dialling {link.peer.name} at {link.peer.address}: {error}")
        else:
            logger.debug("cannot dial %s at %s: %s", link.peer.name, link.peer.address, error)

    def deliver(self, link: PeerLink, message: object, tensors: tuple[Array, ...]) -> None:
        """A message for the owner. A fault of the owner's must not look like a fault of the link."""
        try:
            self._events.on_message(link.peer.peer_id, message, tensors)
        except Exception:
            logger.exception("the handler of %s from %s failed", type(message).__name__, link.peer.name)
            self._refusals.count("handler-failed", f"{type(message).__name__} from {link.peer.name}")

    def peer_up(self, link: PeerLink) -> None:
        """Tell the owner."""
        logger.info("link to %s is up", link.peer.name)
        self._events.on_peer_up(link.peer.peer_id)

    def peer_down(self, link: PeerLink, reason: str) -> None:
        """Tell the owner."""
        logger.warning("link to %s is lost: %s", link.peer.name, reason)
        self._events.on_peer_down(link.peer.peer_id, f"{link.peer.name}: {reason}")

    # --- what connections call -----------------------------------------------------------------------------------

    def _new_connection(self) -> Connection:
        return Connection(self, self._registry, self.profile.handshake_s, self._shaper)

    def on_made(self, connection: Connection) -> None:
        """TLS is done."""
        self._connections.setdefault(connection, None)

    def hand_over(self, transport: asyncio.Transport) -> None:
        """A connection for the mesh."""
        if self._gossip is None or self._closing:
            transport.abort()
            return
        taker = self._gossip.taken_over()
        transport.set_protocol(taker)
        taker.connection_made(transport)

    def on_hello(self, connection: Connection, hello: Hello) -> None:
        """Accept or refuse who is there."""
        if connection.peer_id in self._cut:
            connection.abort("the line is cut")
            return
        ours = self._connections.get(connection)
        dialled = ours[1] if ours is not None else None
        refusal = judge(self._hello, hello, connection.peer_id, self._peer_id, self._members, dialled)
        link = self._links.get(connection.peer_id)
        if refusal is None and (link is None or self._closing):
            refusal = Refusal(NOT_READY, "closing")
        if refusal is not None or link is None:
            assert refusal is not None
            if refusal.reason != NOT_READY:
                self._refusals.count(refusal.reason, refusal.detail)
            connection.send_now(refusal)
            connection.close(refusal.detail)
            return
        if ours is None:
            connection.send_now(link.hello(hello.lane))
            self._connections[connection] = (link, hello.lane)
        connection.opened(hello, self._max_payload)
        link.adopt(connection)

    def on_refusal(self, connection: Connection, refusal: Refusal) -> None:
        """The other side will not talk to us."""
        if refusal.reason != NOT_READY:
            self._refusals.count("refused-by-peer", f"{connection.peer_id[:8]}: {refusal.reason}: {refusal.detail}")
        connection.close(f"refused by the peer: {refusal.reason}")

    def admit(self, connection: Connection, message: object, specs: tuple[TensorSpec, ...]) -> str | None:
        """As the owner says; a fault of the owner's refuses."""
        try:
            return self._events.admit(connection.peer_id, message, specs)
        except Exception:
            logger.exception("the policy for %s failed", type(message).__name__)
            return "the policy failed"

    def on_frame(self, connection: Connection, message: object, tensors: tuple[Array, ...]) -> None:
        """A message of a link."""
        if (ours := self._connections.get(connection)) is not None:
            ours[0].message(connection, message, tensors)

    def on_skipped(self, connection: Connection, message: object, reason: str) -> None:
        """A message whose tensors were not wanted; the link goes on."""
        self._refusals.count("not-admitted", f"{type(message).__name__} from {connection.peer_id[:8]}: {reason}")
        if (ours := self._connections.get(connection)) is not None:
            ours[0].consumed(connection, 0)

    def on_malformed(self, connection: Connection, error: WireError) -> None:
        """No frame: the connection is closed, and what it was is not asked for again."""
        self._refusals.count(error.reason, f"{connection.peer_id[:8]}: {error.detail}")
        if (ours := self._connections.get(connection)) is not None:
            ours[0].consumed(connection, 0)

    def on_bytes(self, connection: Connection, nbytes: int) -> None:
        """Someone is alive."""
        if (ours := self._connections.get(connection)) is not None:
            ours[0].heard(connection, nbytes)

    def on_writable(self, connection: Connection) -> None:
        """The socket takes bytes again."""
        if (ours := self._connections.get(connection)) is not None:
            ours[0].lanes[ours[1]].pump()

    def on_closed(self, connection: Connection, reason: str) -> None:
        """A connection is gone."""
        ours = self._connections.pop(connection, None)
        if ours is not None:
            logger.debug("a connection to %s closed: %s", ours[0].peer.name, reason)
            ours[0].connection_closed(connection)
