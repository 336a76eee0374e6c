"""The link to one member: two lanes, a session that survives short breaks, pings, and the verdict that it is lost.

    wanted ──both hellos──> up ──a lane breaks──> broken ──both again──> up        nothing is lost, nothing repeated
                            └──── silent, or broken for too long ────> lost ──both again──> up, from nothing

A session is what both sides count messages in. Whoever gives up on a link, or starts anew, names a new session in its
hello; the other side sees it, drops what it had queued, and tells its owner that the peer was lost and is back.
"""

from __future__ import annotations

import asyncio
import logging
import math
import secrets
from typing import Protocol

from actors.transport.base import Array, LinkInfo, Peer
from actors.transport.connection import Connection
from actors.transport.deadline import Deadline
from actors.transport.errors import LinkError, WireError
from actors.transport.frame import Frame
from actors.transport.lane import LinkLane
from actors.transport.liveness import Liveness
from actors.transport.messages import Ack, Bye, Hello, Ping, Pong
from actors.transport.profile import Profile
from actors.transport.room import OutboxDropped, OutboxFull
from actors.transport.schema import Lane
from actors.transport.shaper import Shaper
from actors.transport.uplink import Uplink

logger = logging.getLogger("tessera.transport")
_ACK_BYTES = 1 << 20
"""Received bytes after which an acknowledgement is due at once."""
_ACK_MESSAGES = 64
_ACK_DELAY_S = 0.1
_BUSY_S = 10.0
"""A link over which a message passed within this is in use."""
_DIAL_FIRST_S, _DIAL_LONGEST_S = 0.05, 1.0
"""Pauses between attempts to dial double from the first to the longest."""


class LinkHost(Protocol):
    """What a link needs of its transport."""

    profile: Profile

    def own_hello(self, lane: Lane) -> Hello:
        """A hello without session and counts."""

    def frame_of(self, message: object) -> Frame:
        """Encode a link message and count its bytes as control."""

    async def dial(self, link: PeerLink, lane: Lane) -> Connection | None:
        """One attempt; None when it failed."""

    def deliver(self, link: PeerLink, message: object, tensors: tuple[Array, ...]) -> None:
        """A message for the owner."""

    def peer_up(self, link: PeerLink) -> None:
        """Tell the owner."""

    def peer_down(self, link: PeerLink, reason: str) -> None:
        """Tell the owner."""


class PeerLink:
    """Both lanes to one member."""

    def __init__(self, peer: Peer, host: LinkHost, shaper: Shaper | None, uplink: Uplink, *, dials: bool) -> None:
        self.peer = peer
        self.lanes = {lane: LinkLane(lane, shaper, uplink) for lane in Lane}
        self._host = host
        self._loop = asyncio.get_running_loop()
        self._liveness = Liveness(host.profile, self._loop.time())
        self._own_session = secrets.token_hex(8)
        self._peer_session: str | None = None
        self._rtt: float | None = None
        self._pinged_at = -math.inf
        self._used_at = self._loop.time()
        """When a message of the owner's passed last."""
        self._leaving = False
        self._unacked_bytes = self._unacked_messages = 0
        self._ack_timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._told_up = False
        """Whether the owner believes the peer to be up."""
        keepers = [self._keep(lane) for lane in self.lanes.values()] if dials else []
        self._tasks = [self._loop.create_task(keeper) for keeper in keepers]

    # --- forming and breaking ------------------------------------------------------------------------------------

    def hello(self, lane: Lane) -> Hello:
        """What we say first over a new connection of this link."""
        bare = self._host.own_hello(lane)
        received = self.lanes[lane].received
        return Hello(
            bare.protocol,
            bare.software,
            bare.run_id,
            lane,
            bare.name,
            self._own_session,
            received,
            self._peer_session or "",
        )

    def adopt(self, connection: Connection) -> None:
        """A connection whose hello was accepted takes its lane; one that had it is closed. Raises WireError."""
        assert connection.hello is not None
        lane = self.lanes[connection.hello.lane]
        old, lane.connection = lane.disconnect(), connection
        if old is not None:
            old.live = False
            old.abort("replaced by a newer connection")
            self._liveness.broke(self._loop.time())
        self._form()

    def _form(self) -> None:
        """Go live when both lanes are there and speak of the same session."""
        hellos = [c.hello for lane in self.lanes.values() if (c := lane.connection) is not None]
        sessions = {hello.session for hello in hellos if hello is not None}
        if len(hellos) < len(self.lanes) or len(sessions) != 1:
            return
        (session,) = sessions
        if self._peer_session not in (None, session):
            self._restart("it restarted or had given up on this link", tell=self._told_up)
        if self._closed:
            return
        self._peer_session = session
        self._leaving = False
        self._liveness.formed(self._loop.time())
        if not self._told_up:
            self._told_up = True
            self._host.peer_up(self)
        for lane in self.lanes.values():
            connection = lane.connection
            if connection is not None and connection.hello is not None and not connection.live:
                known = connection.hello.peer_session == self._own_session
                lane.begin(connection.hello.received if known else 0)

    def _restart(self, reason: str, *, tell: bool) -> None:
        for lane in self.lanes.values():
            lane.restart()
        self._rtt, self._told_up = None, False
        if tell:
            self._host.peer_down(self, reason)

    def connection_closed(self, connection: Connection) -> None:
        """One of its connections is gone."""
        for lane in self.lanes.values():
            if lane.connection is connection:
                lane.disconnect()
                self._liveness.broke(self._loop.time())
        if self._leaving and not self._closed and all(lane.connection is None for lane in self.lanes.values()):
            self._lose("it closed its links on purpose")

    def _lose(self, reason: str) -> None:
        """Give the peer up: forget the session, drop the queues, tell the owner. Dialling goes on."""
        self._leaving = False
        self._liveness.declared_lost()
        self._own_session, self._peer_session = secrets.token_hex(8), None
        self._abort(reason)
        self._restart(reason, tell=True)

    def _abort(self, reason: str) -> None:
        for lane in self.lanes.values():
            connection = lane.disconnect()
            if connection is not None:
                connection.abort(reason)

    async def _keep(self, lane: LinkLane) -> None:
        """Dial whenever a lane has no connection."""
        pause = _DIAL_FIRST_S
        while not self._closed:
            if lane.connection is not None:
                await asyncio.wait({lane.connection.closed})
                pause = _DIAL_FIRST_S
            elif not await self._dialled(lane):
                await asyncio.sleep(pause)
                pause = min(2 * pause, _DIAL_LONGEST_S)

    async def _dialled(self, lane: LinkLane) -> bool:
        """One attempt. Whatever goes wrong in it, there will be another one."""
        try:
            return await self._host.dial(self, lane.lane) is not None
        except Exception:
            logger.exception("dialling %s failed in an unexpected way", self.peer.name)
            return False

    # --- time ----------------------------------------------------------------------------------------------------

    def excuse(self, stall: float) -> None:
        """Our own loop stood still for so many seconds."""
        self._liveness.excuse(stall)

    def refused(self) -> None:
        """Nobody listens at the peer's address; with broken connections that means that its process is gone."""
        now = self._loop.time()
        self._liveness.refused(now)
        self._judge(now)

    def _judge(self, now: float) -> None:
        reason = self._liveness.verdict(now)
        if reason is not None and not self._closed:
            self._lose(reason)

    def tick(self, now: float) -> None:
        """Ping when it is time; judge."""
        self._judge(now)
        busy = now - self._used_at < _BUSY_S or not self.idle
        interval = self._host.profile.ping_s if busy else self._host.profile.idle_ping_s
        if now >= self._pinged_at + interval and self.lanes[Lane.CONTROL].live:
            self._pinged_at = now
            self._say(Ping(now, *self._received()))

    def heard(self, connection: Connection, nbytes: int) -> None:
        """Bytes came."""
        if connection.hello is not None:
            self.lanes[connection.hello.lane].received_bytes += nbytes
        self._liveness.heard(self._loop.time())

    # --- messages ------------------------------------------------------------------------------------------------

    async def send(self, frame: Frame, deadline: Deadline) -> None:
        """Queue a message. Raises LinkError."""
        name, lane = self.peer.name, self.lanes[frame.kind.lane]
        self._used_at = self._loop.time()
        if self._liveness.lost or self._closed:
            raise LinkError(name, f"it is lost; {frame.kind.kind} was not sent")
        if deadline.expired:
            raise LinkError(name, f"the deadline for {frame.kind.kind} had passed before it was queued")
        try:
            await lane.outbox.put(frame, deadline)
        except OutboxFull:
            room = lane.outbox.room(frame.kind)
            queue = "background" if frame.kind.background else lane.lane.name.lower()
            full = f"{room.taken} of {room.limit} bytes of its {queue} queue"
            state = "up" if self._liveness.up else "not connected"
            detail = f"{full} were taken when the deadline passed for {frame.kind.kind}; it is {state}"
            raise LinkError(name, detail) from None
        except OutboxDropped:
            raise LinkError(name, f"it was lost while {frame.kind.kind} waited for room") from None
        lane.pump()

    def message(self, connection: Connection, message: object, tensors: tuple[Array, ...]) -> None:
        """A message over a live connection. Raises WireError for an impossible acknowledgement."""
        if isinstance(message, Ping | Pong | Ack):
            self.lanes[Lane.CONTROL].check_ack(message.control)
            self.lanes[Lane.BULK].check_ack(message.bulk)
            if isinstance(message, Ping):
                self._say(Pong(message.sent_at, *self._received()))
            elif isinstance(message, Pong):
                self._measure(message.sent_at)
        elif isinstance(message, Bye):
            self._leaving = True
        else:
            self.consumed(connection, sum(tensor.nbytes for tensor in tensors))
            self._host.deliver(self, message, tensors)

    def consumed(self, connection: Connection, nbytes: int) -> None:
        """A message was received (or refused, or was no message at all): the peer need not repeat it."""
        if connection.hello is None or not connection.live:
            return
        self._used_at = self._loop.time()
        self.lanes[connection.hello.lane].received += 1
        self._unacked_messages += 1
        self._unacked_bytes += nbytes
        if self._unacked_bytes >= _ACK_BYTES or self._unacked_messages >= _ACK_MESSAGES:
            self._acknowledge()
        elif self._ack_timer is None:
            self._ack_timer = self._loop.call_later(_ACK_DELAY_S, self._acknowledge)

    def _acknowledge(self) -> None:
        if self._ack_timer is not None:
            self._ack_timer.cancel()
            self._ack_timer = None
        if self.lanes[Lane.CONTROL].live:
            self._say(Ack(*self._received()))

    def _received(self) -> tuple[int, int]:
        self._unacked_bytes = self._unacked_messages = 0
        return self.lanes[Lane.CONTROL].received, self.lanes[Lane.BULK].received

    def _say(self, message: object) -> None:
        control = self.lanes[Lane.CONTROL]
        control.outbox.put_aside(self._host.frame_of(message))
        control.pump()

    def _measure(self, sent_at: float) -> None:
        sample = self._loop.time() - sent_at
        if sample < 0:
            raise WireError("bad-pong", "an answer to a ping of the future")
        self._rtt = sample if self._rtt is None else self._rtt + (sample - self._rtt) / 8

    # --- the end -------------------------------------------------------------------------------------------------

    def info(self) -> LinkInfo:
        """Its state now."""
        lanes = self.lanes.values()
        return LinkInfo(
            self.peer.peer_id,
            self.peer.name,
            self._liveness.up,
            self._rtt,
            sum(lane.sent_bytes for lane in lanes),
            sum(lane.received_bytes for lane in lanes),
            sum(lane.outbox.queued_bytes for lane in lanes),
        )

    def say_goodbye(self) -> None:
        """Tell the peer that the following close is meant."""
        if self.lanes[Lane.CONTROL].live:
            self._say(Bye())

    @property
    def idle(self) -> bool:
        """Nothing waits to be written over a live lane."""
        return all(lane.outbox.idle or not lane.live for lane in self.lanes.values())

    def stop(self) -> list[Connection]:
        """Take no more messages, stop dialling; returns the connections, which the caller closes."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        if self._ack_timer is not None:
            self._ack_timer.cancel()
        for lane in self.lanes.values():
            lane.stop()
        return [lane.connection for lane in self.lanes.values() if lane.connection is not None]

    async def join(self) -> None:
        """Wait until dialling has stopped."""
        await asyncio.gather(*self._tasks, return_exceptions=True)
