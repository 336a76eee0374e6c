"""Fields of messages at their bounds: exactly full passes, one more does not, and the sender finds it too."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

import pytest

from actors.transport.errors import WireError
from actors.transport.fields import MAX_ENTRIES, Budget, converter_for
from tests.transport.helpers import REGISTRY, Note

LONGEST = 4096
MOST = 65536


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Mixed(enum.Enum):
    ONE = 1
    TEXT = "1"


@dataclass(frozen=True)
class Point:
    x: int
    y: int = 0


@dataclass(frozen=True)
class Line:
    ends: tuple[Point, Point]
    label: str | None


def unpack(annotation: Any, plain: Any) -> Any:
    return converter_for(annotation).unpack(plain, Budget())


def pack(annotation: Any, value: Any) -> Any:
    return converter_for(annotation).pack(value, Budget())


def refused(annotation: Any, plain: Any) -> str:
    with pytest.raises(WireError) as caught:
        unpack(annotation, plain)
    assert caught.value.reason in ("bad-field", "too-many-entries")
    return f"{caught.value.reason}: {caught.value.detail}"


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (int, -(2**63)),
        (int, 2**63 - 1),
        (int, 0),
        (float, 1.5),
        (bool, True),
        (bool, False),
        (str, ""),
        (str, "x" * LONGEST),
        (bytes, b"\x00\xff"),
        (int | None, None),
        (int | None, 5),
        (tuple[int, ...], ()),
        (list[int], [1, 2]),
        (dict[str, int], {"a": 1}),
        (dict[int, str], {1: "a"}),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_is_within_the_bounds_passes_both_ways(annotation: Any, value: Any) -> None:
    plain = pack(annotation, value)
    back = unpack(annotation, plain)
    assert back == value
    assert type(back) is type(value)


@pytest.mark.parametrize(
    ("annotation", "value", "words"),
    [
        (int, 2**63, "integer beyond 64 bits"),
        (int, -(2**63) - 1, "integer beyond 64 bits"),
        (int, True, "expected int, got bool"),
        (int, 1.0, "expected int, got float"),
        (bool, 1, "expected bool, got int"),
        (str, "x" * (LONGEST + 1), "string of 4097 characters, at most 4096"),
        (str, b"x", "expected str, got bytes"),
        (bytes, "x", "expected bytes, got str"),
        (bytes, bytearray(b"x"), "expected bytes, got bytearray"),
        (int | None, "x", "expected int, got str"),
        (Point, None, "got NoneType"),
        (Colour, "green", "no Colour"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_is_not_is_refused_on_both_sides(annotation: Any, value: Any, words: str) -> None:
    assert words in refused(annotation, value)
    if annotation is not Colour:
        with pytest.raises(WireError):
            pack(annotation, value)


def test_a_sender_may_give_an_integer_for_a_float_and_a_receiver_takes_floats_only() -> None:
    assert pack(float, 3) == 3.0
    assert type(pack(float, 3)) is float
    assert "expected float, got int" in refused(float, 3)
    assert "expected float, got bool" in refused(float, True)
    for value in (True, "1", None):
        with pytest.raises(WireError):
            pack(float, value)


@pytest.mark.parametrize(
    ("annotation", "plain"),
    [
        (tuple[int, ...], {}),
        (list[int], "ab"),
        (tuple[int, str], [1]),
        (tuple[int, str], [1, "a", 2]),
        (dict[str, int], []),
    ],
    ids=str,
)
def test_containers_are_what_they_should_be(annotation: Any, plain: Any) -> None:
    refused(annotation, plain)


@pytest.mark.parametrize("value", [[1, 2], {1, 2}, (1, "a"), None], ids=str)
def test_a_sender_s_tuple_is_a_tuple(value: Any) -> None:
    with pytest.raises(WireError):
        pack(tuple[int, ...], value)


def test_keys_are_checked_like_values() -> None:
    assert "expected str" in refused(dict[str, int], {1: 1})
    assert "expected int" in refused(dict[int, int], {"1": 1})
    assert "expected int, got bool" in refused(dict[int, int], {True: 1})
    with pytest.raises(WireError):
        pack(dict[int, int], {"1": 1})
    assert unpack(dict[str, dict[int, str]], {"a": {1: "b"}}) == {"a": {1: "b"}}


def test_text_that_has_no_bytes_is_found_by_the_sender() -> None:
    with pytest.raises(WireError, match="bad-field"):
        REGISTRY.encode(Note("half of a pair: \ud800"))


# --- entries --------------------------------------------------------------------------------------------------------


def test_a_budget_pays_to_the_last_entry_and_no_further() -> None:
    budget = Budget(5)
    budget.take(3)
    budget.take(0)
    budget.take(2)
    assert budget.left == 0
    with pytest.raises(WireError, match="too-many-entries"):
        budget.take(1)
    assert MAX_ENTRIES == MOST
    assert Budget().left == MOST


@pytest.mark.parametrize(
    ("annotation", "plain", "entries"),
    [
        (tuple[int, ...], [1, 2, 3], 3),
        (list[int], [1, 2], 2),
        (dict[str, int], {"a": 1, "b": 2}, 2),
        (dict[str, tuple[int, ...]], {"a": [1, 2], "b": [3]}, 2 + 3),
        (tuple[tuple[int, ...], ...], [[1], [2, 3]], 2 + 3),
        (list[dict[int, str]], [{1: "a"}, {}], 2 + 1),
    ],
    ids=str,
)
def test_every_entry_of_every_container_is_paid_for_once(annotation: Any, plain: Any, entries: int) -> None:
    converter = converter_for(annotation)
    budget = Budget(entries)
    value = converter.unpack(plain, budget)
    assert budget.left == 0
    paid = Budget(entries)
    assert converter.pack(value, paid) == plain
    assert paid.left == 0
    for work, given in ((converter.unpack, plain), (converter.pack, value)):
        with pytest.raises(WireError, match="too-many-entries"):
            work(given, Budget(entries - 1))
