"""In which order a lane sends, and when it has nothing left to send."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
import pytest

from actors.transport.deadline import Deadline
from actors.transport.errors import WireError
from actors.transport.frame import Frame, build
from actors.transport.messages import LINK_MESSAGES, Ack
from actors.transport.outbox import MAX_ASIDES, Outbox
from tests.transport.helpers import REGISTRY, Bulk, Note, Spare

AMPLE = 1 << 20
NOW = Deadline(0.0)
"""Long past: one that has to wait gives up at once."""


def of(message: Bulk | Spare | Note) -> Frame:
    """A frame of about a kilobyte; a note is shorter."""
    tensors = [] if isinstance(message, Note) else [np.full(1000, message.number, np.uint8)]
    return build(REGISTRY, message, tensors)


def aside(number: int) -> Frame:
    return build(LINK_MESSAGES, Ack(number, 0))


def whole(*frames: Frame) -> bytes:
    return b"".join(bytes(part) for frame in frames for part in frame.buffers)


def pull(outbox: Outbox, limit: int = AMPLE) -> bytes:
    """All that may go now."""
    pieces = []
    while (piece := outbox.next_piece(limit)) is not None:
        pieces.append(bytes(piece))
    return b"".join(pieces)


async def filled(*messages: Bulk | Spare | Note, may_begin: Callable[[], bool] = lambda: True) -> Outbox:
    outbox = Outbox(AMPLE, AMPLE, may_begin)
    for message in messages:
        await outbox.put(of(message), NOW)
    return outbox


def scene(play: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Run a coroutine test."""

    def run() -> None:
        asyncio.run(play())

    run.__name__, run.__doc__ = play.__name__, play.__doc__
    return run


@pytest.mark.parametrize("limit", [1, 7, 999, 1000, 1001, AMPLE])
def test_pieces_are_of_at_most_the_limit_and_lose_nothing(limit: int) -> None:
    async def run() -> None:
        outbox = await filled(Bulk(1), Note("a"), Bulk(2))
        pieces = []
        while (piece := outbox.next_piece(limit)) is not None:
            assert 0 < len(piece) <= limit
            pieces.append(bytes(piece))
        assert b"".join(pieces) == whole(of(Bulk(1)), of(Note("a")), of(Bulk(2)))
        if limit == AMPLE:
            assert len(pieces) == 3, "no piece holds bytes of two frames"

    asyncio.run(run())


@scene
async def test_asides_go_first_in_their_order_and_the_surplus_is_dropped() -> None:
    outbox = await filled(Bulk(1))
    for number in range(MAX_ASIDES + 5):
        outbox.put_aside(aside(number))
    assert outbox.queued_bytes == of(Bulk(1)).nbytes, "they are not counted"
    assert pull(outbox) == whole(*(aside(number) for number in range(256)), of(Bulk(1)))
    with pytest.raises(WireError):
        outbox.ack(2)


@scene
async def test_background_asks_before_each_message_begins_and_not_while_ordinary_ones_wait() -> None:
    asked: list[bool] = []
    answers = iter([False, True, False, True])

    def may_begin() -> bool:
        asked.append(next(answers))
        return asked[-1]

    outbox = await filled(Spare(1), Spare(2), Bulk(1), may_begin=may_begin)
    assert pull(outbox) == whole(of(Bulk(1)))
    assert asked == [False], "only once nothing else waits"
    assert outbox.next_piece(100) is not None
    assert outbox.next_piece(AMPLE) is not None
    assert asked == [False, True], "one that has begun is finished without asking"
    assert outbox.next_piece(AMPLE) is None
    assert pull(outbox) == whole(of(Spare(2)))
    assert asked == [False, True, False, True]


@scene
async def test_after_a_break_background_that_had_begun_does_not_ask_again() -> None:
    allowed = True
    outbox = await filled(Spare(1), Spare(2), may_begin=lambda: allowed)
    outbox.next_piece(10)
    allowed = False
    outbox.resume(0)
    assert pull(outbox) == whole(of(Spare(1)))


@scene
async def test_it_is_idle_when_every_byte_was_handed_on() -> None:
    outbox = await filled()
    assert outbox.idle
    outbox.put_aside(aside(1))
    assert not outbox.idle
    pull(outbox)
    assert outbox.idle
    await outbox.put(of(Bulk(1)), NOW)
    assert not outbox.idle
    outbox.next_piece(5)
    assert not outbox.idle, "a part of it is left"
    pull(outbox)
    assert outbox.idle
    assert outbox.queued_bytes > 0, "though it is kept until it was acknowledged"
    outbox.resume(0)
    assert not outbox.idle


@scene
async def test_ordinary_messages_wait_until_their_last_byte_was_handed_on() -> None:
    outbox = await filled(Spare(1))
    assert not outbox.ordinary_waits
    outbox.put_aside(aside(1))
    outbox.next_piece(AMPLE)
    assert not outbox.ordinary_waits
    await outbox.put(of(Bulk(1)), NOW)
    await outbox.put(of(Bulk(2)), NOW)
    for _ in range(2):
        assert outbox.ordinary_waits
        outbox.next_piece(AMPLE)
    assert not outbox.ordinary_waits
    outbox.next_piece(10)
    assert not outbox.ordinary_waits, "background that has begun is no ordinary message"
    outbox.resume(0)
    assert outbox.ordinary_waits, "both are due again"
    pull(outbox)
    outbox.resume(2)
    assert not outbox.ordinary_waits


@scene
async def test_a_drop_begins_from_nothing() -> None:
    outbox = await filled(Bulk(1), Spare(1))
    outbox.next_piece(10)
    outbox.put_aside(aside(1))
    outbox.drop()
    assert outbox.idle
    assert (outbox.queued_bytes, outbox.ordinary_waits, outbox.next_piece(AMPLE)) == (0, False, None)
    await outbox.put(of(Bulk(7)), NOW)
    assert pull(outbox) == whole(of(Bulk(7)))
    with pytest.raises(WireError, match="2 messages acknowledged, 1 sent"):
        outbox.ack(2)
    outbox.ack(1)
