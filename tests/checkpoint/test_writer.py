"""How a part becomes files: when a file is closed, what is in the index, and how many may wait for the store."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import torch
from torch import Tensor

from checkpoint.errors import CheckpointError, StoreError
from checkpoint.hashing import block_digests, digest
from checkpoint.load import load_index
from checkpoint.names import CheckpointId, PartPlace
from checkpoint.slices import Slice
from checkpoint.store import Store
from checkpoint.writer import PartWriter, WriteSizes

ID = CheckpointId(0, 3)
PLACE = PartPlace(ID, 2, 0, 1, "ann")


def rows(name: str, count: int) -> tuple[Slice, Tensor]:
    """Return a tensor of rows of 16 bytes."""
    return Slice(name, "float32", (count, 4), (0, 0), (count, 4)), torch.arange(4.0 * count).reshape(count, 4)


class Gated(Store):
    """Puts nothing while it is closed; remembers what it put, in order."""

    def __init__(self, root: Path) -> None:
        opened = Store.open(str(root))
        super().__init__(opened._fs, opened._root)
        self.gate, self.put_paths, self.fails = threading.Event(), list[str](), False

    def put(self, path: str, data: bytes | bytearray | memoryview) -> None:
        """Wait, put, remember."""
        assert self.gate.wait(60)
        if self.fails:
            raise StoreError("it is full")
        super().put(path, data)
        self.put_paths.append(path)


def open_store(tmp_path: Path) -> Gated:
    """Return a store that puts at once."""
    store = Gated(tmp_path)
    store.gate.set()
    return store


def test_the_usual_sizes() -> None:
    usual = WriteSizes()
    assert (usual.file_bytes, usual.entry_bytes, usual.block_bytes) == (16_777_216, 4_194_304, 262_144)
    assert usual.in_flight == 2


def test_entries_are_cut_at_rows_and_follow_each_other_in_a_file(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    writer = PartWriter(store, PLACE, WriteSizes(entry_bytes=40, block_bytes=1000))
    writer.add(*rows("a", 5))  # two rows are 32 bytes, three would be 48
    writer.add(*rows("b", 1))
    index = load_index(store, ID, 2, writer.finish())
    held = [(entry.slice.name, entry.slice.offsets[0], entry.slice.sizes[0]) for entry in index.entries]
    assert held == [("a", 0, 2), ("a", 2, 2), ("a", 4, 1), ("b", 0, 1)]
    assert [entry.offset for entry in index.entries] == [
        sum(entry.length for entry in index.entries[:number]) for number in range(4)
    ]
    assert (index.stage, index.part, index.parts, index.writer) == (2, 0, 1, "ann")
    (file,) = index.files
    assert file.size == sum(entry.length for entry in index.entries)
    data = (tmp_path / ID.stage(2) / "p0000-ann-00000.distcp").read_bytes()
    assert len(data) == file.size and file.blocks == block_digests(data, 1000)
    for entry in index.entries:
        first = int(entry.slice.offsets[0])
        expected = rows("a", 5)[1][first : first + entry.slice.rows].numpy().tobytes()
        if entry.slice.name == "a":
            assert data[entry.payload : entry.payload + entry.slice.nbytes] == expected


def test_a_file_is_closed_when_it_is_full_and_the_index_comes_last(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    probe = PartWriter(store, PartPlace(ID, 0, 0, 1, "probe"))
    probe.add(*rows("a", 1))
    one = probe.finish().data_bytes
    store.put_paths.clear()
    for entries, file_bytes in ((2, one + 1), (2, 2 * one), (1, one)):
        writer = PartWriter(store, PLACE, WriteSizes(file_bytes=file_bytes, in_flight=1))
        for number in range(5):
            writer.add(*rows(f"t{number}", 1))
        receipt = writer.finish()
        files = -(-5 // entries)
        assert (receipt.files, receipt.data_bytes) == (files, 5 * one)
        stem = f"{ID.stage(2)}/p0000-ann"
        assert store.put_paths == [*(f"{stem}-{number:05d}.distcp" for number in range(files)), f"{stem}.index.json"]
        index = load_index(store, ID, 2, receipt)
        assert [entry.file for entry in index.entries] == [number // entries for number in range(5)]
        assert [entry.offset for entry in index.entries] == [number % entries * one for number in range(5)]
        store.put_paths.clear()


def test_a_receipt_names_the_index_that_was_written(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    writer = PartWriter(store, PartPlace(ID, 1, 1, 3, "bob"))
    writer.add(*rows("a", 2))
    receipt = writer.finish()
    written = (tmp_path / ID.stage(1) / "p0001-bob.index.json").read_bytes()
    assert (receipt.part, receipt.parts, receipt.writer) == (1, 3, "bob")
    assert (receipt.index.size, receipt.index.digest) == (len(written), digest(written))


def test_a_part_without_tensors_is_an_index_alone(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    receipt = PartWriter(store, PLACE).finish()
    assert (receipt.files, receipt.data_bytes) == (0, 0)
    assert store.put_paths == [f"{ID.stage(2)}/p0000-ann.index.json"]


@pytest.mark.parametrize("in_flight", [1, 2, 3])
def test_a_writer_is_behind_when_as_many_files_wait_as_may(tmp_path: Path, in_flight: int) -> None:
    store = Gated(tmp_path)
    writer = PartWriter(store, PLACE, WriteSizes(file_bytes=1, in_flight=in_flight))
    behind = [writer.behind]
    for number in range(in_flight):
        writer.add(*rows(f"t{number}", 1))
        behind.append(writer.behind)
    assert behind == [False] * in_flight + [True]
    store.gate.set()
    assert writer.finish().files == in_flight
    assert not writer.behind


def test_a_store_that_fails_is_heard_of_and_no_index_is_written(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.fails = True
    writer = PartWriter(store, PLACE, WriteSizes(file_bytes=1))
    with pytest.raises(StoreError, match="it is full"):
        for number in range(5):
            writer.add(*rows(f"t{number}", 1))
        writer.finish()
    assert store.put_paths == []


def test_what_was_given_up_leaves_no_index(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    writer = PartWriter(store, PLACE)
    writer.add(*rows("a", 2))
    writer.abort()
    writer.abort()
    assert not list(tmp_path.rglob("*.index.json")) and not writer.behind


@pytest.mark.parametrize(
    "values", [torch.zeros(2, 4), torch.zeros(3, 5), torch.zeros(12), torch.zeros(3, 4, dtype=torch.float64)]
)
def test_values_of_another_type_or_size_are_refused(tmp_path: Path, values: Tensor) -> None:
    writer = PartWriter(open_store(tmp_path), PLACE)
    with pytest.raises(ValueError, match=r"tensor 'a' is torch\.float.* of \(.*\), not as announced"):
        writer.add(rows("a", 3)[0], values)
    writer.abort()


def test_a_checkpoint_with_a_manifest_is_not_written_again(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.put(ID.manifest, b"{}")
    with pytest.raises(CheckpointError, match=f"checkpoint {ID.folder} is complete; its files are not written again"):
        PartWriter(store, PLACE)
