"""Sockets before they become connections: addresses, options, dialling and accepting.

The accept loop is our own because asyncio's servers hide handshakes that fail, and a participant has to know them.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from actors.transport.connection import SHUTDOWN_S
from actors.transport.refusals import Refusals

MAX_HANDSHAKES = 64
"""Handshakes under way at once; one more ends the oldest, which is the likeliest to be an idle stranger."""
BACKLOG = 128
_RETRY_S = 0.1
_DEAF_MS = 20_000
"""A connection whose bytes nobody acknowledges for so many milliseconds breaks. Pings watch the control lane; this
finds a bulk connection that a router forgot, which the kernel would otherwise retry for a quarter of an hour."""

AnyProtocol = TypeVar("AnyProtocol", bound=asyncio.BufferedProtocol)


def split_address(address: str) -> tuple[str, int]:
    """Host and port of `host:port` or `[v6]:port`. Raises ValueError."""
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"{address!r} is not host:port")
    return host.strip("[]"), int(port)


def join_address(host: str, port: int) -> str:
    """The reverse."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def open_listener(host: str, port: int, buffer: int | None) -> socket.socket:
    """A listening socket. Raises OSError."""
    infos = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, kind, proto, _, address = infos[0]
    listener = socket.socket(family, kind, proto)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _set_options(listener, buffer)
        listener.setblocking(False)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


async def dial(
    address: str, context: ssl.SSLContext, factory: Callable[[], AnyProtocol], handshake_s: float, buffer: int | None
) -> AnyProtocol:
    """Connect and shake hands. Raises OSError (ssl.SSLError and TimeoutError are such) or ValueError."""
    loop = asyncio.get_running_loop()
    host, port = split_address(address)
    infos = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    async with asyncio.timeout(handshake_s):  # not wait_for: on Python 3.11 it can swallow a cancellation
        sock = await _connect_first(infos, buffer)
    # From here on asyncio owns the socket and closes it, also after a failure: were it closed here, its number could go
    # to another socket while asyncio still watches it.
    _, protocol = await loop.create_connection(
        factory,
        sock=sock,
        ssl=context,
        server_hostname="",
        ssl_handshake_timeout=handshake_s,
        ssl_shutdown_timeout=SHUTDOWN_S,
    )
    return protocol


async def _connect_first(
    infos: Sequence[tuple[int, int, int, str, tuple[Any, ...]]], buffer: int | None
) -> socket.socket:
    """Try the addresses of a name in turn; raises the last one's OSError."""
    for info in infos[:-1]:
        try:
            return await _connect(info, buffer)
        except OSError:
            continue
    return await _connect(infos[-1], buffer)


async def _connect(info: tuple[int, int, int, str, tuple[Any, ...]], buffer: int | None) -> socket.socket:
    family, kind, proto, _, address = info
    sock = socket.socket(family, kind, proto)
    try:
        _set_options(sock, buffer)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


def _set_options(sock: socket.socket, buffer: int | None) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _DEAF_MS)
    if buffer is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)


class Acceptor:
    """Accepts connections and counts every handshake that fails."""

    def __init__(
        self,
        listener: socket.socket,
        context: ssl.SSLContext,
        factory: Callable[[], asyncio.BufferedProtocol],
        handshake_s: float,
        refusals: Refusals,
        buffer: int | None,
    ) -> None:
        self._listener = listener
        self._context = context
        self._factory = factory
        self._handshake_s = handshake_s
        self._refusals = refusals
        self._buffer = buffer
        self._pending: dict[asyncio.Task[None], socket.socket | None] = {}
        """Handshakes under way; the socket as long as asyncio does not own it."""
        self._loop = asyncio.get_running_loop()
        self._retry: asyncio.TimerHandle | None = None
        # Not loop.sock_accept: cancelling it may drop a socket that was accepted in the same turn.
        self._loop.add_reader(listener, self._accept)

    async def close(self) -> None:
        """Stop accepting, end handshakes under way."""
        self._loop.remove_reader(self._listener)
        if self._retry is not None:
            self._retry.cancel()
        for task in self._pending:
            task.cancel()
        await asyncio.gather(*self._pending, return_exceptions=True)
        self._listener.close()

    def _accept(self) -> None:
        """Take what is waiting, a few at a time."""
        for _ in range(16):
            try:
                sock, address = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:  # out of file descriptors: trying on at once would only burn the processor
                self._refusals.count("accept", f"cannot accept a connection: {error}")
                self._loop.remove_reader(self._listener)
                self._retry = self._loop.call_later(_RETRY_S, self._loop.add_reader, self._listener, self._accept)
                return
            self._begin(sock, join_address(*address[:2]))

    def _begin(self, sock: socket.socket, address: str) -> None:
        if len(self._pending) >= MAX_HANDSHAKES:
            self._refusals.count("too-many-handshakes", f"more than {MAX_HANDSHAKES} at once; ended the oldest")
            oldest = next((task for task in self._pending if not task.cancelling()), None)
            if oldest is None:  # all of them end in this very turn
                sock.close()
                return
            oldest.cancel()
        task = self._loop.create_task(self._handshake(sock, address))
        self._pending[task] = sock
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        sock = self._pending.pop(task)
        if sock is not None:  # cancelled before it began
            sock.close()

    async def _handshake(self, sock: socket.socket, address: str) -> None:
        try:
            sock.setblocking(False)
            with contextlib.suppress(OSError):  # the peer may be gone already; the handshake will say so
                _set_options(sock, self._buffer)
            task = asyncio.current_task()
            assert task is not None
            self._pending[task] = None
            await asyncio.get_running_loop().connect_accepted_socket(
                self._factory,
                sock,
                ssl=self._context,
                ssl_handshake_timeout=self._handshake_s,
                ssl_shutdown_timeout=SHUTDOWN_S,
            )
        except OSError as error:
            self._refusals.count("tls-handshake", f"{address}: {type(error).__name__}: {error}")
