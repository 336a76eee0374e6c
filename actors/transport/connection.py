"""One TLS connection: bytes in through the parser, bytes out as its lane hands them over.

A connection begins with a hello from each side. It belongs to nobody until its owner has accepted the hello; and its
messages are held back until both lanes of the link are there (`go_live`).
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from typing import Protocol

from actors.transport.base import Array, TensorSpec
from actors.transport.errors import IdentityError, WireError
from actors.transport.frame import build
from actors.transport.messages import Hello, Refusal
from actors.transport.parser import STAGE, FrameParser
from actors.transport.schema import MAX_HEADER, Lane, MessageRegistry
from actors.transport.shaper import Shaper
from actors.transport.tls import GOSSIP, peer_id_of

HELLO_BYTES = 8 << 10
"""A header may be this long before the hello is accepted."""
WRITE_HIGH = 512 << 10
"""Bytes waiting in the transport at which writing pauses."""
SHUTDOWN_S = 1.0
"""An orderly TLS goodbye takes this long at most."""


class ConnectionOwner(Protocol):
    """Who decides about a connection."""

    def on_made(self, connection: Connection) -> None:
        """TLS is done; it exists until `on_closed`."""

    def hand_over(self, transport: asyncio.Transport) -> None:
        """The other side wants to gossip: give its connection another protocol, or close it."""

    def on_hello(self, connection: Connection, hello: Hello) -> None:
        """The other side's hello; accept it by `opened`, or refuse."""

    def on_refusal(self, connection: Connection, refusal: Refusal) -> None:
        """The other side will not talk."""

    def admit(self, connection: Connection, message: object, specs: tuple[TensorSpec, ...]) -> str | None:
        """Why these tensors are not wanted, or None."""

    def on_frame(self, connection: Connection, message: object, tensors: tuple[Array, ...]) -> None:
        """A frame of a live connection."""

    def on_skipped(self, connection: Connection, message: object, reason: str) -> None:
        """A frame whose tensors were not wanted."""

    def on_malformed(self, connection: Connection, error: WireError) -> None:
        """Bytes that are no frame; the connection is closed by the caller."""

    def on_bytes(self, connection: Connection, nbytes: int) -> None:
        """So many bytes came."""

    def on_writable(self, connection: Connection) -> None:
        """It takes bytes again."""

    def on_closed(self, connection: Connection, reason: str) -> None:
        """It is gone."""


class Connection(asyncio.BufferedProtocol):
    """One of a link's two connections, or one that may become so."""

    def __init__(
        self, owner: ConnectionOwner, registry: MessageRegistry, handshake_s: float, shaper: Shaper | None
    ) -> None:
        self.peer_id = ""
        """The identity proved by TLS."""
        self.hello: Hello | None = None
        """The accepted hello of the other side."""
        self.live = False
        """Messages may pass."""
        self._full = False
        self._severed = False
        self._line: list[memoryview] = []
        """What was on its way when the link was cut."""
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when it is gone."""
        self.agreed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the hello of the other side was accepted."""
        self.pull: Callable[[int], memoryview | None] | None = None
        """Where its bytes come from; set by the lane that it carries."""
        self._owner = owner
        self._registry = registry
        self._handshake_s = handshake_s
        self._shaper = shaper
        self._transport: asyncio.Transport | None = None
        # weakly: a circle would keep the buffers until the garbage collector comes, which is every few minutes
        self._parser = FrameParser(registry, weakref.proxy(self), max_payload=0)
        self._parser.max_header = HELLO_BYTES
        self._held: list[tuple[object, tuple[Array, ...], str]] = []
        self._pauses: set[str] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._reason = ""
        self._read_limit = min(STAGE, shaper.read_chunk) if shaper is not None else 1 << 30

    # --- what the owner does -------------------------------------------------------------------------------------

    @property
    def blocked(self) -> bool:
        """The socket takes nothing now."""
        return self._full or self._severed

    def sever(self, *, outgoing: bool, incoming: bool) -> None:
        """Fault injection: nothing leaves, nothing is read, as if packets were lost on the way; both False heals."""
        self._pause("severed", incoming)
        before, self._severed = self._severed, outgoing
        if before and not outgoing:
            line, self._line = self._line, []
            for piece in line:
                self.write(piece)
            self._owner.on_writable(self)

    def send_now(self, message: object) -> None:
        """Write a link message before the connection is open."""
        for piece in build(self._registry, message).buffers:
            self.write(piece)

    def opened(self, hello: Hello, max_payload: int) -> None:
        """The other side's hello is accepted: the connection carries its lane from the next frame on."""
        self.hello = hello
        if not self.agreed.done():
            self.agreed.set_result(None)
        self._parser.lane = hello.lane
        self._parser.max_payload = max_payload
        self._parser.max_header = MAX_HEADER
        self._stop_timer()

    def go_live(self) -> None:
        """Both lanes are there: deliver what was held back, and all that comes."""
        self.live = True
        held, self._held = self._held, []
        for message, tensors, skipped in held:
            if not self.live:
                return
            if skipped:
                self._owner.on_skipped(self, message, skipped)
            else:
                self._owner.on_frame(self, message, tensors)
        self._pause("held", False)

    def write(self, piece: memoryview) -> None:
        """Hand bytes to the socket; dropped when it is closing."""
        if self._severed:
            self._line.append(piece)
        elif self._transport is not None and not self._transport.is_closing():
            self._transport.write(piece)

    def close(self, reason: str) -> None:
        """Send what was written, then close."""
        self._reason = self._reason or reason
        self._parser.stop()
        self._stop_timer()
        if self._transport is not None and not self._transport.is_closing():
            self._pauses.clear()
            self._transport.resume_reading()
            self._transport.close()

    def abort(self, reason: str) -> None:
        """Close at once."""
        self._reason = self._reason or reason
        self._parser.stop()
        self._stop_timer()
        if self._transport is not None:
            self._transport.abort()

    # --- what asyncio calls --------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """TLS is done."""
        assert isinstance(transport, asyncio.Transport)
        if transport.get_extra_info("ssl_object").selected_alpn_protocol() == GOSSIP:
            self._owner.hand_over(transport)
            return
        self._transport = transport
        self._owner.on_made(self)
        transport.set_write_buffer_limits(high=WRITE_HIGH if self._shaper is None else 32 << 10)
        if self._shaper is not None and hasattr(transport, "set_read_buffer_limits"):
            transport.set_read_buffer_limits(high=self._shaper.socket_buffer)
        self._timer = asyncio.get_running_loop().call_later(self._handshake_s, self._no_hello)
        try:
            self.peer_id = peer_id_of(transport.get_extra_info("ssl_object"))
        except IdentityError as error:
            self._malformed(WireError("bad-identity", str(error)))

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go."""
        return self._parser.feed_buffer(self._read_limit)

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes were put there."""
        self._owner.on_bytes(self, nbytes)
        try:
            self._parser.fed(nbytes)
        except WireError as error:
            self._malformed(error)
        if self._shaper is not None and self.hello is not None:
            self._shaper.received(self, nbytes)

    def pause_writing(self) -> None:
        """The socket is full."""
        self._full = True

    def resume_writing(self) -> None:
        """The socket takes bytes again."""
        self._full = False
        if not self._severed:
            self._owner.on_writable(self)

    def eof_received(self) -> bool | None:
        """The other side closed."""
        self._reason = self._reason or "the peer closed the connection"
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self._stop_timer()
        self._parser.stop()
        self._transport = None  # asyncio's TLS keeps our methods: the circle would keep a third of a mebibyte
        self.live = False
        if self._shaper is not None:
            self._shaper.forget(self)
        reason = self._reason or (f"{type(exc).__name__}: {exc}" if exc else "the connection was closed")
        if not self.closed.done():
            self.closed.set_result(None)
        self._owner.on_closed(self, reason)

    # --- what the parser calls -----------------------------------------------------------------------------------

    def admit(self, message: object, specs: tuple[TensorSpec, ...]) -> str | None:
        """Only hello and refusal before the hello is accepted; afterwards as the owner says."""
        if self.hello is None:
            if not isinstance(message, Hello | Refusal):
                raise WireError("no-hello", f"{type(message).__name__} came before the hello")
            return None
        return self._owner.admit(self, message, specs) if specs else None

    def on_frame(self, message: object, tensors: tuple[Array, ...]) -> None:
        """A whole frame."""
        if isinstance(message, Refusal):
            self._owner.on_refusal(self, message)
        elif isinstance(message, Hello):
            if self.hello is not None:
                raise WireError("second-hello", "one hello is enough")
            self._owner.on_hello(self, message)
        elif self.live:
            self._owner.on_frame(self, message, tensors)
        else:
            self._hold(message, tensors, "")

    def on_skipped(self, message: object, reason: str) -> None:
        """A frame whose tensors were dropped."""
        if self.live:
            self._owner.on_skipped(self, message, reason)
        else:
            self._hold(message, (), reason)

    # --- what the shaper calls -----------------------------------------------------------------------------------

    @property
    def shaped_lane(self) -> Lane:
        """Its lane."""
        return self.hello.lane if self.hello is not None else Lane.CONTROL

    def next_piece(self, limit: int) -> memoryview | None:
        """Bytes of its lane that go next, or None."""
        return self.pull(limit) if self.live and self.pull is not None else None

    def deliver(self, piece: memoryview) -> None:
        """What has travelled the emulated line."""
        if self.live:
            self.write(piece)

    def pace(self, paused: bool) -> None:
        """Stop or go on reading for the downlink's sake."""
        self._pause("downlink", paused)

    # --- inside --------------------------------------------------------------------------------------------------

    def _hold(self, message: object, tensors: tuple[Array, ...], skipped: str) -> None:
        self._held.append((message, tensors, skipped))
        self._pause("held", True)

    def _pause(self, why: str, paused: bool) -> None:
        before = bool(self._pauses)
        (self._pauses.add if paused else self._pauses.discard)(why)
        if self._transport is None or self._transport.is_closing() or before == bool(self._pauses):
            return
        if self._pauses:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _malformed(self, error: WireError) -> None:
        self._owner.on_malformed(self, error)
        self.abort(f"{error.reason}: {error.detail}")

    def _no_hello(self) -> None:
        self._malformed(WireError("no-hello", f"no hello within {self._handshake_s:g} s"))

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
