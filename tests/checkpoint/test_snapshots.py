"""What is written is what is read: by parts, rows, columns and plain torch; and only the bytes that are needed."""

from __future__ import annotations

import math
import pickle
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed.checkpoint as dcp
from hypothesis import given, settings
from hypothesis import strategies as st

from checkpoint.catalogue import newest_good, next_history
from checkpoint.commit import commit, seal_stage
from checkpoint.errors import CheckpointError, IncompatibleError, IncompleteError, NoCheckpointError
from checkpoint.manifest import Manifest, parse_manifest
from checkpoint.names import CheckpointId, PartPlace
from checkpoint.parts import write_in_steps, write_part
from checkpoint.reader import Reader, bytes_needed
from checkpoint.receipts import PartReceipt, StageReceipt
from checkpoint.slices import Slice, gap, part_of, split_rows
from checkpoint.store import Store
from checkpoint.writer import PartWriter, WriteSizes
from tests.checkpoint.world import (
    PARTS,
    SIZES,
    STAGES,
    assert_newest_is_whole,
    assert_restores,
    bits,
    inventory,
    save,
    stream,
    values,
    whole,
    write,
)

ID = CheckpointId(0, 7)


def test_a_checkpoint_restores_bit_for_bit(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path))
    with pytest.raises(NoCheckpointError, match="there is no checkpoint"):
        newest_good(store)
    written = save(store, ID)
    manifest, passed = newest_good(store, deep=True)
    assert (manifest, passed) == (written, [])
    assert manifest.protocol == {"view": [1, 2, {"a": "b"}]}
    assert manifest.config == "train:\n  steps: 40\n"
    assert manifest.tensor_bytes == sum(box.nbytes for stage in range(STAGES) for box in inventory(stage))
    assert_restores(store, manifest)
    assert next_history(store) == 1


def test_plain_torch_loads_a_stage(tmp_path: Path) -> None:
    save(Store.open(str(tmp_path)), ID)
    state = {box.name: torch.zeros(box.shape, dtype=getattr(torch, box.dtype)) for box in inventory(1)}
    dcp.load(state, checkpoint_id=tmp_path / ID.stage(1), no_dist=True)
    for box in inventory(1):
        assert (bits(state[box.name]) == bits(values(box, 7))).all(), box.name


def test_writing_a_part_again_gives_the_same_bytes(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path))
    first = write(store, ID, 0, 1, "me")
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert write(store, ID, 0, 1, "me") == first
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == files


def test_a_part_is_written_in_steps_with_anything_in_between(tmp_path: Path) -> None:
    store, gate = Store.open(str(tmp_path)), threading.Event()
    plain = store.put
    store.put = lambda path, data: gate.wait(30) and plain(path, data)  # type: ignore[method-assign, func-returns-value]
    sizes = WriteSizes(file_bytes=1, in_flight=2)
    tensors = stream(0, 7)
    steps = write_in_steps(store, PartPlace(ID, 0, 0, 1, "w"), inventory(0), tensors, sizes)
    assert [next(steps), next(steps)] == [False, True], "two files wait for the store"
    gate.set()
    with pytest.raises(StopIteration) as end:
        while True:
            next(steps)
    assert end.value.value == write_part(store, PartPlace(ID, 0, 0, 1, "w"), inventory(0), stream(0, 7), sizes)
    given_up = write_in_steps(store, PartPlace(ID, 0, 0, 1, "other"), inventory(0), stream(0, 7), sizes)
    next(given_up)
    given_up.close()
    assert not list(tmp_path.rglob("*other.index.json"))


def test_another_takes_over_the_part_of_one_that_died(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path))
    mine = part_of(inventory(0), 1, PARTS)
    dying = PartWriter(store, PartPlace(ID, 0, 1, PARTS, "dying"), SIZES)
    dying.add(mine[0], values(mine[0], 7)[mine[0].offsets[0] :][: mine[0].rows])
    dying.abort()
    parts = [write(store, ID, 0, 0, "alive"), write(store, ID, 0, 1, "alive")]
    with pytest.raises(IncompleteError, match="does not have all its parts"):
        seal_stage(store, ID, 0, parts[1:], inventory(0))
    sealed = seal_stage(store, ID, 0, parts, inventory(0))
    late = write(store, ID, 0, 1, "late")  # both finish: either receipt will do, and neither touches the other
    again = seal_stage(store, ID, 0, [parts[0], late], inventory(0))
    assert (sealed.tensors, again.tensors) == (3, 3)


def test_a_complete_checkpoint_is_not_written_again(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path))
    first = save(store, ID, created=5)
    with pytest.raises(CheckpointError, match="is complete"):
        write(store, ID, 0, 0, "me")
    assert commit(store, first) == first
    with pytest.raises(CheckpointError, match="is of run 'a-run', not of 'other'"):
        commit(store, Manifest(ID, "other", 6, first.stages, ""))


def test_nothing_is_committed_before_all_files_are_there(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path))
    manifest = save(store, ID)
    (tmp_path / ID.manifest).unlink()
    next(tmp_path.rglob("p0000-*-00000.distcp")).unlink()
    with pytest.raises(IncompleteError, match=r"is not committed: .*distcp is missing"):
        commit(store, manifest)


@pytest.mark.parametrize("rows", [True, False])
def test_slices_of_tensor_parallel_shards_are_nothing_new(rows: bool, tmp_path: Path) -> None:
    store, full = Store.open(str(tmp_path)), torch.arange(120.0).reshape(12, 10)

    def shard(number: int, of: int) -> Slice:
        size = (12 // of, 10) if rows else (12, 10 // of)
        at = (number * size[0], 0) if rows else (0, number * size[1])
        return Slice("w", "float32", (12, 10), at, size)

    def cut(box: Slice) -> torch.Tensor:
        return full[box.offsets[0] :, box.offsets[1] :][: box.sizes[0], : box.sizes[1]]

    receipts = []
    for number in range(2):  # two shards, each the only replica: they write parts of what they hold
        writer = PartWriter(
            store, PartPlace(ID, 0, number, 2, f"tp{number}"), WriteSizes(entry_bytes=64, block_bytes=16)
        )
        writer.add(shard(number, 2), cut(shard(number, 2)))
        receipts.append(writer.finish())
    sealed = seal_stage(store, ID, 0, receipts, [whole("w", (12, 10))])
    reader = Reader(store, commit(store, Manifest(ID, "r", 0, (sealed,), "")))
    wanted = [whole("w", (12, 10)), *(shard(i, of) for of in (2, 1) for i in range(of))]
    wanted += [Slice("w", "float32", (12, 10), (3, 2), (5, 6)), Slice("w", "float32", (12, 10), (11, 9), (1, 1))]
    for box, tensor in reader.read(wanted):
        assert torch.equal(tensor, cut(box)), box
    state = {"w": torch.zeros(12, 10)}
    dcp.load(state, checkpoint_id=tmp_path / ID.stage(0), no_dist=True)
    assert torch.equal(state["w"], full)


def test_tensors_without_elements_come_back(tmp_path: Path) -> None:
    store, boxes = Store.open(str(tmp_path)), [whole("none", (0, 4)), whole("some", (3,)), whole("flat", (3, 0))]
    tensors = [(box, torch.ones(box.shape)) for box in boxes]
    parts = [write_part(store, PartPlace(ID, 0, part, 2, "w"), boxes, tensors) for part in range(2)]
    manifest = commit(store, Manifest(ID, "r", 0, (seal_stage(store, ID, 0, parts, boxes),), ""))
    read = list(Reader(store, manifest).read(boxes))
    assert [tuple(tensor.shape) for _, tensor in read] == [(0, 4), (3,), (3, 0)]
    assert torch.equal(read[1][1], torch.ones(3))


def big(layers: int, rows: int = 256) -> list[Slice]:
    """Return some tensors of 64 KiB."""
    return [whole(f"layers.{i}", (rows, 64)) for i in range(layers)]


def big_values(box: Slice) -> torch.Tensor:
    """Return the values of one of them."""
    return torch.full(box.shape, float(box.name.split(".")[1]))


def test_only_the_ranges_that_are_needed_are_read(tmp_path: Path) -> None:
    store, layers = Store.open(str(tmp_path)), big(32)
    sizes = WriteSizes(file_bytes=1 << 20, entry_bytes=1 << 16, block_bytes=1 << 11)
    sealed = []
    for stage in range(4):
        mine = layers[stage * 8 : stage * 8 + 8]
        parts = [
            write_part(
                store, PartPlace(ID, stage, i, 2, f"r{i}"), mine, ((box, big_values(box)) for box in mine), sizes
            )
            for i in range(2)
        ]
        sealed.append(seal_stage(store, ID, stage, parts, mine))
    manifest = commit(store, Manifest(ID, "r", 0, tuple(sealed), ""))
    for wanted in (layers[:16], layers[5:9], [box.take_rows(128, 256) for box in layers[:4]]):
        reader = Reader(store, manifest)
        assert all(torch.equal(tensor, big_values(box)[: box.rows]) for box, tensor in reader.read(wanted))
        assert reader.bytes_read < 1.1 * bytes_needed(wanted)
    own = Reader(store, manifest, stages=[2])
    assert own.names() == {box.name for box in layers[16:24]}
    with pytest.raises(IncompatibleError, match=r"has no tensor 'layers\.0'"):
        list(own.read(layers[:1]))
    with pytest.raises(IncompatibleError, match=r"is float32 of \(256, 64\) .*, and float32 of \(4, 64\) is wanted"):
        list(Reader(store, manifest).read([whole("layers.0", (4, 64))]))


def test_memory_of_writing_and_reading_does_not_grow_with_the_state(tmp_path: Path) -> None:
    store, layers = Store.open(str(tmp_path)), big(40, rows=4096)  # 40 MiB that never is in memory
    sizes = WriteSizes(file_bytes=1 << 20, entry_bytes=1 << 19, block_bytes=1 << 16)

    def made() -> Iterator[tuple[Slice, torch.Tensor]]:
        for box in layers:
            yield box, big_values(box)

    tracemalloc.start()
    receipt = write_part(store, PartPlace(ID, 0, 0, 1, "w"), layers, made(), sizes)
    _, peak = tracemalloc.get_traced_memory()
    assert peak < 8 << 20, "the buffers are as large as the state"
    manifest = commit(store, Manifest(ID, "r", 0, (seal_stage(store, ID, 0, [receipt], layers),), ""))
    tracemalloc.reset_peak()
    for _ in Reader(store, manifest).read(layers):
        pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 36 << 20


def test_tensors_that_are_not_as_announced_are_refused(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path))
    with pytest.raises(ValueError, match="not as announced"):
        PartWriter(store, PartPlace(ID, 0, 0, 1, "w")).add(whole("a", (3,)), torch.zeros(4))
    with pytest.raises(ValueError, match="did not come"):
        write_part(store, PartPlace(ID, 0, 0, 1, "w"), inventory(0), list(stream(0, 7))[:-1], SIZES)
    with pytest.raises(ValueError, match="writer"):
        PartWriter(store, PartPlace(ID, 0, 0, 1, "../w"))


shapes = st.lists(st.lists(st.integers(1, 9), max_size=3), min_size=1, max_size=8)


@settings(deadline=None)
@given(shapes, st.integers(1, 6))
def test_parts_cover_everything_once_and_are_even(shapes: list[list[int]], parts: int) -> None:
    boxes = [whole(f"t{i}", tuple(shape)) for i, shape in enumerate(shapes)]
    cut = [part_of(boxes, part, parts) for part in range(parts)]
    for box in boxes:
        assert gap([piece for part in cut for piece in part if piece.name == box.name], box) == ""
    total, row = sum(box.nbytes for box in boxes), max(box.nbytes // box.rows for box in boxes)
    assert all(abs(sum(piece.nbytes for piece in part) - total / parts) <= row + 1 for part in cut)


@settings(deadline=None)
@given(st.lists(st.integers(1, 6), max_size=3), st.integers(1, 200))
def test_rows_are_split_under_a_limit(shape: list[int], limit: int) -> None:
    box = whole("t", tuple(shape))
    ranges = list(split_rows(box, limit))
    assert [row for first, stop in ranges for row in range(first, stop)] == list(range(box.rows))
    row = box.nbytes // box.rows
    assert all((stop - first) * row <= max(limit, row) for first, stop in ranges)
    assert math.prod(box.sizes) * 4 == box.nbytes


def test_receipts_travel_as_json(tmp_path: Path) -> None:
    manifest = save(Store.open(str(tmp_path)), ID)
    for stage in manifest.stages:
        assert StageReceipt.from_json(stage.to_json()) == stage
        assert all(PartReceipt.from_json(part.to_json()) == part for part in stage.parts)
    assert parse_manifest(manifest.to_bytes()) == manifest


def test_restoring_unpickles_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store.open(str(tmp_path))
    save(store, ID)

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("something was unpickled")

    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    monkeypatch.setattr(torch, "load", refuse)
    assert_newest_is_whole(store)
