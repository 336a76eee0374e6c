"""The arithmetic of an emulated home connection, apart from timers and sockets.

Three times make up a transfer: bytes leave the sender one after the other at its uplink's rate, travel for the
sender's one-way delay, and are read by the receiver at its downlink's rate. A bucket says when bytes have passed a
rate; a schedule decides whose bytes go next (control before bulk, connections of a lane in turn).
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from actors.transport.schema import Lane

OVERHEAD = 1.04
"""Bytes on a real wire for each byte of ours: 52 of TCP/IP in 1500, 22 of TLS in 16 KiB, and some acknowledgements."""
CHUNK_S = 0.002
"""Bytes of this many seconds leave at once: fewer timers against finer interleaving."""
MAX_CHUNK = 16 << 10
MIN_CHUNK = 1400
CREDIT_S = 0.05
"""A timer of a busy link may come this late without the link losing capacity."""


@dataclass(frozen=True)
class Shape:
    """One home connection."""

    up_mbps: float = 0.0
    """Uplink in 10**6 bit/s; 0 for unlimited."""
    down_mbps: float = 0.0
    """Downlink in 10**6 bit/s; 0 for unlimited."""
    delay_ms: float = 0.0
    """One-way delay of all that this side sends."""
    jitter_ms: float = 0.0
    """Up to so much more, at random; order within a connection is kept."""
    seed: int = 0

    @property
    def changes_anything(self) -> bool:
        """Whether links differ from unshaped ones at all."""
        return bool(self.up_mbps or self.down_mbps or self.delay_ms or self.jitter_ms)


class Bucket:
    """Says when bytes have passed a link of a given rate. Times are seconds of any one clock."""

    def __init__(self, mbps: float) -> None:
        self._seconds_per_byte = OVERHEAD * 8 / (mbps * 1e6) if mbps > 0 else 0.0
        self.free_at = 0.0
        """When all bytes charged so far have passed."""

    @property
    def limited(self) -> bool:
        """Whether there is a rate at all."""
        return self._seconds_per_byte > 0

    @property
    def chunk(self) -> int:
        """Bytes to handle at once."""
        if not self.limited:
            return MAX_CHUNK
        return int(min(MAX_CHUNK, max(MIN_CHUNK, CHUNK_S / self._seconds_per_byte)))

    def charge(self, now: float, nbytes: int, *, busy: bool) -> float:
        """Pass bytes and return when the last has left. `busy`: they were waiting, so a late timer costs nothing."""
        earliest = now - CREDIT_S if busy else now
        self.free_at = max(earliest, self.free_at) + nbytes * self._seconds_per_byte
        return self.free_at


class Source(Protocol):
    """A connection as the schedule sees it."""

    @property
    def shaped_lane(self) -> Lane:
        """Its lane decides who goes first."""

    @property
    def blocked(self) -> bool:
        """Its socket takes nothing now; it announces itself again when it does."""

    def next_piece(self, limit: int) -> memoryview | None:
        """Bytes that go next, or None."""


AnySource = TypeVar("AnySource", bound=Source)


@dataclass(frozen=True)
class Departure(Generic[AnySource]):
    """Bytes on their way."""

    at: float
    """When they arrive at the far end of the line, to be written to the socket."""
    source: AnySource
    piece: memoryview


class UplinkSchedule(Generic[AnySource]):
    """Whose bytes leave when, over one uplink."""

    def __init__(self, shape: Shape) -> None:
        self._bucket = Bucket(shape.up_mbps)
        self._delay = shape.delay_ms / 1e3
        self._jitter = shape.jitter_ms / 1e3
        self._random = random.Random(shape.seed)
        self._ready: dict[Lane, deque[AnySource]] = {Lane.CONTROL: deque(), Lane.BULK: deque()}
        self._in_ready: set[AnySource] = set()
        self._last: dict[AnySource, float] = {}
        self._busy = False

    def offer(self, source: AnySource) -> None:
        """A source has something to send."""
        if source not in self._in_ready:
            self._in_ready.add(source)
            self._ready[source.shaped_lane].append(source)

    def forget(self, source: AnySource) -> None:
        """A source is gone."""
        self._last.pop(source, None)

    @property
    def due_at(self) -> float | None:
        """When `grant` has to be called next, or None while nothing waits."""
        return self._bucket.free_at if self._in_ready else None

    def grant(self, now: float) -> list[Departure[AnySource]]:
        """The bytes that leave now: until the link is busy for about one chunk's time."""
        granted = []
        while self._in_ready and self._bucket.free_at <= now + CHUNK_S / 2:
            departure = self._grant_one(now)
            if departure is not None:
                granted.append(departure)
                if not self._bucket.limited and len(granted) >= 64:
                    break
        self._busy = bool(self._in_ready)
        return granted

    def _grant_one(self, now: float) -> Departure[AnySource] | None:
        queue = self._ready[Lane.CONTROL] or self._ready[Lane.BULK]
        source = queue.popleft()
        piece = None if source.blocked else source.next_piece(self._bucket.chunk)
        if piece is None:
            self._in_ready.discard(source)
            return None
        queue.append(source)
        left = self._bucket.charge(now, len(piece), busy=self._busy)
        self._busy = True
        at = max(left + self._delay + self._jitter * self._random.random(), self._last.get(source, 0.0))
        self._last[source] = at
        return Departure(at, source, piece)


class DownlinkMeter:
    """How long reading has to pause so that a downlink is not read faster than its rate."""

    def __init__(self, mbps: float) -> None:
        self._all = Bucket(mbps)
        self._control = Bucket(mbps)

    @property
    def limited(self) -> bool:
        """Whether there is a rate at all."""
        return self._all.limited

    @property
    def chunk(self) -> int:
        """Bytes to read at once."""
        return self._all.chunk

    def read(self, now: float, nbytes: int, lane: Lane, *, busy: bool) -> float:
        """Bytes of a lane were read; returns when that lane may be read again. Bulk waits for control, not back."""
        free_at = self._all.charge(now, nbytes, busy=busy)
        return self._control.charge(now, nbytes, busy=False) if lane is Lane.CONTROL else free_at

    @property
    def bulk_free_at(self) -> float:
        """When bulk may be read again."""
        return self._all.free_at
