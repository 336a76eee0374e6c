"""One direction-pair of a link: an outbox, the connection that carries it now, and counts that survive a break."""

from __future__ import annotations

import asyncio

from actors.transport.connection import Connection
from actors.transport.errors import WireError
from actors.transport.outbox import Outbox
from actors.transport.schema import Lane
from actors.transport.shaper import Shaper
from actors.transport.uplink import Uplink

LIMITS = {Lane.CONTROL: 8 << 20, Lane.BULK: 64 << 20}
"""Bytes that a lane keeps, by lane."""
BACKGROUND_LIMIT = 4 << 20
"""Bytes of background messages that it keeps besides: three chunks of a mebibyte, 200 Mbit/s at 0.1 s."""
PIECE = 256 << 10
"""Bytes handed to TLS at once: large enough for full speed, small enough to leave the loop to others soon."""
_PIECES_A_TURN = 4


class LinkLane:
    """The control or the bulk lane of the link to one peer."""

    def __init__(self, lane: Lane, shaper: Shaper | None, uplink: Uplink) -> None:
        self.lane = lane
        self.outbox = Outbox(LIMITS[lane], BACKGROUND_LIMIT, lambda: uplink.may_begin(self))
        self.connection: Connection | None = None
        self.received = 0
        """Messages received in the current session."""
        self.sent_bytes = 0
        self.received_bytes = 0
        self._shaper = shaper
        self._uplink = uplink
        self._pump_due = False
        if lane is Lane.BULK:
            uplink.join(self)

    @property
    def live(self) -> bool:
        """Whether messages pass."""
        return self.connection is not None and self.connection.live

    @property
    def ordinary_waits(self) -> bool:
        """Whether ordinary messages wait that its socket would take; without a connection they burden nobody."""
        return self.live and self.outbox.ordinary_waits

    def begin(self, received: int) -> None:
        """The connection was agreed on: go on after what the other side has received. Raises WireError."""
        connection = self.connection
        assert connection is not None
        self.outbox.resume(received)
        connection.pull = self._pull
        connection.go_live()
        self.pump()

    def restart(self) -> None:
        """Begin from nothing on both sides."""
        self.outbox.drop()
        self.received = 0
        self._uplink.forget(self)

    def disconnect(self) -> Connection | None:
        """Part with its connection, which the caller closes."""
        connection, self.connection = self.connection, None
        self._uplink.eased()
        return connection

    def stop(self) -> None:
        """Send nothing more."""
        self.outbox.drop()
        if self.lane is Lane.BULK:
            self._uplink.leave(self)

    def pump(self) -> None:
        """Write while the socket takes bytes; yields to the loop after a mebibyte."""
        self._pump_due = False
        connection = self.connection
        if connection is None or not connection.live:
            return
        if self._shaper is not None:
            if not self.outbox.idle:
                self._shaper.ready(connection)
            return
        for _ in range(_PIECES_A_TURN):
            if connection.blocked:
                return
            piece = self._pull(PIECE)
            if piece is None:
                return
            connection.write(piece)
        if not self._pump_due:
            self._pump_due = True
            asyncio.get_running_loop().call_soon(self.pump)

    def check_ack(self, received: int) -> None:
        """The peer has received so many messages. Raises WireError when that cannot be."""
        if received < 0:
            raise WireError("bad-ack", "a negative number of messages")
        self.outbox.ack(received)
        self.pump()

    def _pull(self, limit: int) -> memoryview | None:
        piece = self.outbox.next_piece(limit)
        if piece is not None:
            self.sent_bytes += len(piece)
            if not self.outbox.ordinary_waits:
                self._uplink.eased()
        return piece
