"""The manifest: read back as it was written, bound by its own hash, and not written where it would be refused."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from checkpoint.hashing import digest
from checkpoint.manifest import Manifest, parse_manifest
from checkpoint.names import CheckpointId
from checkpoint.receipts import FileRecord, PartReceipt, StageReceipt
from checkpoint.strict import Malformed, encode

DIGEST = "0a" * 32


def stage(number: int) -> StageReceipt:
    """A stage of one part with 100 bytes of tensors and more for each number."""
    part = PartReceipt(0, 1, "w", FileRecord(10, DIGEST), 1, 200)
    return StageReceipt(number, 2, 100 + number, FileRecord(20, DIGEST), (part,))


MANIFEST = Manifest(
    CheckpointId(2, 30),
    "a-run",
    1_760_000_000,
    (stage(0), stage(1)),
    "train:\n  steps: 4\n",
    data_position={"step": 30},
    random={"seed": 5},
    protocol={"slot": 31},
    layout={"stages": 2},
)


def test_what_is_written_is_read_back() -> None:
    assert parse_manifest(MANIFEST.to_bytes()) == MANIFEST
    assert MANIFEST.tensor_bytes == 201
    plain = Manifest(CheckpointId(0, 0), "r", 0, (stage(0),), "")
    assert parse_manifest(plain.to_bytes()) == plain
    assert (plain.data_position, plain.random, plain.protocol, plain.layout) == ({}, {}, {}, {})


def test_its_hash_is_that_of_everything_else_in_it() -> None:
    body = json.loads(MANIFEST.to_bytes())
    found = body.pop("digest")
    assert found == digest(encode(body))
    assert set(body) == {
        "format", "version", "history", "commit", "run", "created", "stages", "config", "data_position", "random",
        "protocol", "layout",
    }  # fmt: skip
    assert (body["format"], body["version"], body["history"], body["commit"]) == ("tessera-checkpoint", 1, 2, 30)


CHANGED: dict[str, Any] = {
    "history": 3, "commit": 31, "run": "b-run", "created": 1, "config": "", "data_position": {}, "random": {"seed": 6},
    "protocol": {}, "layout": {"stages": 3},
}  # fmt: skip


@pytest.mark.parametrize("field", list(CHANGED))
def test_a_changed_field_does_not_have_the_hash(field: str) -> None:
    body = json.loads(MANIFEST.to_bytes()) | {field: CHANGED[field]}
    with pytest.raises(Malformed, match="its content does not have the hash that it names"):
        parse_manifest(encode(body))


def resealed(**changes: Any) -> bytes:
    """A manifest with other fields, and the hash of them."""
    body = json.loads(MANIFEST.to_bytes()) | changes
    body = {key: value for key, value in body.items() if key != "digest" and value is not None}
    return encode(body | {"digest": digest(encode(body))})


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"format": "tessera-checkpoint-part"}, "it is not the manifest of a checkpoint"),
        ({"version": 0}, "it has version 0, and this program reads version 1"),
        ({"history": 10_000}, "'history' is not an integer of 0 to 9999"),
        ({"history": -1}, "'history' is not an integer"),
        ({"commit": 10**10}, "'commit' is not an integer of 0 to 9999999999"),
        ({"commit": -1}, "'commit' is not an integer"),
        ({"run": "x" * 257}, "'run' is not a text of at most 256 characters"),
        ({"created": -1}, "'created' is not an integer"),
        ({"created": (1 << 40) + 1}, "'created' is not an integer"),
        ({"config": "x" * ((1 << 20) + 1)}, "'config' is not a text of at most 1048576 characters"),
        ({"random": []}, "'random' is not an object"),
        ({"data_position": 3}, "'data_position' is not an object"),
        ({"layout": "x"}, "'layout' is not an object"),
        ({"stages": []}, "its stages are not 0, 1, 2, ... in order"),
        ({"stages": [stage(1).to_json()]}, "its stages are not 0, 1, 2, ... in order"),
        ({"stages": [stage(1).to_json(), stage(0).to_json()]}, "its stages are not 0, 1, 2, ... in order"),
        ({"stages": [{}]}, r"the manifest, stages\[0\] lacks 'stage'"),
        ({"more": 1}, "the manifest has the unknown field 'more'"),
        ({"config": None}, "the manifest lacks 'config'"),
        ({"protocol": None}, "the manifest lacks 'protocol'"),
    ],
)
def test_every_field_that_cannot_be_is_named(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(Malformed, match=says):
        parse_manifest(resealed(**changes))


def test_the_hash_itself_has_to_be_one() -> None:
    body = json.loads(MANIFEST.to_bytes())
    for wrong in ("0a" * 31, DIGEST, 5):
        with pytest.raises(Malformed, match=r"hash|not a text"):
            parse_manifest(encode(body | {"digest": wrong}))


@pytest.mark.parametrize(
    "broken",
    [
        dataclasses.replace(MANIFEST, stages=()),
        dataclasses.replace(MANIFEST, run="x" * 300),
        dataclasses.replace(MANIFEST, created=-1),
        dataclasses.replace(MANIFEST, protocol={"a": float("nan")}),
        dataclasses.replace(MANIFEST, stages=(dataclasses.replace(stage(0), parts=()),)),
    ],
    ids=["no stage", "a long name", "before 1970", "not JSON", "a stage without parts"],
)
def test_what_would_be_refused_when_read_is_not_written(broken: Manifest) -> None:
    with pytest.raises(Malformed):
        broken.to_bytes()


def test_the_longest_texts_and_the_largest_numbers_are_taken() -> None:
    largest = dataclasses.replace(
        MANIFEST, id=CheckpointId(9999, 10**10 - 1), run="x" * 256, created=1 << 40, config="x" * (1 << 20)
    )
    assert parse_manifest(largest.to_bytes()) == largest
