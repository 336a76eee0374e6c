"""What a lane keeps until it is acknowledged, and where it goes on after a break."""

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
from actors.transport.outbox import Outbox
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


# --- acknowledgements -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("acks", [[1, 2, 3], [3], [2, 1, 3], [2, 2, 0, 3], [3, 3, 2]], ids=str)
def test_acknowledgements_count_from_the_beginning_and_an_old_one_changes_nothing(acks: list[int]) -> None:
    async def run() -> None:
        frames = [Bulk(1), Bulk(2), Bulk(3)]
        outbox = await filled(*frames)
        pull(outbox)
        for at, received in enumerate(acks):
            outbox.ack(received)
            kept = frames[max(acks[: at + 1]) :]
            assert outbox.queued_bytes == sum(of(each).nbytes for each in kept)
        await outbox.put(of(Bulk(4)), NOW)
        assert pull(outbox) == whole(of(Bulk(4))), "what was acknowledged is not sent again"
        outbox.ack(4)
        assert outbox.queued_bytes == 0

    asyncio.run(run())


@scene
async def test_what_has_begun_may_be_acknowledged_and_what_has_not_may_not() -> None:
    """The last bytes may be on their way when the answer to earlier ones comes; so one begun counts as sent."""
    outbox = await filled(Bulk(1), Bulk(2))
    with pytest.raises(WireError, match="1 messages acknowledged, 0 sent"):
        outbox.ack(1)
    outbox.next_piece(10)
    with pytest.raises(WireError, match="2 messages acknowledged, 1 sent"):
        outbox.ack(2)
    outbox.ack(1)
    with pytest.raises(WireError, match="3 messages acknowledged, 1 sent"):
        outbox.ack(3)
    pull(outbox)
    outbox.ack(2)


@scene
async def test_a_break_goes_on_after_what_the_peer_has_received() -> None:
    outbox = await filled(Bulk(1), Bulk(2), Bulk(3))
    pull(outbox)
    outbox.ack(1)
    outbox.resume(2)
    assert outbox.queued_bytes == of(Bulk(3)).nbytes
    assert pull(outbox) == whole(of(Bulk(3)))
    outbox.resume(2)
    assert pull(outbox) == whole(of(Bulk(3))), "and again, until it is acknowledged"
    outbox.resume(3)
    assert pull(outbox) == b""
    with pytest.raises(WireError, match="2 messages received, but 3 were acknowledged before"):
        outbox.resume(2)
    with pytest.raises(WireError, match="4 messages acknowledged, 3 sent"):
        outbox.resume(4)


@scene
async def test_a_frame_that_was_cut_short_is_sent_again_from_its_first_byte() -> None:
    outbox = await filled(Bulk(1), Bulk(2))
    outbox.next_piece(500)
    outbox.resume(0)
    assert pull(outbox) == whole(of(Bulk(1)), of(Bulk(2)))


@scene
async def test_acknowledgements_make_room_of_both_classes() -> None:
    outbox = Outbox(of(Bulk(1)).nbytes, of(Spare(1)).nbytes)
    await outbox.put(of(Bulk(1)), NOW)
    await outbox.put(of(Spare(1)), NOW)
    waiting = [asyncio.create_task(outbox.put(of(each), Deadline.never())) for each in (Bulk(2), Spare(2))]
    await asyncio.sleep(0)
    pull(outbox)
    outbox.ack(1)
    await waiting[0]
    assert pull(outbox) == whole(of(Bulk(2)), of(Spare(1)))
    outbox.ack(3)
    await waiting[1]
    assert pull(outbox) == whole(of(Spare(2)))
    assert outbox.room(of(Bulk(1)).kind) is not outbox.room(of(Spare(1)).kind)
