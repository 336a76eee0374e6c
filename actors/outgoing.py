"""Messages on their way to peers: three queues a peer, so that a plan never waits behind a tensor.

Nor does an activation wait behind a state that somebody catches up with.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable
from typing import Any, Protocol

from actors.protocol import BACKGROUND
from actors.steps.jobs import Payload, TokensOf
from actors.transport.base import Array
from actors.transport.deadline import Deadline
from actors.transport.errors import TransportError

SEND_S = 120.0
"""A message that cannot even be queued for this long is a fault of the link. Background ones wait until it is lost."""
WAITING = 8192
"""Messages of one queue that wait for the link; what comes beyond is dropped, as on a link that is lost."""


class Rank(enum.Enum):
    """Which of a peer's queues a message waits in. None of them waits for another."""

    CONTROL = 0
    BULK = 1
    BACKGROUND = 2

    @classmethod
    def of(cls, message: object, payload: Payload) -> Rank:
        """The rank of a message with its tensors."""
        if isinstance(message, BACKGROUND):
            return cls.BACKGROUND
        return cls.BULK if isinstance(payload, TokensOf) or len(payload) > 0 else cls.CONTROL


Queue = asyncio.Queue[tuple[object, Payload] | None]
"""Messages with their tensors; None ends it."""


class Sender(Protocol):
    """What sends."""

    async def send(self, peer_id: str, message: object, tensors: tuple[Array, ...], *, deadline: Deadline) -> int:
        """Queue a message on the link."""


class Outgoing:
    """Queues in front of the links.

    Args:
        transport: what sends.
        resolve: looks up the tensors that a payload stands for.
        spawn: runs a task until the participant closes.
        failed: called with (peer, reason) when a message did not get out.
    """

    def __init__(
        self,
        transport: Sender,
        resolve: Callable[[Payload], tuple[Array, ...]],
        spawn: Callable[[Any], None],
        failed: Callable[[str, str], None],
    ) -> None:
        self._transport, self._resolve, self._spawn, self._failed = transport, resolve, spawn, failed
        self._queues: dict[tuple[str, Rank], Queue] = {}

    def put(self, to: str, message: object, payload: Payload) -> None:
        """Send when its turn comes."""
        rank = Rank.of(message, payload)
        queue = self._queues.get((to, rank))
        if queue is None:
            queue = self._queues[to, rank] = asyncio.Queue(maxsize=WAITING)
            self._spawn(self._drain(to, rank, queue))
        try:
            queue.put_nowait((message, payload))
        except asyncio.QueueFull:
            self._failed(to, f"{WAITING} messages wait for it: the link is too slow")

    def drop(self, peer: str) -> None:
        """Forget what waits for a peer that is lost: it comes back with other needs."""
        for rank in Rank:
            queue = self._queues.pop((peer, rank), None)
            while queue is not None and not queue.empty():
                queue.get_nowait()
            if queue is not None:
                queue.put_nowait(None)

    async def _drain(self, to: str, rank: Rank, queue: Queue) -> None:
        while (waiting := await queue.get()) is not None:
            message, payload = waiting
            # a busy line keeps background messages waiting through no fault of its own, and a gap in them is costly
            deadline = Deadline.never() if rank is Rank.BACKGROUND else Deadline.after(SEND_S)
            try:
                await self._transport.send(to, message, self._resolve(payload), deadline=deadline)
            except TransportError as error:  # what does not fit into a message ends nobody
                self._failed(to, str(error))
