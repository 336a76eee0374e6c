"""The parser at its edges: where frames meet, what changes between them, and what it holds meanwhile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgpack
import numpy as np
import pytest

from actors.transport.base import Array, TensorSpec
from actors.transport.errors import WireError
from actors.transport.frame import MAGIC, MAX_CONTROL_PAYLOAD, MAX_PAYLOAD, PREFIX, build
from actors.transport.parser import STAGE, FrameParser
from actors.transport.schema import MAX_HEADER, Lane, MessageRegistry
from tests.transport.helpers import REGISTRY, Bulk, Note
from tests.transport.test_frame import Sink, wire

HEAD: dict[str, Any] = {"kind": "test.bulk", "body": {"number": 1, "boundary": 0}, "tensors": [["uint8", [4]]]}


def parser(sink: Sink | None = None, max_payload: int = 1 << 20) -> FrameParser:
    return FrameParser(REGISTRY, sink or Sink(), max_payload)


def prefix(header: int, payload: int, lane: Lane = Lane.BULK) -> bytes:
    return PREFIX.pack(MAGIC, lane.value, 0, header, payload)


def note(size: int) -> bytes:
    """A note whose frame has exactly so many bytes."""
    text = "x" * (size - len(wire(Note("x" * 1000))) + 1000)
    data = wire(Note(text))
    assert len(data) == size
    return data


def refusal(one: FrameParser, data: bytes) -> str:
    with pytest.raises(WireError) as caught:
        one.feed(data)
    return caught.value.reason


# --- limits ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lane", "payload", "max_payload", "reason"),
    [
        (Lane.CONTROL, 1 << 20, 1 << 30, None),
        (Lane.CONTROL, (1 << 20) + 1, 1 << 30, "oversized-payload"),
        (Lane.BULK, 5000, 5000, None),
        (Lane.BULK, 5001, 5000, "oversized-payload"),
        (Lane.CONTROL, 5001, 5000, None),  # the control lane has its own bound
    ],
)
def test_a_payload_up_to_the_bound_of_its_lane_is_awaited(
    lane: Lane, payload: int, max_payload: int, reason: str | None
) -> None:
    one = parser(max_payload=max_payload)
    if reason is None:
        one.feed(prefix(10, payload, lane))
    else:
        assert refusal(one, prefix(10, payload, lane)) == reason
    assert (MAX_CONTROL_PAYLOAD, MAX_PAYLOAD) == (1 << 20, 256 << 20)


@pytest.mark.parametrize(("header", "most", "reason"), [(100, 100, None), (101, 100, "oversized-header")])
def test_a_header_up_to_the_bound_of_the_moment_is_awaited(header: int, most: int, reason: str | None) -> None:
    one = parser()
    assert one.max_header == MAX_HEADER == 1 << 20
    one.max_header = most
    if reason is None:
        one.feed(prefix(header, 0))
    else:
        assert refusal(one, prefix(header, 0)) == reason


def test_a_header_of_a_mebibyte_is_awaited_and_one_byte_more_is_not() -> None:
    parser().feed(prefix(1 << 20, 0))
    assert refusal(parser(), prefix((1 << 20) + 1, 0)) == "oversized-header"


class Changing(Sink):
    """Does something at each frame."""

    def __init__(self, change: Any) -> None:
        super().__init__()
        self.change = change
        self.parser = FrameParser(REGISTRY, self, 1 << 20)

    def on_frame(self, message: object, tensors: tuple[Array, ...]) -> None:
        super().on_frame(message, tensors)
        self.change(self.parser)


@pytest.mark.parametrize("split", [1, 10**6])
def test_limits_that_change_at_one_frame_hold_for_the_next(split: int) -> None:
    """As after a hello: first small control frames only, then all."""

    def open_up(one: FrameParser) -> None:
        one.lane = Lane.BULK
        one.max_payload = 3

    sink = Changing(open_up)
    sink.parser.lane = Lane.CONTROL
    data = wire(Note("hello")) + wire(Bulk(1), np.ones(3, np.uint8))
    for at in range(0, len(data), split):
        sink.parser.feed(data[at : at + split])
    assert [message for message, _ in sink.frames] == [Note("hello"), Bulk(1)]
    assert refusal(sink.parser, wire(Bulk(2), np.ones(4, np.uint8))) == "oversized-payload"


def test_a_frame_of_the_other_lane_is_refused_at_its_prefix() -> None:
    one = parser()
    one.lane = Lane.CONTROL
    assert refusal(one, prefix(10, 0, Lane.BULK)) == "wrong-lane"


def test_one_that_stops_at_a_frame_gets_nothing_of_what_came_with_it() -> None:
    sink = Changing(lambda one: one.stop())
    sink.parser.feed(wire(Note("last")) + wire(Note("surplus")) * 3)
    assert [message for message, _ in sink.frames] == [Note("last")]
    sink.parser.fed(20)
    assert len(sink.frames) == 1
    assert 0 < len(sink.parser.feed_buffer(1 << 30)) <= STAGE


def test_one_that_is_stopped_within_a_payload_delivers_nothing_of_it() -> None:
    sink = Sink()
    one = parser(sink)
    data = wire(Bulk(1), np.ones(50_000, np.uint8))
    one.feed(data[:-100])
    one.stop()
    assert len(one.feed_buffer(1 << 30)) >= 100
    one.fed(100)
    one.feed(wire(Note("after")))
    assert sink.frames == sink.skipped == []


# --- where frames meet ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spare", [-17, -16, -15, -1, 0, 1, 15, 16, 17])
def test_frames_that_end_around_the_end_of_the_stage(spare: int) -> None:
    """So many bytes of the stage are left, or missing, when the first frames end."""
    sink = Sink()
    one = parser(sink)
    filler = [note(4096)] * 15
    last = note(4096 - spare)
    data = b"".join([*filler, last, wire(Note("a")), wire(Bulk(7), np.arange(9, dtype=np.uint8)), wire(Note("b"))])
    at = 0
    while at < len(data):
        buffer = one.feed_buffer(1 << 30)
        count = min(len(buffer), len(data) - at)
        assert count > 0
        buffer[:count] = data[at : at + count]
        one.fed(count)
        at += count
    assert [message for message, _ in sink.frames[-3:]] == [Note("a"), Bulk(7), Note("b")]
    assert len(sink.frames) == 19


@dataclass(frozen=True)
class Many:
    """A message whose header may be longer than a stage."""

    numbers: tuple[int, ...]


@pytest.mark.parametrize("split", [999, 70_000, 10**6])
@pytest.mark.parametrize("behind", [b"", b"T"], ids=["alone", "the next one begun"])
def test_a_header_longer_than_the_stage_gets_one_and_gives_it_back(split: int, behind: bytes) -> None:
    """20,000 numbers of five bytes each are 100 kB; a stage has 64 KiB."""
    registry = REGISTRY.merged(MessageRegistry())
    registry.message(kind="many")(Many)
    sink = Sink()
    one = FrameParser(registry, sink, 1 << 20)
    message = Many(tuple(range(1 << 20, (1 << 20) + 20_000)))
    data = wire(Note("before")) + b"".join(build(registry, message).buffers) + behind
    assert len(data) > STAGE + 30_000
    for at in range(0, len(data), split):
        one.feed(data[at : at + split])
    assert [each for each, _ in sink.frames] == [Note("before"), message]
    one.feed(wire(Note("after"))[len(behind) :])
    assert [each for each, _ in sink.frames[2:]] == [Note("after")]
    assert len(one.feed_buffer(1 << 30)) == STAGE, "the memory for it is free again"


def test_a_payload_is_read_straight_into_its_array() -> None:
    sink = Sink()
    one = parser(sink)
    tensor = np.arange(50_000, dtype=np.uint8)
    data = wire(Bulk(1), tensor)
    head = len(data) - 50_000
    one.feed(data[: head + 10])
    buffer = one.feed_buffer(1 << 30)
    assert len(buffer) == 49_990, "all that is missing, and nothing of what comes after it"
    assert len(one.feed_buffer(100)) == 100
    buffer[:] = data[head + 10 :]
    one.fed(49_990)
    ((_, (got,)),) = sink.frames
    assert np.array_equal(got, tensor)
    assert np.shares_memory(got, np.asarray(buffer)), "no copy was made"


def test_an_unwanted_payload_takes_no_memory_of_its_own() -> None:
    sink = Sink(refuse="not this step")
    one = parser(sink, max_payload=1 << 40)
    size = 1 << 36  # 64 GiB
    header = msgpack.packb({**HEAD, "tensors": [["uint8", [size]]]})
    one.feed(prefix(len(header), size) + header)
    assert sink.asked == [(TensorSpec("uint8", (size,)),)]
    for _ in range(3):
        buffer = one.feed_buffer(1 << 30)
        assert 0 < len(buffer) <= STAGE
        one.fed(len(buffer))
    assert sink.frames == sink.skipped == []


@pytest.mark.parametrize("extra", [0, 1, 5000])
def test_what_comes_behind_an_unwanted_payload_is_read(extra: int) -> None:
    sink = Sink(refuse="not this step")
    one = parser(sink)
    data = wire(Bulk(1), np.ones(100_000, np.uint8)) + note(4000) + wire(Note("after"))
    at = 0
    while at < len(data):
        buffer = one.feed_buffer(STAGE + extra)
        count = min(len(buffer), len(data) - at)
        buffer[:count] = data[at : at + count]
        one.fed(count)
        at += count
    assert sink.skipped == [(Bulk(1), "not this step")]
    assert [message for message, _ in sink.frames][-1] == Note("after")
    assert len(sink.frames) == 2


def test_every_frame_is_asked_about_once_before_it_is_read() -> None:
    sink = Sink()
    one = parser(sink)
    data = wire(Bulk(1), np.ones(1000, np.uint8))
    one.feed(data[:-1])
    assert sink.asked == [(TensorSpec("uint8", (1000,)),)]
    assert sink.frames == []
    one.feed(data[-1:])
    assert len(sink.asked) == len(sink.frames) == 1
    one.feed(wire(Note("x")))
    assert sink.asked[1:] == [()]
