"""One participant's emulated home connection: shaping's arithmetic on the event loop's clock.

All connections of the participant share one uplink and one downlink. TLS handshakes and hellos are not shaped.
"""

from __future__ import annotations

import asyncio
import heapq
from typing import Protocol

from actors.transport.deadline import Deadline
from actors.transport.schema import Lane
from actors.transport.shaping import Departure, DownlinkMeter, Shape, Source, UplinkSchedule

_SLACK_S = 0.0005
"""What is due this soon is done now: a timer for it would come later."""
_PROMPT_S = 0.02
"""Bytes read this soon after a pause were waiting for its end, so its lateness is not charged."""


class ShapedConnection(Source, Protocol):
    """A connection as the shaper sees it."""

    def deliver(self, piece: memoryview) -> None:
        """Write to the socket what has travelled long enough."""

    def pace(self, paused: bool) -> None:
        """Stop or go on reading."""


class Shaper:
    """Paces the connections of one participant."""

    def __init__(self, shape: Shape) -> None:
        self._loop = asyncio.get_running_loop()
        self._up: UplinkSchedule[ShapedConnection] = UplinkSchedule(shape)
        self._down = DownlinkMeter(shape.down_mbps)
        self._line: list[tuple[float, int, Departure[ShapedConnection]]] = []
        self._order = 0
        self._paused: dict[Lane, set[ShapedConnection]] = {Lane.CONTROL: set(), Lane.BULK: set()}
        self._resumed_at = 0.0
        self._timers: dict[str, asyncio.TimerHandle] = {}
        slowest = min((rate for rate in (shape.up_mbps, shape.down_mbps) if rate > 0), default=1000.0)
        self.socket_buffer = int(min(256 << 10, max(16 << 10, slowest * 1e6 / 8 * 0.02)))
        """Bytes for SO_SNDBUF and SO_RCVBUF: 20 ms of the slower direction, so that backpressure reaches the sender."""

    @property
    def read_chunk(self) -> int:
        """Bytes to read at once."""
        return self._down.chunk

    def ready(self, connection: ShapedConnection) -> None:
        """A connection has something to send, or its socket takes bytes again."""
        self._up.offer(connection)
        self._wake("up", self._up.due_at or 0.0)

    def received(self, connection: ShapedConnection, nbytes: int) -> None:
        """Bytes were read; the connection is paused until the downlink has passed them."""
        if not self._down.limited:
            return
        lane, now = connection.shaped_lane, self._loop.time()
        free_at = self._down.read(now, nbytes, lane, busy=now < self._resumed_at + _PROMPT_S)
        if free_at > now + _SLACK_S:
            connection.pace(True)
            self._paused[lane].add(connection)
            self._wake(lane.name, free_at)

    def forget(self, connection: ShapedConnection) -> None:
        """A connection is closed; what was on the line for it is dropped on delivery."""
        self._up.forget(connection)
        for paused in self._paused.values():
            paused.discard(connection)

    async def drained(self, deadline: Deadline) -> None:
        """Wait until nothing is on the line, or the deadline passed."""
        while self._line and not deadline.expired:  # noqa: ASYNC110  (bounded, and only at the end)
            await asyncio.sleep(0.005)

    def close(self) -> None:
        """Cancel all timers."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._line.clear()

    def _wake(self, what: str, at: float) -> None:
        """Set the timer of one purpose, unless it comes soon enough anyway."""
        timer = self._timers.get(what)
        if timer is not None:
            if timer.when() <= at:
                return
            timer.cancel()
        run = {"up": self._run_up, "line": self._run_line_timer}.get(what)
        if run is not None:
            self._timers[what] = self._loop.call_at(at, run)
        else:
            self._timers[what] = self._loop.call_at(at, self._resume, Lane[what])

    def _run_up(self) -> None:
        self._timers.pop("up", None)
        for departure in self._up.grant(self._loop.time()):
            self._order += 1
            heapq.heappush(self._line, (departure.at, self._order, departure))
        if (due := self._up.due_at) is not None:
            self._wake("up", due)
        self._run_line()

    def _run_line_timer(self) -> None:
        self._timers.pop("line", None)
        self._run_line()

    def _run_line(self) -> None:
        """Write what has arrived; runs after each grant too, so that a short delay needs no timers of its own."""
        until = self._loop.time() + _SLACK_S
        while self._line and self._line[0][0] <= until:
            departure = heapq.heappop(self._line)[2]
            departure.source.deliver(departure.piece)
        if self._line:
            self._wake("line", self._line[0][0])

    def _resume(self, lane: Lane) -> None:
        self._timers.pop(lane.name, None)
        now = self._loop.time()
        if lane is Lane.BULK and self._down.bulk_free_at > now + _SLACK_S:
            self._wake(lane.name, self._down.bulk_free_at)
            return
        paused, self._paused[lane] = self._paused[lane], set()
        self._resumed_at = now
        for connection in paused:
            connection.pace(False)
