"""JSON from a store: one spelling, bounded, read field by field; each kind of wrong value is named."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkpoint.strict import MAX_DEPTH, Fields, Malformed, decode, encode

NAME = re.compile(r"[a-z]+")
READ = {
    "integer": lambda fields: fields.integer("x", 2, 5),
    "text": lambda fields: fields.text("x", 3),
    "name": lambda fields: fields.name("x", NAME),
    "digest": lambda fields: fields.digest("x", 4),
    "integers": lambda fields: fields.integers("x", 2, 5),
    "items": lambda fields: fields.items("x", 2, lambda value, where: (value, where)),
    "object": lambda fields: fields.object("x"),
    "take": lambda fields: fields.take("x"),
}


def read(kind: str, value: Any) -> Any:
    """Read the field x of an object that is called `the box`."""
    return READ[kind](Fields({"x": value}, "the box"))


@pytest.mark.parametrize(
    ("kind", "value", "found"),
    [
        ("integer", 2, 2),
        ("integer", 5, 5),
        ("text", "", ""),
        ("text", "abc", "abc"),
        ("name", "abc", "abc"),
        ("digest", "09af", "09af"),
        ("integers", [], ()),
        ("integers", [0, 5], (0, 5)),
        ("items", ["a", None], (("a", "the box, x[0]"), (None, "the box, x[1]"))),
        ("object", {"a": 1}, {"a": 1}),
        ("take", None, None),
    ],
)
def test_what_is_right_is_returned(kind: str, value: Any, found: Any) -> None:
    assert read(kind, value) == found


WRONG: list[tuple[str, Any, str]] = [
    *(("integer", value, "'x' is not an integer of 2 to 5") for value in (1, 6, 3.0, True, "3", None, [3])),
    *(("text", value, "'x' is not a text of at most 3 characters") for value in ("abcd", 3, None, ["a"], b"a")),
    *(("name", value, "which is no such name") for value in ("", "aB", "a1", "a\n")),
    ("name", 3, "'x' is not a text of at most 256 characters"),
    ("name", "a" * 257, "'x' is not a text of at most 256 characters"),
    *(("digest", value, "'x' is no hash") for value in ("09a", "", "09aF", "09ag", "09a ")),
    ("digest", "09af0", "'x' is not a text of at most 4 characters"),
    ("digest", 1, "'x' is not a text of at most 4 characters"),
    *(("integers", value, "'x' is not a list of at most 2") for value in ([1, 2, 3], (1,), "12", None, {"0": 1})),
    *(("integers", [value], "holds something else than integers of 0 to 5") for value in (-1, 6, 1.0, True, "1", None)),
    *(("items", value, "'x' is not a list of at most 2") for value in ([1, 2, 3], {}, None, "ab")),
    *(("object", value, "'x' is not an object") for value in ([], None, "a", 1)),
]


@pytest.mark.parametrize(("kind", "value", "says"), WRONG)
def test_what_is_wrong_is_named_with_its_place(kind: str, value: Any, says: str) -> None:
    with pytest.raises(Malformed, match=re.escape(says)) as error:
        read(kind, value)
    assert str(error.value).startswith("the box: ")


@pytest.mark.parametrize("kind", list(READ))
def test_a_field_that_is_missing_is_named(kind: str) -> None:
    with pytest.raises(Malformed, match="the box lacks 'x'"):
        READ[kind](Fields({"y": 1}, "the box"))


def test_a_field_is_taken_once_and_none_may_be_left() -> None:
    fields = Fields({"x": 1, "z": 2, "y": 3}, "the box")
    assert fields.take("x") == 1
    with pytest.raises(Malformed, match="lacks 'x'"):
        fields.take("x")
    with pytest.raises(Malformed, match="the box has the unknown field 'y'"):
        fields.done()
    fields.take("y")
    fields.take("z")
    fields.done()


@pytest.mark.parametrize("value", [None, [], "a", 1])
def test_fields_are_those_of_an_object(value: Any) -> None:
    with pytest.raises(Malformed, match="the box is not an object"):
        Fields(value, "the box")


def test_reading_leaves_the_object_as_it_was() -> None:
    given_ = {"x": 1}
    Fields(given_, "the box").take("x")
    assert given_ == {"x": 1}


def test_the_spelling_has_sorted_keys_no_spaces_and_ascii_only() -> None:
    assert encode({"b": [1, 2.5, None], "a": {"é": True}}) == b'{"a":{"\\u00e9":true},"b":[1,2.5,null]}'


@given(st.dictionaries(st.text(max_size=3), st.recursive(st.integers() | st.text(max_size=3), st.lists, max_leaves=5)))
def test_what_is_spelled_is_read_back(value: dict[str, Any]) -> None:
    assert decode(encode(value), 1 << 20) == value


@pytest.mark.parametrize("value", [{"a": float("nan")}, {"a": float("inf")}, {"a": b"x"}, {"a": {1}}])
def test_what_json_cannot_hold_is_malformed(value: Any) -> None:
    with pytest.raises(Malformed, match="it holds what JSON cannot"):
        encode(value)


def nested(depth: int) -> bytes:
    """An object with lists in it, so many deep in all."""
    return b'{"a":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"


def test_depth_is_bounded_before_anything_is_parsed() -> None:
    assert MAX_DEPTH == 64
    assert decode(nested(64), 1 << 20)["a"] != []
    with pytest.raises(Malformed, match="nested more than 64 deep"):
        decode(nested(65), 1 << 20)
    flat = b'{"a":[' + b",".join([b"[]"] * 100) + b"]}"
    assert len(decode(flat, 1 << 20)["a"]) == 100, "brackets that are closed do not add up"
    for closed in (b"[]", b"{}"):
        behind = b'{"a":[' + b",".join([closed] * 9) + b"," + b"[" * 63 + b"]" * 63 + b"]}"
        with pytest.raises(Malformed, match="nested more than 64 deep"):
            decode(behind, 1 << 20)
    in_text = b'{"a":"' + b"[" * 100 + b'\\"{{"}'
    assert decode(in_text, 1 << 20) == {"a": "[" * 100 + '"{{'}, "those in a text are text"


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b'{"a":1}  ', "it is longer than 8 bytes"),
        (b'{"a": 1}', "not in the spelling"),
        (b'{"a":1}\n', "not in the spelling"),
        (b"\xff\xfe{}", "it is not JSON"),
        (b"", "it is not JSON"),
        (b"{]", "it is not JSON"),
        (b"[1]", "it is not a JSON object"),
        (b"7", "it is not a JSON object"),
    ],
)
def test_what_is_no_object_in_our_spelling_is_refused(data: bytes, says: str) -> None:
    with pytest.raises(Malformed, match=says):
        decode(data, 8)


def test_a_repeated_key_is_another_spelling() -> None:
    with pytest.raises(Malformed, match="not in the spelling"):
        decode(b'{"a":1,"a":1}', 100)
    assert decode(b'{"a":1}', 7) == {"a": 1}, "just as long as it may be"
