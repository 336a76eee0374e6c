"""What one lane of a link still has to send, or may have to send again.

A connection may break with messages in the kernel's buffers. So a message is kept until the peer has said that it
received it, and after a break sending goes on where the peer's hello says. Numbers are implicit: both sides count.

Background messages stand apart until the moment they begin: only then do they get their place in that order, behind
all that began before. What has begun is finished, and sent again after a break in its old place, like any other.

They wait for ordinary messages of other outboxes too, as far as `may_begin` says.

When there is no room, `put` waits; whoever waits longest is served first. Background messages have room of their own,
so neither class fills the other's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from actors.transport.deadline import Deadline
from actors.transport.errors import WireError
from actors.transport.frame import Frame
from actors.transport.room import Room
from actors.transport.schema import MessageKind

MAX_ASIDES = 256


class Outbox:
    """Two queues bounded in bytes, and one order of sending.

    Args:
        limit: bytes of ordinary messages kept at most, those not yet acknowledged included.
        background_limit: the same of background messages.
        may_begin: asked when a background message would begin; after a yes it does.
    """

    def __init__(self, limit: int, background_limit: int, may_begin: Callable[[], bool] = lambda: True) -> None:
        self._base = 0
        """Messages that the peer acknowledged."""
        self._kept: deque[Frame] = deque()
        """What began and is not acknowledged, in the order of sending; then ordinary messages that wait."""
        self._next = 0
        """Index in `_kept` of the next message to begin."""
        self._ordinary = 0
        """Ordinary messages in `_kept` that have not begun."""
        self._background: deque[Frame] = deque()
        """Background messages that have not begun."""
        self._asides: deque[Frame] = deque()
        self._current: deque[memoryview] = deque()
        """What is left of the frame that began last."""
        self._current_ordinary = False
        self._may_begin = may_begin
        self._ordinary_room = Room(limit, self._admit)
        self._background_room = Room(background_limit, self._background.append)

    @property
    def idle(self) -> bool:
        """Whether everything was handed to a connection."""
        begun = self._next == len(self._kept) and not self._background
        return begun and not self._current and not self._asides

    @property
    def ordinary_waits(self) -> bool:
        """Whether ordinary messages wait to be handed to a connection, or for room here."""
        current = self._current_ordinary and bool(self._current)
        return self._ordinary > 0 or current or self._ordinary_room.wanted

    @property
    def queued_bytes(self) -> int:
        """Bytes kept of both classes, messages not yet acknowledged included."""
        return self._ordinary_room.taken + self._background_room.taken

    def room(self, kind: MessageKind) -> Room:
        """The room that messages of a kind share."""
        return self._background_room if kind.background else self._ordinary_room

    async def put(self, frame: Frame, deadline: Deadline) -> None:
        """Queue a message. Raises OutboxFull when the deadline passes, OutboxDropped when `drop` comes first."""
        await self.room(frame.kind).enter(frame, deadline)

    def put_aside(self, frame: Frame) -> None:
        """Send at the next frame boundary, before the queue; not counted, not repeated after a break.

        Dropped when very many wait already: pings, answers and acknowledgements are all replaced by later ones.
        """
        if len(self._asides) < MAX_ASIDES:
            self._asides.append(frame)

    def next_piece(self, limit: int) -> memoryview | None:
        """At most `limit` bytes to write next, or None. A frame is finished before another begins."""
        if not self._current:
            frame = self._begin()
            if frame is None:
                return None
            self._current.extend(frame.buffers)
            self._current_ordinary = not frame.kind.background
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
            frame = self._kept.popleft()
            self.room(frame.kind).release(frame)
        self._base, self._next = self._base + max(0, count), self._next - max(0, count)
        self._ordinary_room.admit_waiting()
        self._background_room.admit_waiting()

    def resume(self, received: int) -> None:
        """A new connection: the peer has received so many in all; go on after them. Raises WireError("bad-ack")."""
        if received < self._base:
            raise WireError("bad-ack", f"{received} messages received, but {self._base} were acknowledged before")
        self._current.clear()
        self._asides.clear()
        self.ack(received)
        self._next = 0
        self._ordinary = sum(not frame.kind.background for frame in self._kept)

    def drop(self) -> None:
        """Forget everything and count from zero; whoever waits gets OutboxDropped."""
        self._ordinary_room.drop()
        self._background_room.drop()
        for queue in (self._kept, self._background, self._asides):
            queue.clear()
        self._current.clear()
        self._base = self._next = self._ordinary = 0

    def _admit(self, frame: Frame) -> None:
        self._kept.append(frame)
        self._ordinary += 1

    def _begin(self) -> Frame | None:
        """The frame that goes next."""
        if self._asides:
            return self._asides.popleft()
        if self._next == len(self._kept):
            # whoever waits for room is ordinary traffic too: acknowledgements let it in before long
            if self._ordinary_room.wanted or not self._background or not self._may_begin():
                return None
            self._kept.append(self._background.popleft())
        frame = self._kept[self._next]
        self._next += 1
        self._ordinary -= not frame.kind.background
        return frame
