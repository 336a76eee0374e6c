"""Records, enums and types of messages: what they must have, and what may not travel at all."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

import pytest

from actors.transport.errors import WireError
from actors.transport.fields import Budget, converter_for


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


def test_a_record_has_exactly_its_fields_and_a_mistake_is_named_with_its_path() -> None:
    line = Line((Point(1, 2), Point(3, 4)), None)
    plain = pack(Line, line)
    assert plain == {"ends": [{"x": 1, "y": 2}, {"x": 3, "y": 4}], "label": None}
    assert unpack(Line, plain) == line
    assert "missing or unknown fields: label" in refused(Line, {"ends": plain["ends"]})
    assert "missing or unknown fields: more" in refused(Line, {**plain, "more": 1})
    assert "missing or unknown fields: y" in refused(Point, {"x": 1}), "a default is for senders"
    assert refused(Line, {"ends": [{"x": 1, "y": 2}, {"x": 3, "y": "4"}], "label": None}).endswith(
        "ends: y: expected int, got str"
    )
    assert "expected map, got list" in refused(Point, [1, 2])
    with pytest.raises(WireError, match="label: expected str, got int"):
        pack(Line, Line(line.ends, 7))  # type: ignore[arg-type]
    with pytest.raises(WireError, match="expected Point, got Line"):
        pack(Point, line)


def test_many_odd_fields_are_named_up_to_five_and_cut() -> None:
    detail = refused(Point, {**{f"{number}" + "n" * 50: 1 for number in range(9)}, "x": 1, "y": 2})
    assert detail.count("n" * 39) == 5
    assert "n" * 40 not in detail


def test_an_enum_is_one_of_its_values_of_the_right_type() -> None:
    assert pack(Colour, Colour.RED) == "red"
    assert unpack(Colour, "blue") is Colour.BLUE
    assert unpack(Level, 2) is Level.HIGH
    assert "no Level" in refused(Level, True), "true is no 1"
    assert "no Level" in refused(Level, 1.0)
    assert "no Colour" in refused(Colour, "RED"), "not by name"
    assert "no Colour" in refused(Colour, ["red"]), "nor anything that cannot be looked up"
    assert unpack(Mixed, 1) is Mixed.ONE
    assert unpack(Mixed, "1") is Mixed.TEXT
    with pytest.raises(WireError, match="expected Level, got int"):
        pack(Level, 1)


# --- what may travel ------------------------------------------------------------------------------------------------


class Share(enum.Enum):
    HALF = 0.5


@dataclass
class Mutable:
    x: int


@pytest.mark.parametrize(
    "annotation",
    [
        object,
        complex,
        int | str,
        int | str | None,
        dict[float, int],
        dict[bool, int],
        set[int],
        Mutable,
        Share,
        tuple[object, ...],
    ],
    ids=str,
)
def test_types_without_bounds_do_not_travel(annotation: Any) -> None:
    with pytest.raises(TypeError):
        converter_for(annotation)


def test_a_type_that_contains_itself_does_not_travel() -> None:
    with pytest.raises(TypeError, match="contains itself"):
        converter_for(Nested)


@dataclass(frozen=True)
class Nested:
    inner: Nested | None


def test_one_type_may_occur_twice_beside_itself() -> None:
    assert unpack(tuple[Point, Point], [{"x": 1, "y": 2}] * 2) == (Point(1, 2), Point(1, 2))
