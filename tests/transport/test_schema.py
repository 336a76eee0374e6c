"""Messages: what comes out is what went in, and nothing else gets in."""

from __future__ import annotations

import enum
import math
import struct
from dataclasses import dataclass, field
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.transport.errors import WireError
from actors.transport.fields import MAX_ENTRIES
from actors.transport.messages import LINK_MESSAGES
from actors.transport.schema import Lane, MessageRegistry
from tests.transport.helpers import REGISTRY


class Purpose(enum.Enum):
    """Strings."""

    TRAIN = "train"
    INFER = "infer"


class Level(enum.IntEnum):
    """Integers."""

    LOW = 1
    HIGH = 2


@dataclass(frozen=True)
class Inner:
    """Nested."""

    name: str
    weights: dict[int, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Everything:
    """One field of every type."""

    number: int
    real: float
    flag: bool
    text: str
    raw: bytes
    maybe: int | None
    many: tuple[int, ...]
    listed: list[str]
    fixed: tuple[int, str]
    table: dict[str, tuple[bool, ...]]
    inner: Inner
    inners: tuple[Inner, ...]
    purpose: Purpose
    level: Level


KINDS = MessageRegistry()
KINDS.message(kind="everything")(Everything)

ints = st.integers(-(2**63), 2**63 - 1)
texts = st.text(max_size=20)
inners = st.builds(Inner, texts, st.dictionaries(ints, st.floats(allow_nan=False), max_size=4))
everything = st.builds(
    Everything,
    number=ints,
    real=st.floats(allow_nan=False),
    flag=st.booleans(),
    text=texts,
    raw=st.binary(max_size=20),
    maybe=st.none() | ints,
    many=st.lists(ints, max_size=5).map(tuple),
    listed=st.lists(texts, max_size=5),
    fixed=st.tuples(ints, texts),
    table=st.dictionaries(texts, st.lists(st.booleans(), max_size=3).map(tuple), max_size=4),
    inner=inners,
    inners=st.lists(inners, max_size=3).map(tuple),
    purpose=st.sampled_from(Purpose),
    level=st.sampled_from(Level),
)
GOOD = Everything(
    1, 2.0, True, "t", b"r", None, (1,), ["a"], (1, "x"), {"k": (True,)}, Inner("i"), (), Purpose.TRAIN, Level.LOW
)


@settings(deadline=None)
@given(everything)
def test_round_trip(message: Everything) -> None:
    assert KINDS.decode(KINDS.encode(message)) == message


def test_nan_and_infinity_are_floats() -> None:
    message = KINDS.decode(KINDS.encode(Inner_with(real=math.nan)))
    assert isinstance(message, Everything)
    assert math.isnan(message.real)
    assert KINDS.decode(KINDS.encode(Inner_with(real=-math.inf))) == Inner_with(real=-math.inf)


def Inner_with(**changes: Any) -> Everything:  # noqa: N802
    return Everything(**{**GOOD.__dict__, **changes})


def tampered(**changes: Any) -> bytes:
    plain = msgpack.unpackb(KINDS.encode(GOOD), strict_map_key=False)
    plain["body"].update(changes)
    for name in [name for name, value in plain["body"].items() if value is ...]:
        del plain["body"][name]
    data: bytes = msgpack.packb(plain)
    return data


BAD: list[tuple[str, Any]] = [
    ("number", True),
    ("number", 1.0),
    ("number", "1"),
    ("number", None),
    ("number", 2**64 - 1),
    ("real", 1),
    ("real", "nan"),
    ("flag", 1),
    ("text", b"t"),
    ("text", "x" * 4097),
    ("raw", "r"),
    ("maybe", 1.5),
    ("many", {"a": 1}),
    ("many", [1, True]),
    ("many", 7),
    ("listed", [1]),
    ("fixed", [1]),
    ("fixed", [1, "x", 2]),
    ("fixed", ["x", 1]),
    ("table", [["k", [True]]]),
    ("table", {1: [True]}),
    ("table", {"k": [1]}),
    ("inner", ["i", {}]),
    ("inner", {"name": "i"}),
    ("inner", {"name": "i", "weights": {}, "more": 1}),
    ("inner", {"name": "i", "weights": {"1": 1.0}}),
    ("inner", {"name": "i", "weights": {True: 1.0}}),
    ("inners", [{"name": 1, "weights": {}}]),
    ("purpose", "evaluate"),
    ("purpose", 1),
    ("level", 3),
    ("level", True),
    ("level", "LOW"),
    ("level", ...),
    ("surplus", 1),
]


@pytest.mark.parametrize(("name", "value"), BAD, ids=[f"{name}-{str(value)[:20]}" for name, value in BAD])
def test_bad_field_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(WireError) as caught:
        KINDS.decode(tampered(**{name: value}))
    assert caught.value.reason == "bad-field"
    assert name in caught.value.detail


@pytest.mark.parametrize(
    ("name", "value"),
    [("number", True), ("number", 2**63), ("text", "x" * 4097), ("many", [1]), ("purpose", "train"), ("flag", 1)],
)
def test_sender_finds_its_own_mistake(name: str, value: Any) -> None:
    with pytest.raises(WireError, match=name):
        KINDS.encode(Inner_with(**{name: value}))


def test_entries_are_bounded_over_the_whole_message() -> None:
    half = tuple(range(MAX_ENTRIES // 2 + 10))
    with pytest.raises(WireError) as caught:
        KINDS.decode(tampered(many=list(half), listed=["x"] * len(half)))
    assert caught.value.reason == "too-many-entries"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "bad-msgpack"),
        (b"\xc1", "bad-msgpack"),
        (b"\x93" * 2000, "bad-msgpack"),
        (b"\xdd\xff\xff\xff\xff", "bad-msgpack"),
        (b"\xc6\xff\xff\xff\xff", "bad-msgpack"),
        (msgpack.packb(msgpack.ExtType(4, b"x")), "bad-msgpack"),
        (msgpack.packb({"kind": "everything", "body": {}}) + b"\x00", "bad-msgpack"),
        (msgpack.packb([1, 2]), "bad-header"),
        (msgpack.packb({"kind": "everything"}), "bad-header"),
        (msgpack.packb({"kind": "os.system", "body": {}}), "unknown-kind"),
        (msgpack.packb({"kind": 7, "body": {}}), "unknown-kind"),
        (b"\x00" * (1 << 20) + b"\x00", "oversized-header"),
        (b"\x81\xa1k" + struct.pack(">BI", 0xDB, 2**31), "bad-msgpack"),
    ],
)
def test_bytes_that_are_no_message(data: bytes, reason: str) -> None:
    with pytest.raises(WireError) as caught:
        KINDS.decode(data)
    assert caught.value.reason == reason


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_random_bytes_never_get_further_than_a_wire_error(data: bytes) -> None:
    with pytest.raises(WireError):
        KINDS.decode(data)


def test_types_that_must_not_travel_are_refused_at_registration() -> None:
    @dataclass(frozen=True)
    class Unbounded:
        value: object

    @dataclass(frozen=True)
    class Either:
        value: int | str

    @dataclass
    class Mutable:
        value: int

    for cls in (Unbounded, Either, Mutable, int):
        with pytest.raises(TypeError):
            MessageRegistry().message(kind="x")(cls)


def test_only_the_bulk_lane_has_a_background() -> None:
    with pytest.raises(TypeError, match="bulk lane"):
        MessageRegistry().message(kind="x", background=True)(Inner)
    registry = MessageRegistry()
    registry.message(kind="x", lane=Lane.BULK, background=True)(Inner)
    assert registry.merged(LINK_MESSAGES).kind_of(Inner("i")).background


def test_a_kind_and_a_class_are_registered_once() -> None:
    with pytest.raises(TypeError, match="already"):
        KINDS.message(kind="everything")(Inner)
    with pytest.raises(TypeError, match="both"):
        KINDS.merged(KINDS)
    assert KINDS.merged(LINK_MESSAGES).merged(REGISTRY).kind_of(GOOD).kind == "everything"
