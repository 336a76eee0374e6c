"""Background messages: they give way, keep their place once they have begun, and have room of their own."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.transport.deadline import Deadline
from actors.transport.errors import LinkError, WireError
from actors.transport.frame import Frame, build
from actors.transport.identity import Owner
from actors.transport.messages import LINK_MESSAGES, Bye
from actors.transport.outbox import Outbox
from actors.transport.parser import FrameParser
from actors.transport.room import OutboxDropped, OutboxFull
from tests.transport.helpers import PATIENCE_S, REGISTRY, Bulk, Node, Spare, close, introduce, pair, start
from tests.transport.test_frame import Sink
from tests.transport.virtual import virtually

AMPLE = 1 << 20


def soon() -> Deadline:
    return Deadline.after(PATIENCE_S)


def frame(message: Bulk | Spare, size: int = 1000) -> Frame:
    return build(REGISTRY, message, [np.full(size, message.number % 256, np.uint8)])


class Line:
    """An outbox and the far end of its line, which counts what came whole."""

    def __init__(self, limit: int = AMPLE, background_limit: int = AMPLE) -> None:
        self.outbox = Outbox(limit, background_limit)
        self._sink = Sink()
        self._parser = FrameParser(REGISTRY.merged(LINK_MESSAGES), self._sink, AMPLE)

    @property
    def came(self) -> list[object]:
        return [message for message, _ in self._sink.frames]

    @property
    def counted(self) -> int:
        """As a link counts: what goes aside has no number."""
        return sum(isinstance(message, Bulk | Spare) for message in self.came)

    async def put(self, *messages: Bulk | Spare) -> None:
        for message in messages:
            await self.outbox.put(frame(message), Deadline.after(0))

    def carry(self, limit: int = AMPLE, pieces: int = -1) -> None:
        """Carry so many pieces, or all there are."""
        while pieces and (piece := self.outbox.next_piece(limit)) is not None:
            self._parser.feed(piece)
            pieces -= 1

    def breaks(self) -> None:
        """What had come in part is lost; a new connection begins after what came whole."""
        self._parser = FrameParser(REGISTRY.merged(LINK_MESSAGES), self._sink, AMPLE)
        self.outbox.resume(self.counted)


# --- order -------------------------------------------------------------------------------------------------------


def test_it_begins_only_when_no_ordinary_message_waits() -> None:
    async def run() -> None:
        line = Line()
        await line.put(Spare(1), Spare(2), Bulk(1), Bulk(2))
        line.carry()
        assert line.came == [Bulk(1), Bulk(2), Spare(1), Spare(2)]
        assert line.outbox.idle

    asyncio.run(run())


def test_a_begun_one_is_finished_and_the_next_gives_way() -> None:
    async def run() -> None:
        line = Line()
        await line.put(Spare(1), Spare(2))
        line.carry(limit=5, pieces=1)
        await line.put(Bulk(1))
        line.outbox.put_aside(build(LINK_MESSAGES, Bye()))
        line.carry(limit=5)
        assert line.came == [Spare(1), Bye(), Bulk(1), Spare(2)]

    asyncio.run(run())


def test_waiting_in_the_background_is_not_idle() -> None:
    async def run() -> None:
        line = Line()
        await line.put(Spare(1))
        assert not line.outbox.idle
        line.outbox.ack(0)
        with pytest.raises(WireError, match="bad-ack"):
            line.outbox.ack(1)  # it has not begun
        line.carry()
        assert line.outbox.idle
        assert line.outbox.queued_bytes == frame(Spare(1)).nbytes
        line.outbox.ack(1)
        assert line.outbox.queued_bytes == 0

    asyncio.run(run())


def test_a_break_repeats_what_had_begun_in_the_order_in_which_it_began() -> None:
    async def run() -> None:
        line = Line()
        await line.put(Bulk(1), Spare(1), Spare(2))
        line.carry(pieces=2)
        await line.put(Bulk(2))
        line.carry(limit=5, pieces=1)
        line.outbox.resume(1)  # the other side has Bulk(1); Spare(1) got lost on the way, Bulk(2) was cut short
        await line.put(Bulk(3))
        again = []
        while (piece := line.outbox.next_piece(AMPLE)) is not None:
            again.append(bytes(piece))
        expected = [Spare(1), Bulk(2), Bulk(3), Spare(2)]
        assert b"".join(again) == b"".join(bytes(part) for each in expected for part in frame(each).buffers)
        line.outbox.ack(5)
        assert line.outbox.queued_bytes == 0

    asyncio.run(run())


STEPS = st.lists(st.sampled_from(["bulk", "spare", "carry", "ack", "break"]), max_size=60)


@settings(max_examples=200, deadline=None)
@given(STEPS, st.integers(1, 1500))
def test_nothing_is_lost_or_repeated_however_it_is_interleaved(steps: list[str], limit: int) -> None:
    async def run() -> None:
        line, bulk, spare = Line(), 0, 0
        for step in steps:
            match step:
                case "bulk":
                    await line.put(Bulk(bulk := bulk + 1))
                case "spare":
                    await line.put(Spare(spare := spare + 1))
                case "carry":
                    line.carry(limit, pieces=3)
                case "ack":
                    line.outbox.ack(line.counted)
                case _:
                    line.breaks()
        line.carry(limit)
        assert [each for each in line.came if isinstance(each, Bulk)] == [Bulk(n + 1) for n in range(bulk)]
        assert [each for each in line.came if isinstance(each, Spare)] == [Spare(n + 1) for n in range(spare)]
        line.outbox.ack(line.counted)
        assert line.outbox.idle
        assert line.outbox.queued_bytes == 0

    asyncio.run(run())


# --- room --------------------------------------------------------------------------------------------------------


def test_neither_class_fills_the_others_room() -> None:
    async def run() -> None:
        line = Line(2500, 2500)
        await line.put(Spare(1), Spare(2))
        with pytest.raises(OutboxFull):
            await line.put(Spare(3))
        await line.put(Bulk(1), Bulk(2))
        with pytest.raises(OutboxFull):
            await line.put(Bulk(3))
        line.carry()
        line.outbox.ack(2)
        await line.put(Bulk(3))
        with pytest.raises(OutboxFull):
            await line.put(Spare(3))  # sent, but not acknowledged
        waiting = asyncio.create_task(line.outbox.put(frame(Spare(3)), soon()))
        await asyncio.sleep(0)
        line.outbox.ack(3)
        await waiting
        line.carry()
        assert line.came == [Bulk(1), Bulk(2), Spare(1), Spare(2), Bulk(3), Spare(3)]

    asyncio.run(run())


def test_it_gives_way_to_who_waits_for_ordinary_room_too() -> None:
    async def run() -> None:
        line = Line(2500, 2500)
        await line.put(Bulk(1), Bulk(2), Spare(1))
        waiting = asyncio.create_task(line.outbox.put(frame(Bulk(3)), soon()))
        await asyncio.sleep(0)
        line.carry()
        assert line.came == [Bulk(1), Bulk(2)]
        assert not line.outbox.idle
        line.outbox.ack(1)
        await waiting
        line.carry()
        assert line.came[2:] == [Bulk(3), Spare(1)]

    asyncio.run(run())


def test_a_drop_forgets_the_background_and_wakes_who_waits_for_its_room() -> None:
    async def run() -> None:
        line = Line(0, 0)
        await line.put(Spare(1))
        line.carry()
        line.outbox.ack(1)
        await line.put(Spare(2))
        waiting = asyncio.create_task(line.outbox.put(frame(Spare(3)), soon()))
        await asyncio.sleep(0)
        line.outbox.drop()
        with pytest.raises(OutboxDropped):
            await waiting
        assert line.outbox.idle
        assert line.outbox.queued_bytes == 0
        await line.put(Spare(4))
        line.carry()
        assert line.came == [Spare(1), Spare(4)]
        line.outbox.ack(1)  # counting began anew
        assert line.outbox.queued_bytes == 0

    asyncio.run(run())


# --- links -------------------------------------------------------------------------------------------------------


async def send(
    one: Node, other: Node, message: Bulk | Spare, size: int = AMPLE, within: Deadline | None = None
) -> None:
    tensor = np.full(size, message.number, np.uint8)
    await one.transport.send(other.peer.peer_id, message, [tensor], deadline=within or soon())


def test_a_link_sends_what_waited_in_the_background_last(tmp_path: Path) -> None:
    async def run() -> None:
        owner = Owner.create(tmp_path / "owner")
        a, b = [await start(owner, tmp_path, name) for name in ("ann", "bob")]
        a.transport.set_members({b.peer.peer_id: b.peer})  # they do not talk yet: the other side knows nobody
        for number in range(3):
            await send(a, b, Spare(number))
        with pytest.raises(LinkError, match=r"bob: \d+ of 4194304 bytes of its background queue"):
            await send(a, b, Spare(9), within=Deadline.after(5))
        for number in range(5):
            await send(a, b, Bulk(number))
        introduce(a, b)
        await b.events.message_count(8)
        came = [message for _, message, _ in b.events.messages]
        assert came == [*(Bulk(number) for number in range(5)), *(Spare(number) for number in range(3))]
        await close(a, b)

    virtually(run)


def test_breaks_of_a_link_lose_and_repeat_neither_class(tmp_path: Path) -> None:
    async def run() -> None:
        a, b = await pair(tmp_path)
        count = 20
        for number in range(count):
            await send(a, b, Spare(number))
            await send(a, b, Bulk(number))
            if number % 6 == 5:
                for connection in list(a.transport._connections):
                    connection.abort("cut by the test")
        await b.events.message_count(2 * count)
        for kind in (Bulk, Spare):
            got = [(message, tensors) for _, message, tensors in b.events.messages if isinstance(message, kind)]
            assert [message for message, _ in got] == [kind(number) for number in range(count)]
            assert all((tensors[0] == message.number).all() for message, tensors in got)
        assert a.events.downs == b.events.downs == []
        await close(a, b)

    virtually(run)
