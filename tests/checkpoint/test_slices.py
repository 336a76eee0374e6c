"""Boxes of tensors: overlaps, rows, parts and gaps, by hand and against sets of elements."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkpoint.slices import DTYPE_BYTES, Slice, gap, narrow, part_of, split_rows


def box(offsets: tuple[int, ...], sizes: tuple[int, ...], shape: tuple[int, ...] = (4, 6)) -> Slice:
    """Return a box of a tensor t."""
    return Slice("t", "float32", shape, offsets, sizes)


def whole(name: str, shape: tuple[int, ...], dtype: str = "float32") -> Slice:
    """Return a whole tensor."""
    return Slice(name, dtype, shape, (0,) * len(shape), shape)


def elements(one: Slice) -> set[tuple[int, ...]]:
    """The places of a box's elements in the whole tensor."""
    return set(itertools.product(*(range(o, o + n) for o, n in zip(one.offsets, one.sizes, strict=True))))


@st.composite
def boxes(draw: st.DrawFn) -> Slice:
    """Any box of a tensor of 4 x 6."""
    ends = [sorted((draw(st.integers(0, full)), draw(st.integers(0, full)))) for full in (4, 6)]
    return box(tuple(low for low, _ in ends), tuple(high - low for low, high in ends))


def test_types_have_their_sizes() -> None:
    assert DTYPE_BYTES == {
        "float64": 8, "float32": 4, "bfloat16": 2, "float16": 2, "int64": 8, "int32": 4, "int16": 2, "int8": 1,
        "uint8": 1, "bool": 1,
    }  # fmt: skip
    assert whole("t", (3, 5), "bfloat16").nbytes == 30
    assert (whole("t", ()).elements, whole("t", ()).rows, whole("t", ()).nbytes) == (1, 1, 4)
    assert (whole("t", (3, 0)).elements, whole("t", (3, 0)).rows) == (0, 3)


@pytest.mark.parametrize(
    ("offsets", "sizes", "says"),
    [
        ((0, -1), (1, 1), "reaches beyond the tensor"),
        ((0, 0), (-1, 1), "reaches beyond the tensor"),
        ((3, 0), (2, 6), "reaches beyond the tensor"),
        ((0, 5), (4, 2), "reaches beyond the tensor"),
        ((0,), (4, 6), "not as many dimensions"),
        ((0, 0), (4,), "not as many dimensions"),
    ],
)
def test_a_box_that_cannot_be_is_refused(offsets: tuple[int, ...], sizes: tuple[int, ...], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        box(offsets, sizes)
    with pytest.raises(ValueError, match="'complex64', which is not stored"):
        whole("t", (1,), "complex64")


def test_a_box_may_end_where_the_tensor_ends() -> None:
    assert box((3, 5), (1, 1)).elements == 1
    assert box((4, 6), (0, 0)).elements == 0


def test_rows_of_a_box() -> None:
    assert box((1, 2), (3, 4)).take_rows(1, 3) == box((2, 2), (2, 4))
    scalar = whole("t", ())
    assert scalar.take_rows(0, 1) == scalar


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        (box((0, 0), (2, 3)), box((1, 2), (3, 4)), box((1, 2), (1, 1))),
        (box((0, 0), (4, 6)), box((1, 2), (2, 3)), box((1, 2), (2, 3))),
        (box((0, 0), (2, 6)), box((2, 0), (2, 6)), None),
        (box((0, 0), (4, 3)), box((0, 3), (4, 3)), None),
        (box((1, 1), (0, 2)), box((0, 0), (4, 6)), None),
    ],
)
def test_what_two_boxes_share(one: Slice, other: Slice, both: Slice | None) -> None:
    assert one.overlap(other) == other.overlap(one) == both


@given(boxes(), boxes())
def test_an_overlap_has_the_elements_that_both_have(one: Slice, other: Slice) -> None:
    shared = one.overlap(other)
    assert (elements(shared) if shared else set()) == elements(one) & elements(other)


@given(st.lists(boxes(), max_size=5), boxes())
def test_there_is_no_gap_when_every_element_is_there_once(parts: list[Slice], target: Slice) -> None:
    held = [place for part in parts for place in elements(part)]
    wrong = gap(parts, target)
    if len(held) != len(set(held)):
        assert wrong == "has elements of 't' twice"
    elif missing := elements(target) - set(held):
        assert wrong == f"lacks {len(missing)} of {target.elements} elements of 't'"
    else:
        assert wrong == ""


@pytest.mark.parametrize(
    ("shape", "limit", "ranges"),
    [
        ((5, 2), 16, [(0, 2), (2, 4), (4, 5)]),  # rows of 8 bytes, two of them
        ((5, 2), 23, [(0, 2), (2, 4), (4, 5)]),
        ((5, 2), 24, [(0, 3), (3, 5)]),
        ((5, 2), 3, [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)]),  # a row is more than the limit
        ((5, 2), 1000, [(0, 5)]),
        ((), 1, [(0, 1)]),
        ((0, 4), 100, [(0, 0)]),
        ((3, 0), 100, [(0, 3)]),
    ],
)
def test_boxes_are_split_at_rows(shape: tuple[int, ...], limit: int, ranges: list[tuple[int, int]]) -> None:
    assert list(split_rows(whole("t", shape), limit)) == ranges


# a: four rows of 8 bytes; b: a scalar of 4; c: three rows of 4 bytes. Together 48.
INVENTORY = [whole("a", (4, 2)), whole("b", ()), whole("c", (3,))]
PARTS = {
    1: [{"a": (0, 4), "b": (0, 1), "c": (0, 3)}],
    2: [{"a": (0, 3)}, {"a": (3, 4), "b": (0, 1), "c": (0, 3)}],  # cut at 24
    3: [{"a": (0, 2)}, {"a": (2, 4)}, {"b": (0, 1), "c": (0, 3)}],  # at 16 and 32
    # At 9, 19, 28 and 38 (of 9.6, 19.2, 28.8, 38.4), rounded up to a row: 16, 24, 32 and 40.
    5: [{"a": (0, 2)}, {"a": (2, 3)}, {"a": (3, 4)}, {"b": (0, 1), "c": (0, 1)}, {"c": (1, 3)}],
}


@pytest.mark.parametrize("parts", list(PARTS))
def test_parts_are_cut_at_equal_bytes_rounded_up_to_a_row(parts: int) -> None:
    for part, expected in enumerate(PARTS[parts]):
        found = part_of(INVENTORY, part, parts)
        rows = {one.name: (one.offsets[0], one.offsets[0] + one.sizes[0]) if one.sizes else (0, 1) for one in found}
        assert rows == expected, part
        assert [one.name for one in found] == list(expected), "in the order of the inventory"


def test_what_has_no_elements_is_in_the_first_part() -> None:
    empty = [whole("e", (0, 3)), whole("a", (2,)), whole("f", (2, 0))]
    assert [one.name for one in part_of(empty, 0, 2)] == ["e", "a", "f"]
    assert [one.name for one in part_of(empty, 1, 2)] == ["a"]
    assert part_of(empty, 0, 2)[2] == empty[2]


@given(st.integers(1, 7), st.lists(st.tuples(st.integers(1, 5), st.integers(1, 4)), min_size=1, max_size=5))
def test_parts_follow_each_other_in_the_inventory(parts: int, shapes: list[tuple[int, int]]) -> None:
    inventory = [whole(f"t{i}", shape) for i, shape in enumerate(shapes)]
    rows = [
        (one.name, row)
        for part in range(parts)
        for one in part_of(inventory, part, parts)
        for row in range(one.offsets[0], one.offsets[0] + one.rows)
    ]
    assert rows == [(one.name, row) for one in inventory for row in range(one.rows)]


def test_a_box_inside_a_box_is_a_view() -> None:
    tensor = np.arange(12).reshape(3, 4)  # is rows 1 .. 3 and columns 2 .. 5 of the whole
    held = box((1, 2), (3, 4))
    found = narrow(tensor, held, box((2, 3), (2, 2)))
    assert found.tolist() == [[5, 6], [9, 10]]
    found[0, 0] = -1
    assert tensor[1, 1] == -1
    assert narrow(np.array(7.0), whole("t", ()), whole("t", ())) == 7.0
    assert math.prod(narrow(tensor, held, box((1, 2), (0, 4))).shape) == 0
