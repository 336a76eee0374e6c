"""What a sender makes of a message, and how a receiver takes its tensors apart."""

from __future__ import annotations

import numpy as np
import pytest

from actors.transport.base import TensorSpec
from actors.transport.errors import WireError
from actors.transport.frame import (
    DTYPES,
    MAGIC,
    PREFIX,
    Prefix,
    build,
    check_payload,
    check_specs,
    read_header,
    read_prefix,
    split_payload,
)
from actors.transport.schema import Lane, pack
from tests.transport.helpers import REGISTRY, Bulk, Note, Pair

BULK, PAIR = REGISTRY.kind_of(Bulk(1)), REGISTRY.kind_of(Pair(1))


def reason_of(kind_specs: list[TensorSpec]) -> str | None:
    try:
        check_specs(BULK, kind_specs)
    except WireError as error:
        return error.reason
    return None


@pytest.mark.parametrize(
    ("name", "nbytes"),
    [("float32", 4), ("float16", 2), ("uint16", 2), ("int8", 1), ("uint8", 1), ("int32", 4), ("int64", 8)],
)
def test_these_types_travel_with_so_many_bytes_a_value(name: str, nbytes: int) -> None:
    assert DTYPES[name] == nbytes
    assert check_specs(BULK, [TensorSpec(name, (3, 5))]) == 15 * nbytes
    assert len(DTYPES) == 7


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        (TensorSpec("uint8", ()), None),
        (TensorSpec("uint8", (1,) * 8), None),
        (TensorSpec("uint8", (1,) * 9), "bad-shape"),
        (TensorSpec("uint8", (1, 0)), "bad-shape"),
        (TensorSpec("uint8", (2, -1)), "bad-shape"),
        (TensorSpec("float64", (1,)), "bad-dtype"),
        (TensorSpec("bool", (1,)), "bad-dtype"),
    ],
    ids=str,
)
def test_the_bounds_of_a_tensor(spec: TensorSpec, reason: str | None) -> None:
    assert reason_of([spec]) == reason


def test_all_tensors_of_a_message_add_up_and_their_number_is_fixed() -> None:
    three, seven = TensorSpec("uint8", (3,)), TensorSpec("int32", (7,))
    assert check_specs(PAIR, [three, seven]) == 3 + 28
    assert reason_of([]) == reason_of([three, seven]) == "tensor-count"


@pytest.mark.parametrize(
    ("lane", "payload", "refused"),
    [
        (Lane.CONTROL, 1 << 20, False),
        (Lane.CONTROL, (1 << 20) + 1, True),
        (Lane.BULK, 900, False),
        (Lane.BULK, 901, True),
        (Lane.CONTROL, 901, False),
    ],
)
def test_the_bounds_of_a_payload(lane: Lane, payload: int, refused: bool) -> None:
    """The bulk lane takes 900 bytes here."""
    if refused:
        with pytest.raises(WireError, match="oversized-payload"):
            check_payload(lane, payload, 900)
    else:
        check_payload(lane, payload, 900)


@pytest.mark.parametrize(("size", "parts"), [(1, 1), (16 << 10, 1), ((16 << 10) + 1, 2)])
def test_a_small_tensor_travels_behind_its_header_and_a_large_one_is_not_copied(size: int, parts: int) -> None:
    tensor = np.zeros(size, np.uint8)
    frame = build(REGISTRY, Bulk(1), [tensor])
    assert len(frame.buffers) == parts
    assert frame.nbytes == sum(map(len, frame.buffers))
    assert frame.kind is BULK
    tensor[:] = 7
    assert (bytes(frame.buffers[-1])[-1] == 7) is (parts == 2)


def test_the_prefix_says_lane_header_and_payload() -> None:
    frame = build(REGISTRY, Pair(1), [np.ones(3, np.int8), np.ones((2, 2), np.float32)])
    data = b"".join(frame.buffers)
    prefix = read_prefix(data[:16])
    assert prefix == Prefix(Lane.BULK, len(data) - 16 - 19, 3 + 16)
    kind, message, specs = read_header(REGISTRY, prefix, data[16 : 16 + prefix.header])
    assert (kind, message) == (PAIR, Pair(1))
    assert specs == (TensorSpec("int8", (3,)), TensorSpec("float32", (2, 2)))
    control = read_prefix(b"".join(build(REGISTRY, Note("x")).buffers)[:16])
    assert (control.lane, control.payload) == (Lane.CONTROL, 0)


@pytest.mark.parametrize(
    ("data", "refused"),
    [
        (PREFIX.pack(MAGIC, 0, 0, 0, 0), False),
        (PREFIX.pack(MAGIC, 1, 0, 1 << 20, 0), False),
        (PREFIX.pack(MAGIC, 1, 0, (1 << 20) + 1, 0), True),
        (PREFIX.pack(MAGIC, 2, 0, 0, 0), True),
        (PREFIX.pack(MAGIC, 0, 1, 0, 0), True),
        (PREFIX.pack(b"TS", 0, 0, 0, 0), True),
    ],
)
def test_the_bounds_of_a_prefix(data: bytes, refused: bool) -> None:
    if refused:
        with pytest.raises(WireError):
            read_prefix(data)
    else:
        read_prefix(data)


def test_a_header_belongs_to_the_lane_and_the_length_of_its_prefix() -> None:
    header = pack({"kind": "test.note", "body": {"text": "x"}, "tensors": []})
    read_header(REGISTRY, Prefix(Lane.CONTROL, len(header), 0), header)
    with pytest.raises(WireError, match=r"wrong-lane: .* came over the bulk lane"):
        read_header(REGISTRY, Prefix(Lane.BULK, len(header), 0), header)
    with pytest.raises(WireError, match="bad-length"):
        read_header(REGISTRY, Prefix(Lane.CONTROL, len(header), 1), header)


@pytest.mark.parametrize("count", [1023, 1024, 1025])
def test_a_list_of_tensors_is_short(count: int) -> None:
    header = pack({"kind": "test.bulk", "body": {"number": 1, "boundary": 0}, "tensors": [["uint8", [1]]] * count})
    reason = "tensor-count" if count <= 1024 else "bad-header"
    with pytest.raises(WireError, match=reason):
        read_header(REGISTRY, Prefix(Lane.BULK, len(header), count), header)


@pytest.mark.parametrize("tensors", [[["uint8", [1] * 9]], [["uint8", [1.0]]], [["uint8", ["1"]]]], ids=str)
def test_a_shape_is_a_short_list_of_integers(tensors: list[object]) -> None:
    header = pack({"kind": "test.bulk", "body": {"number": 1, "boundary": 0}, "tensors": tensors})
    with pytest.raises(WireError, match="bad-shape"):
        read_header(REGISTRY, Prefix(Lane.BULK, len(header), 1), header)


def test_a_tensor_of_eight_dimensions_is_read() -> None:
    header = pack({"kind": "test.bulk", "body": {"number": 1, "boundary": 0}, "tensors": [["uint8", [1] * 8]]})
    *_, specs = read_header(REGISTRY, Prefix(Lane.BULK, len(header), 1), header)
    assert specs == (TensorSpec("uint8", (1,) * 8),)


def test_tensors_are_views_of_the_payload_unless_they_are_misaligned() -> None:
    payload = np.zeros(4 + 3 + 8, np.uint8)
    payload[:4] = np.frombuffer(np.array([7], np.int32).tobytes(), np.uint8)
    payload[7:] = np.frombuffer(np.array([5, 6], np.int32).tobytes(), np.uint8)
    specs = [TensorSpec("int32", (1,)), TensorSpec("uint8", (3,)), TensorSpec("int32", (1, 2))]
    first, second, third = split_payload(payload, specs)
    assert (first.tolist(), second.tolist(), third.tolist()) == ([7], [0, 0, 0], [[5, 6]])
    assert (first.shape, second.shape, third.shape) == ((1,), (3,), (1, 2))
    assert np.shares_memory(first, payload)
    assert not np.shares_memory(third, payload)
    assert third.flags.aligned


def test_values_in_foreign_byte_order_do_not_travel_and_the_kind_is_named() -> None:
    with pytest.raises(WireError, match=r"bad-dtype: test\.bulk: values in foreign byte order"):
        build(REGISTRY, Bulk(1), [np.ones(3, ">i4")])
    with pytest.raises(WireError, match="unknown-kind"):
        build(REGISTRY, object())
