"""Frames: every split, every truncation, and any bytes at all."""

from __future__ import annotations

import contextlib
import struct
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.transport.base import Array, TensorSpec
from actors.transport.errors import WireError
from actors.transport.frame import MAGIC, PREFIX, build
from actors.transport.parser import STAGE, FrameParser
from actors.transport.schema import Lane
from tests.transport.helpers import REGISTRY, Bulk, Note, Pair


class Sink:
    """Collects what a parser finds."""

    def __init__(self, refuse: str | None = None) -> None:
        self.frames: list[tuple[object, tuple[Array, ...]]] = []
        self.skipped: list[tuple[object, str]] = []
        self.asked: list[tuple[TensorSpec, ...]] = []
        self.refuse = refuse

    def admit(self, message: object, specs: tuple[TensorSpec, ...]) -> str | None:
        self.asked.append(specs)
        return self.refuse if specs else None

    def on_frame(self, message: object, tensors: tuple[Array, ...]) -> None:
        self.frames.append((message, tensors))

    def on_skipped(self, message: object, reason: str) -> None:
        self.skipped.append((message, reason))


def wire(message: object, *tensors: Array) -> bytes:
    frame = build(REGISTRY, message, tensors)
    data = b"".join(frame.buffers)
    assert len(data) == frame.nbytes
    return data


def parse(data: bytes, sink: Sink | None = None, max_payload: int = 1 << 20) -> Sink:
    sink = sink or Sink()
    FrameParser(REGISTRY, sink, max_payload).feed(data)
    return sink


def raw(header: dict[str, Any] | bytes, payload: bytes = b"", lane: int = 1) -> bytes:
    packed = header if isinstance(header, bytes) else msgpack.packb(header)
    return PREFIX.pack(MAGIC, lane, 0, len(packed), len(payload)) + packed + payload


STREAM = b"".join(
    [
        wire(Note("first")),
        wire(Bulk(1), np.arange(40_000, dtype=np.float32).reshape(200, 200)),
        wire(Note("x" * 4000)),
        wire(Pair(2), np.ones((3,), np.int8), np.full((2, 2), 7.0, np.float32)),
        wire(Bulk(3), np.array(5, dtype=np.int64)),
        wire(Note("last")),
    ]
)


def check_stream(sink: Sink) -> None:
    messages = [message for message, _ in sink.frames]
    assert messages == [Note("first"), Bulk(1), Note("x" * 4000), Pair(2), Bulk(3), Note("last")]
    tensors = [tensor for _, each in sink.frames for tensor in each]
    assert np.array_equal(tensors[0], np.arange(40_000, dtype=np.float32).reshape(200, 200))
    assert np.array_equal(tensors[1], np.ones((3,), np.int8))
    assert np.array_equal(tensors[2], np.full((2, 2), 7.0, np.float32))
    assert tensors[3].shape == ()
    assert tensors[3] == 5
    assert all(tensor.flags.aligned and tensor.flags.writeable for tensor in tensors)


def test_all_at_once_and_byte_by_byte() -> None:
    check_stream(parse(STREAM))
    sink = Sink()
    parser = FrameParser(REGISTRY, sink, 1 << 20)
    for index in range(len(STREAM)):
        parser.feed(STREAM[index : index + 1])
    check_stream(sink)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(200, 70_000), min_size=1, max_size=40), st.integers(200, 1 << 20))
def test_any_split_and_any_read_size(sizes: list[int], limit: int) -> None:
    sink = Sink()
    parser = FrameParser(REGISTRY, sink, 1 << 20)
    at, turn = 0, 0
    while at < len(STREAM):
        buffer = parser.feed_buffer(limit)
        assert 0 < len(buffer) <= limit
        count = min(len(buffer), len(STREAM) - at, sizes[turn % len(sizes)])
        buffer[:count] = STREAM[at : at + count]
        parser.fed(count)
        at, turn = at + count, turn + 1
    check_stream(sink)


def test_truncated_at_every_byte_gives_no_frame_and_no_error() -> None:
    data = wire(Pair(1), np.ones(5, np.int8), np.ones(3, np.int32))
    for length in range(len(data)):
        sink = parse(data[:length])
        assert sink.frames == []
        assert len(sink.asked) <= 1


def test_long_header_grows_the_stage_and_gives_it_back() -> None:
    tensors = [np.ones(1, np.uint8)]
    header = {"kind": "test.bulk", "body": {"number": 1, "boundary": 0}, "tensors": [["uint8", [1]]]}
    sink = Sink()
    parser = FrameParser(REGISTRY, sink, 1 << 20)
    padded = {**header, "tensors": [["uint8", [1]]], "pad": b"x" * (3 * STAGE)}
    with pytest.raises(WireError, match="bad-header"):
        parser.feed(raw(padded, b"\x01"))
    parse(raw(header, b"\x01") + wire(Bulk(2), *tensors), sink)
    assert [message for message, _ in sink.frames] == [Bulk(1), Bulk(2)]


BULK: dict[str, Any] = {"kind": "test.bulk", "body": {"number": 1, "boundary": 0}, "tensors": [["uint8", [4]]]}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "bad-magic"),
        (PREFIX.pack(MAGIC, 2, 0, 1, 0), "bad-magic"),
        (PREFIX.pack(MAGIC, 1, 9, 1, 0), "bad-magic"),
        (PREFIX.pack(MAGIC, 1, 0, 2**32 - 1, 0), "oversized-header"),
        (PREFIX.pack(MAGIC, 1, 0, 10, 2**64 - 1), "oversized-payload"),
        (PREFIX.pack(MAGIC, 1, 0, 10, (1 << 20) + 1), "oversized-payload"),
        (PREFIX.pack(MAGIC, 0, 0, 10, (1 << 20) + 1), "oversized-payload"),
        (raw(BULK, b"123"), "bad-length"),
        (raw(BULK, b"12345"), "bad-length"),
        (raw(BULK, b"1234", lane=0), "wrong-lane"),
        (raw({**BULK, "tensors": []}), "tensor-count"),
        (raw({**BULK, "tensors": [["uint8", [4]]] * 2}, b"12345678"), "tensor-count"),
        (raw({**BULK, "tensors": [["object", [4]]]}, b"1234"), "bad-dtype"),
        (raw({**BULK, "tensors": [["float64", [1]]]}, b"12345678"), "bad-dtype"),
        (raw({**BULK, "tensors": [["uint8", [0]]]}), "bad-shape"),
        (raw({**BULK, "tensors": [["uint8", [-4]]]}, b"1234"), "bad-shape"),
        (raw({**BULK, "tensors": [["uint8", [-2, -2]]]}, b"1234"), "bad-shape"),
        (raw({**BULK, "tensors": [["uint8", [1] * 9]]}, b"1"), "bad-shape"),
        (raw({**BULK, "tensors": [["uint8", [True]]]}, b"1"), "bad-shape"),
        (raw({**BULK, "tensors": [["uint8", [2**62, 2**62]]]}, b"1234"), "bad-length"),
        (raw({**BULK, "tensors": [["uint8"]]}, b"1234"), "bad-header"),
        (raw({**BULK, "tensors": 7}, b"1234"), "bad-header"),
        (raw({"kind": "test.bulk", "body": {}}), "bad-header"),
        (raw({**BULK, "kind": "nothing"}, b"1234"), "unknown-kind"),
        (raw({**BULK, "body": {"number": "1", "boundary": 0}}, b"1234"), "bad-field"),
        (raw(b"\xc1\xc1\xc1"), "bad-msgpack"),
    ],
)
def test_malformed_frames(data: bytes, reason: str) -> None:
    sink = Sink()
    with pytest.raises(WireError) as caught:
        parse(data, sink)
    assert caught.value.reason == reason
    assert sink.asked == sink.frames == []


def test_bounded_lengths_are_refused_before_anything_is_allocated() -> None:
    parser = FrameParser(REGISTRY, Sink(), max_payload=2**62)
    header = msgpack.packb({**BULK, "tensors": [["uint8", [2**40]]]})
    with pytest.raises(WireError, match="bad-length"):
        parser.feed(PREFIX.pack(MAGIC, 1, 0, len(header), 2**41) + header)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=2000))
def test_random_bytes(data: bytes) -> None:
    sink = Sink()
    with contextlib.suppress(WireError):
        parse(data, sink)
    assert sink.frames == []


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 200), st.integers(0, 255), st.integers(1, 100))
def test_a_changed_byte_gives_a_wire_error_or_frames(at: int, value: int, step: int) -> None:
    data = bytearray(wire(Pair(1), np.ones(5, np.int8), np.ones(3, np.int32)) + wire(Note("n")))
    data[at % len(data)] = value
    parser = FrameParser(REGISTRY, Sink(), 1 << 20)
    try:
        for start in range(0, len(data), step):
            parser.feed(bytes(data[start : start + step]))
    except WireError as error:
        assert error.reason
        assert error.detail


@pytest.mark.parametrize("split", [1, 1000, 10**6])
def test_unwanted_tensors_are_skipped_and_the_next_frame_is_read(split: int) -> None:
    sink = Sink(refuse="not this step")
    data = wire(Bulk(1), np.ones(100_000, np.uint8)) + wire(Note("after"))
    parser = FrameParser(REGISTRY, sink, 1 << 20)
    for start in range(0, len(data), split):
        parser.feed(data[start : start + split])
    assert sink.skipped == [(Bulk(1), "not this step")]
    assert sink.frames == [(Note("after"), ())]
    assert sink.asked[0] == (TensorSpec("uint8", (100_000,)),)


def test_a_stopped_parser_swallows_the_rest() -> None:
    sink = Sink()
    parser = FrameParser(REGISTRY, sink, 1 << 20)
    parser.feed(STREAM[:30])
    parser.stop()
    assert len(parser.feed_buffer(100)) == 100
    parser.fed(100)
    assert len(sink.frames) <= 1


def test_lane_can_be_fixed() -> None:
    parser = FrameParser(REGISTRY, Sink(), 1 << 20)
    parser.lane = Lane.BULK
    with pytest.raises(WireError, match="wrong-lane"):
        parser.feed(wire(Note("control")))


def test_sender_refuses_what_a_receiver_would() -> None:
    for tensors, reason in [
        ([], "tensor-count"),
        ([np.ones(3, np.float64)], "bad-dtype"),
        ([np.ones(3, ">f4")], "bad-dtype"),
        ([np.ones((0, 3), np.float32)], "bad-shape"),
        ([np.ones(2000, np.uint8)], "oversized-payload"),
    ]:
        with pytest.raises(WireError) as caught:
            build(REGISTRY, Bulk(1), tensors, max_payload=1000)
        assert caught.value.reason == reason


def test_transposed_tensors_travel_in_c_order() -> None:
    tensor = np.arange(60_000, dtype=np.int32).reshape(200, 300).T
    ((_, (got,)),) = parse(wire(Bulk(1), tensor)).frames
    assert np.array_equal(got, tensor)


def test_prefix_is_what_the_docstring_says() -> None:
    data = wire(Bulk(1), np.ones(4, np.uint8))
    assert struct.unpack(">2sBBIQ", data[:16]) == (b"Ts", 1, 0, len(data) - 20, 4)
