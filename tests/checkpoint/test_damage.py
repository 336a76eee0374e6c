"""A flipped bit anywhere is found and named, also when only ranges are read; what is hostile is refused at the door."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from checkpoint.catalogue import State, inspect, newest_good
from checkpoint.errors import CheckpointError, DamagedError, NoCheckpointError
from checkpoint.hashing import digest
from checkpoint.index import parse_index
from checkpoint.load import load_index, load_manifest
from checkpoint.manifest import MAX_MANIFEST_BYTES, parse_manifest
from checkpoint.names import DCP_METADATA, CheckpointId
from checkpoint.reader import Reader
from checkpoint.store import Store
from checkpoint.strict import Malformed, encode
from tests.checkpoint.world import STAGES, assert_restores, inventory, save

OLD, NEW = CheckpointId(0, 1), CheckpointId(0, 2)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two good checkpoints."""
    store = Store.open(str(tmp_path))
    save(store, OLD)
    save(store, NEW)
    return store


def files(folder: Path, id: CheckpointId) -> list[Path]:
    """Return all files that the manifest binds, and the manifest."""
    manifest = load_manifest(Store.open(str(folder)), id)
    stems = {f"p{part.part:04d}-{part.writer}" for stage in manifest.stages for part in stage.parts}
    found = [path for path in (folder / id.folder).rglob("*") if path.is_file()]
    return [path for path in found if path.name[0] != "p" or any(path.name.startswith(stem) for stem in stems)]


def test_a_flipped_bit_in_any_file_is_found_and_named_and_the_previous_one_is_used(
    store: Store, tmp_path: Path
) -> None:
    rng = random.Random(0)
    for path in files(tmp_path, NEW):
        good = path.read_bytes()
        for at in sorted({0, len(good) - 1, *(rng.randrange(len(good)) for _ in range(6))}):
            bad = bytearray(good)
            bad[at] ^= 1 << rng.randrange(8)
            path.write_bytes(bad)
            found = inspect(store, NEW, deep=True)
            assert found.state is State.DAMAGED, f"bit of byte {at} of {path.name}"
            assert path.relative_to(tmp_path).as_posix() in found.problems[0]
            manifest, passed = newest_good(store, deep=True)
            assert manifest.id == OLD
            assert passed == [found]
        path.write_bytes(good)
    assert inspect(store, NEW, deep=True).state is State.GOOD


def test_a_reader_finds_damage_in_what_it_reads(store: Store, tmp_path: Path) -> None:
    manifest = load_manifest(store, NEW)
    for stage in manifest.stages:
        folder = tmp_path / NEW.stage(stage.stage)
        for receipt in stage.parts:
            index = load_index(store, NEW, stage.stage, receipt)
            places = [(index.file_name(entry.file), entry.payload) for entry in index.entries]
            for name, at in [(receipt.index_file, 100), *places]:
                good = (folder / name).read_bytes()
                flipped = bytearray(good)
                flipped[at] ^= 4
                for bad in (flipped, good[:at]):
                    (folder / name).write_bytes(bad)
                    with pytest.raises(DamagedError) as error:
                        assert_restores(store, manifest)
                    assert error.value.file == f"{NEW.stage(stage.stage)}/{name}"
                (folder / name).unlink()
                with pytest.raises(DamagedError, match="is missing"):
                    assert_restores(store, manifest)
                (folder / name).write_bytes(good)
    assert_restores(store, manifest)
    (tmp_path / NEW.stage(0) / DCP_METADATA).write_bytes(b"cos\nsystem\n")  # nobody here opens it
    assert_restores(store, manifest)


def test_missing_and_cut_files_are_seen_without_reading_them(store: Store, tmp_path: Path) -> None:
    for path in files(tmp_path, NEW):
        good = path.read_bytes()
        path.write_bytes(good[:-1])
        assert inspect(store, NEW).state is State.DAMAGED
        path.unlink()
        assert inspect(store, NEW).state is (State.UNFINISHED if path.name == "manifest.json" else State.DAMAGED)
        path.write_bytes(good)
    for path in tmp_path.rglob("manifest.json"):
        path.write_bytes(b"{}")
    with pytest.raises(NoCheckpointError, match=r"none of 2 checkpoints is good; of the newest: .*is malformed"):
        newest_good(store)


def resealed(body: dict[str, Any]) -> bytes:
    """Return a manifest with a right hash, as somebody hostile can write it."""
    body.pop("digest", None)
    return encode(body | {"digest": digest(encode(body))})


def change(path: list[Any], value: Any) -> Any:
    """Return a function that puts a value into a nested object."""

    def apply(body: dict[str, Any]) -> None:
        place: Any = body
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value

    return apply


PART = ["stages", 0, "parts", 0]
HOSTILE = [
    (change([*PART, "writer"], "../../../etc/x"), "no such name"),
    (change([*PART, "writer"], "a/b"), "no such name"),
    (change([*PART, "writer"], ""), "no such name"),
    (change([*PART, "index", "size"], 1 << 60), "not an integer of"),
    (change([*PART, "index", "size"], -1), "not an integer of"),
    (change([*PART, "index", "size"], 3.0), "not an integer of"),
    (change([*PART, "index", "size"], True), "not an integer of"),
    (change([*PART, "index", "digest"], "0" * 63 + "G"), "no hash"),
    (change([*PART, "files"], 10**9), "not an integer of"),
    (change([*PART, "part"], 7), "part"),
    (change([*PART, "surprise"], 1), "unknown field"),
    (change(["stages", 1, "stage"], 0), "stages are not"),
    (change(["stages"], []), "stages are not"),
    (change(["stages"], {"0": 1}), "not a list"),
    (change(["stages", 0, "parts"], []), "parts are not"),
    (change(["commit"], 10**30), "not an integer of"),
    (change(["commit"], "2"), "not an integer of"),
    (change(["version"], 2), "version 2, and this program reads version 1"),
    (change(["format"], "other"), "not the manifest"),
    (change(["config"], 5), "not a text"),
    (change(["protocol"], []), "not an object"),
    (change(["run"], "x" * 300), "not a text of at most"),
]


@pytest.mark.parametrize(("spoil", "says"), HOSTILE)
def test_hostile_manifests_are_refused_in_one_sentence(spoil: Any, says: str, store: Store, tmp_path: Path) -> None:
    path = tmp_path / NEW.manifest
    body = json.loads(path.read_bytes())
    spoil(body)
    path.write_bytes(resealed(body))
    with pytest.raises(DamagedError, match=says) as error:
        load_manifest(store, NEW)
    assert "\n" not in str(error.value)
    assert newest_good(store)[0].id == OLD


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"a":1,"a":1}',
        b'{"a": 1}',
        b'{"a":NaN}',
        b'{"a":1e999}',
        b'{"a":' + b"9" * 10_000 + b"}",
        b"\xff\xfe{}",
        b'{"a":"\\ud800"}',
        b"x" * (MAX_MANIFEST_BYTES + 1),
    ],
    ids=lambda data: repr(data[:12]),
)
def test_what_is_no_manifest_is_malformed_and_nothing_else(data: bytes) -> None:
    for parse in (parse_manifest, parse_index):
        with pytest.raises(Malformed):
            parse(data)


def test_random_changes_of_an_index_never_do_anything_else_than_be_refused(store: Store, tmp_path: Path) -> None:
    manifest = load_manifest(store, NEW)
    path = tmp_path / NEW.stage(0) / manifest.stages[0].parts[0].index_file
    good, rng = json.loads(path.read_bytes()), random.Random(1)
    values: list[Any] = [-1, 1 << 62, "../x", None, [], {}, 0.5, True, "", [1] * 9, [[0]]]

    def spots(value: Any) -> list[tuple[Any, Any]]:
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        return [spot for key, inner in items for spot in [(value, key), *spots(inner)]]

    for _ in range(300):
        body = json.loads(json.dumps(good))
        place, key = rng.choice(spots(body))
        place[key] = rng.choice(values)
        try:
            parse_index(encode(body))
        except Malformed:
            continue
        except Exception as error:  # whatever it is, it names the change
            pytest.fail(f"{key} = {place[key]!r}: {error!r}")


def test_a_manifest_in_the_wrong_folder_is_refused(store: Store, tmp_path: Path) -> None:
    (tmp_path / NEW.manifest).write_bytes((tmp_path / OLD.manifest).read_bytes())
    with pytest.raises(DamagedError, match="is the manifest of h0000-c0000000001"):
        load_manifest(store, NEW)


def test_strangers_in_the_folder_are_left_alone(store: Store, tmp_path: Path) -> None:
    for name in ("h1-c2", "h0000-c0000000003x", "data"):
        (tmp_path / name).mkdir()
    odd = CheckpointId(0, 0)
    (tmp_path / odd.manifest).mkdir(parents=True)
    assert inspect(store, odd).state is State.UNFINISHED
    (tmp_path / "README").write_text("mine")
    manifest, passed = newest_good(store)
    assert (manifest.id, passed) == (NEW, [])
    assert sum(len(inventory(stage)) for stage in range(STAGES)) == len(Reader(store, manifest).names())


def test_an_overlapping_index_is_refused_before_reading(store: Store, tmp_path: Path) -> None:
    path = tmp_path / NEW.manifest
    body = json.loads(path.read_bytes())
    part = body["stages"][0]["parts"][0]
    index_path = tmp_path / NEW.stage(0) / f"p0000-{part['writer']}.index.json"
    index = json.loads(index_path.read_bytes())
    index["entries"].append(index["entries"][0])
    index_path.write_bytes(encode(index))
    part["index"] = {"size": len(encode(index)), "digest": digest(encode(index))}
    path.write_bytes(resealed(body))
    with pytest.raises(CheckpointError, match="twice"):
        assert_restores(store, load_manifest(store, NEW))
