"""What one lane of a link still has to send, or may have to send again.

A connection may break with messages in the kernel's buffers. So a message is kept until the peer has said that it
received it, and after a break sending goes on where the peer's hello says. Numbers are implicit: both sides count.

When the outbox is full, `put` waits; whoever waits longest is served first.
"""

from __future__ import annotations

import asyncio
from collections import deque

from actors.transport.deadline import Deadline
from actors.transport.errors import WireError
from actors.transport.frame import Frame

MAX_ASIDES = 256


class OutboxFull(Exception):  # noqa: N818  (a state, not a fault)
    """The deadline passed before there was room."""


class OutboxDropped(Exception):  # noqa: N818
    """The peer was lost while the message waited for room."""


class Outbox:
    """A queue bounded in bytes; a message larger than the bound is taken when the queue is empty."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        """Bytes kept at most, messages not yet acknowledged included."""
        self.queued_bytes = 0
        self._base = 0
        """Messages that the peer acknowledged."""
        self._kept: deque[Frame] = deque()
        self._next = 0
        """Index in `_kept` of the next message to begin."""
        self._asides: deque[Frame] = deque()
        self._current: deque[memoryview] = deque()
        self._waiting: deque[tuple[asyncio.Future[None], Frame]] = deque()

    @property
    def idle(self) -> bool:
        """Whether everything was handed to a connection."""
        return not self._current and not self._asides and self._next == len(self._kept)

    async def put(self, frame: Frame, deadline: Deadline) -> None:
        """Queue a message. Raises OutboxFull when the deadline passes, OutboxDropped when `drop` comes first."""
        if not self._waiting and self._fits(frame):
            self._accept(frame)
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (turn, frame)
        self._waiting.append(entry)
        try:
            async with asyncio.timeout(deadline.timeout):
                await turn
        except TimeoutError:
            raise OutboxFull from None
        finally:
            if entry in self._waiting:
                self._waiting.remove(entry)
                self._admit_waiting()

    def put_aside(self, frame: Frame) -> None:
        """Send at the next frame boundary, before the queue; not counted, not repeated after a break.

        Dropped when very many wait already: pings, answers and acknowledgements are all replaced by later ones.
        """
        if len(self._asides) < MAX_ASIDES:
            self._asides.append(frame)

    def next_piece(self, limit: int) -> memoryview | None:
        """At most `limit` bytes to write next, or None. A frame is finished before another begins."""
        if not self._current:
            if self._asides:
                self._current.extend(self._asides.popleft().buffers)
            elif self._next < len(self._kept):
                self._current.extend(self._kept[self._next].buffers)
                self._next += 1
            else:
                return None
        head = self._current[0]
        if len(head) <= limit:
            return self._current.popleft()
        self._current[0] = head[limit:]
        return head[:limit]

    def ack(self, received: int) -> None:
        """The peer has received so many in all. Raises WireError when that is more than were sent."""
        count = received - self._base
        if count > self._next:
            raise WireError("bad-ack", f"{received} messages acknowledged, {self._base + self._next} sent")
        for _ in range(count):
            self.queued_bytes -= self._kept.popleft().nbytes
        self._base, self._next = self._base + max(0, count), self._next - max(0, count)
        self._admit_waiting()

    def resume(self, received: int) -> None:
        """A new connection: the peer has received so many in all; go on after them. Raises WireError("bad-ack")."""
        if received < self._base:
            raise WireError("bad-ack", f"{received} messages received, but {self._base} were acknowledged before")
        self._current.clear()
        self._asides.clear()
        self.ack(received)
        self._next = 0

    def drop(self) -> None:
        """Forget everything and count from zero; whoever waits gets OutboxDropped."""
        for turn, _ in self._waiting:
            if not turn.done():
                turn.set_exception(OutboxDropped())
        self._waiting.clear()
        self._kept.clear()
        self._asides.clear()
        self._current.clear()
        self._base = self._next = self.queued_bytes = 0

    def _fits(self, frame: Frame) -> bool:
        return not self._kept or self.queued_bytes + frame.nbytes <= self.limit

    def _accept(self, frame: Frame) -> None:
        self._kept.append(frame)
        self.queued_bytes += frame.nbytes

    def _admit_waiting(self) -> None:
        while self._waiting:
            turn, frame = self._waiting[0]
            if turn.done():
                self._waiting.popleft()
                continue
            if not self._fits(frame):
                return
            self._waiting.popleft()
            self._accept(frame)
            turn.set_result(None)
