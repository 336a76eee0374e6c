"""One TLS connection of gossip: a hello from each side, then small opaque messages, until a bye.

    u8 kind | u24 length | bytes       kinds: data, hello, refusal, bye

A frame and its TLS record are one segment; nothing is acknowledged or repeated, because the messages may be lost.
"""

from __future__ import annotations

import asyncio
import enum
from typing import Protocol

from actors.transport.errors import IdentityError, WireError
from actors.transport.messages import LINK_MESSAGES, Hello, Refusal
from actors.transport.tls import peer_id_of

MAX_FRAME = 512 << 10
MAX_HELLO = 8 << 10
WRITE_LIMIT = 1 << 20
"""Bytes that a slow peer may leave waiting; further messages to it are dropped."""
_BUFFER = 16 << 10


class FrameKind(enum.IntEnum):
    """What a frame holds."""

    DATA = 0
    HELLO = 1
    REFUSAL = 2
    BYE = 3


class GossipOwner(Protocol):
    """Who decides about a connection."""

    def gossip_hello(self, connection: GossipConnection, hello: Hello) -> None:
        """The other side's hello."""

    def gossip_data(self, connection: GossipConnection, data: bytes) -> None:
        """A message of an accepted peer."""

    def gossip_refused(self, connection: GossipConnection, reason: str, detail: str) -> None:
        """Bytes that are no frame, or the other side will not talk; the connection is closed by the caller."""

    def gossip_closed(self, connection: GossipConnection) -> None:
        """It is gone."""


class GossipConnection(asyncio.BufferedProtocol):
    """One connection, dialled or accepted."""

    def __init__(self, owner: GossipOwner, hello: Hello, handshake_s: float, *, dialled: bool) -> None:
        self.peer_id = ""
        """The identity proved by TLS."""
        self.dialled = dialled
        self.accepted = False
        """Its hello was accepted: it belongs to its peer's link."""
        self.on_purpose = False
        """One side said bye, or will not talk."""
        self.used_at = 0.0
        self.agreed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.sent_bytes = self.received_bytes = 0
        self._owner = owner
        self._hello = hello
        self._handshake_s = handshake_s
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray(_BUFFER)
        self._waiting = bytearray()
        self._timer: asyncio.TimerHandle | None = None

    # --- what the owner does -------------------------------------------------------------------------------------

    def accept(self) -> None:
        """The hello is good."""
        self.accepted = True
        self._stop_timer()
        if not self.agreed.done():
            self.agreed.set_result(None)

    def send(self, kind: FrameKind, body: bytes) -> bool:
        """Write a frame; False when it had to be dropped."""
        transport = self._transport
        if transport is None or transport.is_closing() or transport.get_write_buffer_size() > WRITE_LIMIT:
            return False
        transport.write(bytes((kind, *len(body).to_bytes(3, "big"))) + body)
        self.sent_bytes += 4 + len(body)
        return True

    def refuse(self, refusal: Refusal) -> None:
        """Say why not, and close."""
        self.send(FrameKind.REFUSAL, LINK_MESSAGES.encode(refusal))
        self.close()

    def close(self) -> None:
        """Say goodbye and close."""
        self.on_purpose = True
        self._stop_timer()
        if self._transport is not None and not self._transport.is_closing():
            self.send(FrameKind.BYE, b"")
            self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._stop_timer()
        if self._transport is not None:
            self._transport.abort()

    # --- what asyncio calls --------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """TLS is done."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._handshake_s, self._malformed, WireError("no-hello", "no hello in time"))
        try:
            self.peer_id = peer_id_of(transport.get_extra_info("ssl_object"))
        except IdentityError as error:
            self._malformed(WireError("bad-identity", str(error)))
            return
        self.send(FrameKind.HELLO, LINK_MESSAGES.encode(self._hello))

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go."""
        return memoryview(self._buffer)

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes were put there."""
        self.received_bytes += nbytes
        self._waiting += memoryview(self._buffer)[:nbytes]
        try:
            self._read()
        except WireError as error:
            self._malformed(error)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self._stop_timer()
        self._transport = None  # asyncio's TLS keeps our methods: the circle would keep a third of a mebibyte
        if not self.closed.done():
            self.closed.set_result(None)
        self._owner.gossip_closed(self)

    def eof_received(self) -> bool | None:
        """The other side closed."""
        return None

    # --- inside --------------------------------------------------------------------------------------------------

    def _read(self) -> None:
        """Take whole frames from what came."""
        waiting = self._waiting
        while len(waiting) >= 4 and self._transport is not None and not self._transport.is_closing():
            size = int.from_bytes(waiting[1:4], "big")
            limit = MAX_FRAME if self.accepted else MAX_HELLO
            if size > limit:
                raise WireError("oversized-gossip", f"{size} bytes of gossip, at most {limit}")
            if len(waiting) < 4 + size:
                return
            kind, body = waiting[0], bytes(waiting[4 : 4 + size])
            del waiting[: 4 + size]
            self._frame(kind, body)

    def _frame(self, kind: int, body: bytes) -> None:
        if kind == FrameKind.DATA and self.accepted:
            self._owner.gossip_data(self, body)
        elif kind == FrameKind.HELLO and not self.accepted:
            hello = LINK_MESSAGES.decode(body)
            if not isinstance(hello, Hello):
                raise WireError("no-hello", f"{type(hello).__name__} came instead of a hello")
            self._owner.gossip_hello(self, hello)
        elif kind == FrameKind.REFUSAL:
            refusal = LINK_MESSAGES.decode(body)
            if not isinstance(refusal, Refusal):
                raise WireError("bad-header", "a refusal that is none")
            self._end("refused-by-peer", f"{self.peer_id[:8]}: {refusal.reason}: {refusal.detail}")
        elif kind == FrameKind.BYE:
            self.on_purpose = True
            if self._transport is not None:
                self._transport.close()
        else:
            raise WireError("bad-gossip", f"a frame of kind {kind} at this place")

    def _malformed(self, error: WireError) -> None:
        self._end(error.reason, f"gossip of {self.peer_id[:8] or 'somebody'}: {error.detail}")

    def _end(self, reason: str, detail: str) -> None:
        self.on_purpose = True
        self._owner.gossip_refused(self, reason, detail)
        self.abort()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
