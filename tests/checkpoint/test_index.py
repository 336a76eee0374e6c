"""A part's index: what it says is read back, and whatever cannot lie in its files is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from checkpoint.index import DataFile, Entry, PartIndex, parse_index
from checkpoint.slices import Slice
from checkpoint.strict import Malformed, encode

A, B, C = "0a" * 32, "0b" * 32, "0c" * 32
ROWS = Slice("w", "float32", (4, 2), (0, 0), (2, 2))
REST = Slice("w", "float32", (4, 2), (2, 0), (2, 2))
STEP = Slice("step", "int64", (), (), ())
# The first file has 100 bytes and so two blocks of 64, the second 30 and one.
INDEX = PartIndex(
    stage=3,
    part=1,
    parts=2,
    writer="ann",
    block_bytes=64,
    files=(DataFile(100, (A, B)), DataFile(30, (C,))),
    entries=(Entry(ROWS, 0, 0, 50, 20), Entry(REST, 0, 50, 50, 84), Entry(STEP, 1, 0, 30, 22)),
)


def test_what_is_written_is_read_back() -> None:
    assert parse_index(INDEX.to_bytes()) == INDEX
    assert INDEX.file_name(1) == "p0001-ann-00001.distcp"


def test_a_tensor_is_described_once_and_entries_name_it_by_number() -> None:
    body = json.loads(INDEX.to_bytes())
    assert body["tensors"] == [
        {"name": "w", "dtype": "float32", "shape": [4, 2]},
        {"name": "step", "dtype": "int64", "shape": []},
    ]
    assert body["files"] == [{"size": 100, "blocks": A + B}, {"size": 30, "blocks": C}]
    assert body["entries"][1] == {"tensor": 0, "offsets": [2, 0], "sizes": [2, 2], "at": [0, 50, 50, 84]}
    assert [entry["tensor"] for entry in body["entries"]] == [0, 0, 1]
    assert (body["stage"], body["part"], body["parts"], body["writer"], body["block_bytes"]) == (3, 1, 2, "ann", 64)


def put(*path: Any, to: Any) -> Callable[[dict[str, Any]], None]:
    """Return what puts a value into an index."""

    def apply(body: dict[str, Any]) -> None:
        place: Any = body
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = to

    return apply


ENTRY, FILE, TENSOR = ("entries", 1), ("files", 0), ("tensors", 0)
WRONG = [
    (put("format", to="tessera-checkpoint"), "it is not the index of a part"),
    (put("version", to=2), "it has version 2, and this program reads version 1"),
    (put("version", to=-1), "'version' is not an integer"),
    (put("stage", to=10_001), "'stage' is not an integer of 0 to 10000"),
    (put("stage", to=-1), "'stage' is not an integer"),
    (put("part", to=10_001), "'part' is not an integer of 0 to 10000"),
    (put("part", to=-1), "'part' is not an integer"),
    (put("parts", to=0), "'parts' is not an integer of 1 to 10000"),
    (put("writer", to="../x"), "'writer' is '../x', which is no such name"),
    (put("block_bytes", to=0), "'block_bytes' is not an integer of 1 to"),
    (put("block_bytes", to=(1 << 30) + 1), "'block_bytes' is not an integer"),
    (put("more", to=1), "the index has the unknown field 'more'"),
    (put(*FILE, "size", to=0), r"the index, files\[0\]: 'size' is not an integer of 1 to"),
    (put(*FILE, "size", to=(1 << 40) + 1), "'size' is not an integer"),
    (put(*FILE, "size", to=129), "'blocks' is no hash"),  # three blocks
    (put(*FILE, "size", to=64), "'blocks' is not a text of at most 64"),  # one block
    (put(*FILE, "size", to=1 << 40), "it cannot have 17179869184 blocks"),
    (put(*FILE, "blocks", to=A), "'blocks' is no hash"),
    (put(*FILE, "blocks", to=A + B.upper()), "'blocks' is no hash"),
    (put(*FILE, "more", to=1), r"files\[0\] has the unknown field"),
    (put(*TENSOR, "name", to="a b"), "'name' is 'a b', which is no such name"),
    (put(*TENSOR, "name", to=""), "which is no such name"),
    (put(*TENSOR, "dtype", to="float8"), r"tensors\[0\]: the type 'float8' is not stored"),
    (put(*TENSOR, "shape", to=[1] * 9), "'shape' is not a list of at most 8"),
    (put(*TENSOR, "shape", to=[1 << 30, 1 << 30]), "the shape is absurd"),
    (put(*TENSOR, "shape", to=[-4, 2]), "'shape' holds something else"),
    (put(*TENSOR, "shape", to=[3, 2]), r"entries\[1\]: the box of tensor 'w' reaches beyond the tensor$"),
    (put(*TENSOR, "more", to=1), r"tensors\[0\] has the unknown field"),
    (put(*ENTRY, "tensor", to=2), "'tensor' is not an integer of 0 to 1"),
    (put(*ENTRY, "tensor", to=-1), "'tensor' is not an integer"),
    (put(*ENTRY, "offsets", to=[3, 0]), "reaches beyond the tensor"),
    (put(*ENTRY, "offsets", to=[2]), "not as many dimensions"),
    (put(*ENTRY, "sizes", to=[1] * 9), "'sizes' is not a list of at most 8"),
    (put(*ENTRY, "more", to=1), r"entries\[1\] has the unknown field"),
    (put(*ENTRY, "at", to=[0, 50, 50]), r"entries\[1\]: it lies in no file"),
    (put(*ENTRY, "at", to=[2, 0, 50, 30]), "it lies in no file"),
    (put(*ENTRY, "at", to=[0, 50, 51, 84]), "it reaches beyond its file"),
    (put(*ENTRY, "at", to=[0, 51, 50, 84]), "it reaches beyond its file"),
    (put(*ENTRY, "at", to=[0, 50, 50, 49]), "it reaches beyond its file"),
    (put(*ENTRY, "at", to=[0, 50, 50, 85]), "it reaches beyond its file"),  # 16 bytes of values end at 101
    (put(*ENTRY, "at", to=[1, 0, 30, 15]), "it reaches beyond its file"),
]


@pytest.mark.parametrize(("spoil", "says"), WRONG)
def test_what_cannot_be_is_refused_with_its_place(spoil: Callable[[dict[str, Any]], None], says: str) -> None:
    body = json.loads(INDEX.to_bytes())
    spoil(body)
    with pytest.raises(Malformed, match=says):
        parse_index(encode(body))


@pytest.mark.parametrize(
    "spoil",
    [
        put(*ENTRY, "at", to=[0, 50, 50, 50]),  # the values may begin where the entry does
        put(*ENTRY, "at", to=[0, 84, 16, 84]),  # and be all of it
        put(*ENTRY, "at", to=[1, 0, 30, 14]),  # and end where the file does
        put(*FILE, "size", to=128),
        put("stage", to=0),
        put("part", to=0),
        put(*TENSOR, "dtype", to="int16"),
    ],
)
def test_what_just_fits_is_taken(spoil: Callable[[dict[str, Any]], None]) -> None:
    body = json.loads(INDEX.to_bytes())
    spoil(body)
    assert len(parse_index(encode(body)).entries) == 3


@pytest.mark.parametrize("field", ["format", "version", "stage", "part", "parts", "writer", "block_bytes", "entries"])
def test_a_missing_field_is_named(field: str) -> None:
    body = json.loads(INDEX.to_bytes())
    del body[field]
    with pytest.raises(Malformed, match=f"the index lacks '{field}'"):
        parse_index(encode(body))
