"""What writers hand on: receipts as JSON, and every field of them that cannot be."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from checkpoint.receipts import FileRecord, PartReceipt, StageReceipt
from checkpoint.strict import Malformed

DIGEST = "0a" * 32
PARTS = tuple(PartReceipt(part, 2, f"w{part}", FileRecord(100, DIGEST), 3, 5000) for part in range(2))
STAGE = StageReceipt(1, 7, 4800, FileRecord(50, DIGEST), PARTS)


def test_a_receipt_is_plain_json() -> None:
    part = {
        "part": 0,
        "parts": 2,
        "writer": "w0",
        "index": {"size": 100, "digest": DIGEST},
        "files": 3,
        "data_bytes": 5000,
    }
    assert PARTS[0].to_json() == part
    assert PARTS[0].index_file == "p0000-w0.index.json"
    found = STAGE.to_json()
    assert found["parts"][0] == part and found["dcp"] == {"size": 50, "digest": DIGEST}
    assert (found["stage"], found["tensors"], found["tensor_bytes"]) == (1, 7, 4800)
    assert StageReceipt.from_json(found) == STAGE
    assert PartReceipt.from_json(part) == PARTS[0]


def changed(*path: Any, to: Any) -> Callable[[dict[str, Any]], None]:
    """Return what puts a value into a receipt."""

    def apply(body: dict[str, Any]) -> None:
        place: Any = body
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = to

    return apply


def without(*path: Any) -> Callable[[dict[str, Any]], None]:
    """Return what takes a field out of a receipt."""

    def apply(body: dict[str, Any]) -> None:
        place: Any = body
        for key in path[:-1]:
            place = place[key]
        del place[path[-1]]

    return apply


PART = ("parts", 0)
WRONG = [
    (changed("stage", to=-1), "the receipt of a stage: 'stage' is not an integer of 0 to 10000"),
    (changed("stage", to=10_001), "'stage' is not an integer"),
    (changed("tensors", to=-1), "'tensors' is not an integer"),
    (changed("tensors", to=(1 << 32) + 1), "'tensors' is not an integer"),
    (changed("tensor_bytes", to=-1), "'tensor_bytes' is not an integer"),
    (changed("tensor_bytes", to=(1 << 56) + 1), "'tensor_bytes' is not an integer"),
    (changed("dcp", to=None), "the receipt of a stage, dcp is not an object"),
    (changed("dcp", "size", to=0), "the receipt of a stage, dcp: 'size' is not an integer of 1 to 268435456"),
    (changed("dcp", "size", to=(256 << 20) + 1), "'size' is not an integer"),
    (changed("dcp", "digest", to="0a" * 31), "'digest' is no hash"),
    (changed("dcp", "more", to=1), "the receipt of a stage, dcp has the unknown field 'more'"),
    (changed("more", to=1), "the receipt of a stage has the unknown field 'more'"),
    (changed("parts", to=[]), "the parts are not 0 to 0"),
    (changed("parts", to={}), "'parts' is not a list of at most 10000"),
    (changed(*PART, "part", to=1), r"the receipt of a stage: the parts are not 0 to 1"),
    (changed(*PART, "parts", to=3), r"the parts are not 0 to 1"),
    (changed(*PART, "part", to=2), r"the receipt of a stage, parts\[0\]: there is no part 2 of 2"),
    (changed(*PART, "part", to=-1), "'part' is not an integer of 0 to 10000"),
    (changed(*PART, "parts", to=0), "'parts' is not an integer of 1 to 10000"),
    (changed(*PART, "writer", to="a b"), "'writer' is 'a b', which is no such name"),
    (changed(*PART, "writer", to="a" * 65), "which is no such name"),
    (changed(*PART, "files", to=-1), "'files' is not an integer of 0 to 100000"),
    (changed(*PART, "files", to=100_001), "'files' is not an integer"),
    (changed(*PART, "data_bytes", to=-1), "'data_bytes' is not an integer of 0 to 1099511627776"),
    (changed(*PART, "data_bytes", to=(1 << 40) + 1), "'data_bytes' is not an integer"),
    (changed(*PART, "index", "size", to=0), r"parts\[0\], index: 'size' is not an integer of 1 to 67108864"),
    (changed(*PART, "index", "size", to=(64 << 20) + 1), "'size' is not an integer"),
    (changed(*PART, "index", "digest", to="0A" * 32), "'digest' is no hash"),
    (changed(*PART, "more", to=1), r"parts\[0\] has the unknown field 'more'"),
    *((without(field), f"lacks '{field}'") for field in ("stage", "tensors", "tensor_bytes", "dcp", "parts")),
    *((without(*PART, field), f"lacks '{field}'") for field in ("part", "parts", "writer", "index", "files")),
    (without(*PART, "data_bytes"), "lacks 'data_bytes'"),
]


@pytest.mark.parametrize(("spoil", "says"), WRONG)
def test_every_field_that_cannot_be_is_named(spoil: Callable[[dict[str, Any]], None], says: str) -> None:
    body = STAGE.to_json()
    spoil(body)
    with pytest.raises(Malformed, match=says):
        StageReceipt.from_json(body)


def test_the_largest_and_smallest_are_taken() -> None:
    small = PartReceipt(0, 1, "w", FileRecord(1, DIGEST), 0, 0)
    large = PartReceipt(9_999, 10_000, "w" * 64, FileRecord(64 << 20, DIGEST), 100_000, 1 << 40)
    for one in (small, large):
        assert PartReceipt.from_json(one.to_json()) == one
    stage = StageReceipt(10_000, 1 << 32, 1 << 56, FileRecord(256 << 20, DIGEST), (small,))
    assert StageReceipt.from_json(stage.to_json()) == stage
    assert StageReceipt.from_json(dataclasses.replace(stage, stage=0, tensors=0, tensor_bytes=0).to_json()).tensors == 0


def test_parts_out_of_order_are_refused() -> None:
    body = STAGE.to_json()
    body["parts"].reverse()
    with pytest.raises(Malformed, match="the parts are not 0 to 1"):
        StageReceipt.from_json(body)
