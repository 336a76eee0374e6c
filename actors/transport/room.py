"""Room in a queue: a bound in bytes, and the line of those who wait for it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from actors.transport.deadline import Deadline
from actors.transport.frame import Frame


class OutboxFull(Exception):  # noqa: N818  (a state, not a fault)
    """The deadline passed before there was room."""


class OutboxDropped(Exception):  # noqa: N818
    """The peer was lost while the message waited for room."""


class Room:
    """Admits frames while their bytes fit; one that is larger than the bound is admitted when the room is empty.

    Args:
        limit: bytes admitted and not yet released, at most.
        admit: takes each frame at the moment it gets room, whoever waited longest first.
    """

    def __init__(self, limit: int, admit: Callable[[Frame], None]) -> None:
        self.limit = limit
        self.taken = 0
        """Bytes admitted and not yet released."""
        self._admit = admit
        self._line: deque[tuple[asyncio.Future[None], Frame]] = deque()

    @property
    def wanted(self) -> bool:
        """Whether somebody waits."""
        return bool(self._line)

    async def enter(self, frame: Frame, deadline: Deadline) -> None:
        """Admit a frame. Raises OutboxFull when the deadline passes, OutboxDropped when `drop` comes first."""
        if not self._line and self._fits(frame):
            self._take(frame)
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (turn, frame)
        self._line.append(entry)
        try:
            async with asyncio.timeout(deadline.timeout):
                await turn
        except TimeoutError:
            raise OutboxFull from None
        finally:
            if entry in self._line:
                self._line.remove(entry)
                self.admit_waiting()

    def release(self, frame: Frame) -> None:
        """An admitted frame is gone; `admit_waiting` gives its bytes to others."""
        self.taken -= frame.nbytes
        assert self.taken >= 0, "a frame was released that had not been admitted"

    def admit_waiting(self) -> None:
        """Admit from the head of the line while there is room."""
        while self._line:
            turn, frame = self._line[0]
            if turn.done():
                self._line.popleft()
                continue
            if not self._fits(frame):
                return
            self._line.popleft()
            self._take(frame)
            turn.set_result(None)

    def drop(self) -> None:
        """Everything admitted is gone; whoever waits gets OutboxDropped."""
        for turn, _ in self._line:
            if not turn.done():
                turn.set_exception(OutboxDropped())
        self._line.clear()
        self.taken = 0

    def _fits(self, frame: Frame) -> bool:
        return self.taken == 0 or self.taken + frame.nbytes <= self.limit

    def _take(self, frame: Frame) -> None:
        self.taken += frame.nbytes
        self._admit(frame)
