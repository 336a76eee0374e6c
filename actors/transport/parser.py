"""The receiving side of frames: incremental, without sockets, and safe against any bytes.

Small frames are cut out of one staging buffer. When a payload is due, its array is allocated (after every check) and
the following bytes are read straight into it. A payload that policy refuses is read into a scratch buffer instead.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from actors.transport.base import Array, TensorSpec
from actors.transport.errors import WireError
from actors.transport.frame import (
    MAX_PAYLOAD,
    PREFIX,
    Prefix,
    check_payload,
    read_header,
    read_prefix,
    split_payload,
)
from actors.transport.schema import MAX_HEADER, Lane, MessageRegistry

STAGE = 64 << 10


class FrameSink(Protocol):
    """Who receives what the parser found. Every call may stop the parser or change its limits."""

    def admit(self, message: object, specs: tuple[TensorSpec, ...]) -> str | None:
        """Why these tensors are not wanted, or None. Asked once a frame, before its payload is allocated."""

    def on_frame(self, message: object, tensors: tuple[Array, ...]) -> None:
        """A whole frame."""

    def on_skipped(self, message: object, reason: str) -> None:
        """A frame whose tensors were not wanted; its bytes have been read and dropped."""


class FrameParser:
    """Cuts a byte stream into frames. `feed_buffer` and `fed` are made for asyncio.BufferedProtocol."""

    def __init__(self, registry: MessageRegistry, sink: FrameSink, max_payload: int = MAX_PAYLOAD) -> None:
        self.max_payload = max_payload
        """Largest payload in bytes over the bulk lane; may be changed between frames."""
        self.max_header = MAX_HEADER
        """Largest header in bytes; may be changed between frames."""
        self.lane: Lane | None = None
        """When set, frames of the other lane are refused."""
        self._registry = registry
        self._sink = sink
        self._stage = memoryview(bytearray(STAGE))
        self._start = self._end = 0
        self._prefix: Prefix | None = None
        self._message: object = None
        self._specs: tuple[TensorSpec, ...] = ()
        self._payload: Array | None = None
        self._target = self._stage[:0]
        self._left = 0
        self._skip = ""
        self._stopped = False

    def stop(self) -> None:
        """Deliver nothing more; what still comes is dropped."""
        self._stopped = True

    def feed_buffer(self, limit: int) -> memoryview:
        """Where the next bytes belong: never empty, at most `limit` bytes."""
        if self._stopped or (self._left and self._skip):
            return self._stage[: min(limit, self._left or STAGE)]
        if self._left:
            return self._target[: min(limit, self._left)]
        self._compact()
        return self._stage[self._end : self._end + limit]

    def fed(self, count: int) -> None:
        """That many bytes were put into the last buffer. Raises WireError when they cannot be a frame."""
        if self._stopped:
            return
        if self._left:
            self._left -= count
            if not self._skip:
                self._target = self._target[count:]
            if not self._left:
                self._finish()
        else:
            self._end += count
            self._parse()

    def feed(self, data: bytes | memoryview) -> None:
        """Put bytes in, as a socket would; for tests and the in-memory transport."""
        view = memoryview(data)
        while len(view) and not self._stopped:
            buffer = self.feed_buffer(STAGE)
            count = min(len(buffer), len(view))
            buffer[:count] = view[:count]
            self.fed(count)
            view = view[count:]

    def _compact(self) -> None:
        """Move what is left of the stage to its front, and grow it for a long header."""
        need = PREFIX.size + (self._prefix.header if self._prefix else 0)
        if self._start == self._end:
            self._start = self._end = 0
        if self._start + need > len(self._stage) or self._end == len(self._stage):
            rest = bytes(self._stage[self._start : self._end])
            if need > len(self._stage):
                self._stage = memoryview(bytearray(need))
            self._stage[: len(rest)] = rest
            self._start, self._end = 0, len(rest)

    def _parse(self) -> None:
        while not self._stopped and not self._left:
            if self._prefix is None:
                if self._end - self._start < PREFIX.size:
                    return
                self._prefix = self._checked_prefix(self._stage[self._start : self._start + PREFIX.size])
                self._start += PREFIX.size
            if self._end - self._start < self._prefix.header:
                return
            self._begin_payload(self._prefix)

    def _checked_prefix(self, data: memoryview) -> Prefix:
        prefix = read_prefix(data)
        if self.lane is not None and prefix.lane is not self.lane:
            raise WireError("wrong-lane", f"a frame of the other lane came over the {self.lane.name.lower()} lane")
        if prefix.header > self.max_header:
            raise WireError("oversized-header", f"{prefix.header} bytes of header, at most {self.max_header} now")
        check_payload(prefix.lane, prefix.payload, self.max_payload)
        return prefix

    def _begin_payload(self, prefix: Prefix) -> None:
        header = self._stage[self._start : self._start + prefix.header]
        _, self._message, self._specs = read_header(self._registry, prefix, header)
        self._start += prefix.header
        self._skip = self._sink.admit(self._message, self._specs) or ""
        present = min(prefix.payload, self._end - self._start)
        self._left = prefix.payload - present
        if not self._skip and prefix.payload:
            self._payload = np.empty(prefix.payload, np.uint8)
            view = self._payload.data
            view[:present] = self._stage[self._start : self._start + present]
            self._target = view[present:]
        self._start += present
        if not self._left:
            self._finish()

    def _finish(self) -> None:
        message, payload, specs, skip = self._message, self._payload, self._specs, self._skip
        self._prefix = self._payload = self._message = None
        self._specs, self._skip, self._target = (), "", self._stage[:0]
        if len(self._stage) > STAGE and self._start == self._end:
            self._stage, self._start, self._end = memoryview(bytearray(STAGE)), 0, 0
        if skip:
            self._sink.on_skipped(message, skip)
        else:
            self._sink.on_frame(message, split_payload(payload, specs) if payload is not None else ())
