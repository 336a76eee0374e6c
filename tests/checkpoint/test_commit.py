"""From parts to a checkpoint: what must be there before a stage is sealed and before the manifest is written, last."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from checkpoint.commit import commit, seal_stage
from checkpoint.errors import CheckpointError, DamagedError, IncompleteError
from checkpoint.hashing import digest
from checkpoint.load import load_manifest
from checkpoint.manifest import Manifest
from checkpoint.names import CheckpointId, PartPlace
from checkpoint.parts import write_part
from checkpoint.receipts import PartReceipt, StageReceipt
from checkpoint.slices import Slice
from checkpoint.store import Store
from tests.checkpoint.world import inventory, save, stream, whole

ID = CheckpointId(1, 7)


class Recording(Store):
    """Remembers what was put, in order."""

    put_paths: tuple[str, ...] = ()

    def put(self, path: str, data: bytes | bytearray | memoryview) -> None:
        """Put and remember."""
        super().put(path, data)
        self.put_paths += (path.removeprefix(f"{ID.folder}/"),)


@pytest.fixture
def store(tmp_path: Path) -> Recording:
    """An empty store."""
    opened = Recording.open(str(tmp_path))
    assert isinstance(opened, Recording)
    return opened


def written(store: Store, part: int, parts: int, writer: str = "w", number: int = 7) -> PartReceipt:
    """Write a part of stage 0."""
    return write_part(store, PartPlace(ID, 0, part, parts, writer), inventory(0), stream(0, number))


def sealed(store: Store, receipts: list[PartReceipt], boxes: list[Slice] | None = None) -> StageReceipt:
    """Seal stage 0."""
    return seal_stage(store, ID, 0, receipts, inventory(0) if boxes is None else boxes)


def manifest(*stages: StageReceipt, run: str = "r") -> Manifest:
    """A manifest of these stages."""
    return Manifest(ID, run, 5, stages, "")


def test_the_manifest_is_written_last_and_every_stage_s_metadata_before_it(store: Recording) -> None:
    save(store, ID)
    paths = store.put_paths
    assert paths[-1] == "manifest.json" and paths.count("manifest.json") == 1
    for stage in ("stage-0000", "stage-0001"):
        mine = [path.removeprefix(f"{stage}/") for path in paths if path.startswith(stage)]
        assert mine[-1] == ".metadata", "a stage is sealed when its parts are there"
        for index in (path for path in mine if path.endswith(".index.json")):
            data = [path for path in mine if path.startswith(f"{index.removesuffix('.index.json')}-")]
            assert data and all(mine.index(path) < mine.index(index) for path in data), "an index follows its data"


def test_a_stage_s_receipt_says_what_it_holds(store: Recording, tmp_path: Path) -> None:
    receipts = [written(store, 1, 2), written(store, 0, 2)]
    found = sealed(store, receipts)
    # Twenty rows of nine in fp32, nine in bf16, and a scalar in fp32.
    assert (found.stage, found.tensors, found.tensor_bytes) == (0, 3, 720 + 18 + 4)
    assert found.parts == (receipts[1], receipts[0]), "in order"
    metadata = (tmp_path / ID.stage(0) / ".metadata").read_bytes()
    assert (found.dcp.size, found.dcp.digest) == (len(metadata), digest(metadata))


@pytest.mark.parametrize(
    "pick",
    [
        lambda one, two, other: [],
        lambda one, two, other: [one],
        lambda one, two, other: [two],
        lambda one, two, other: [one, two, other],
        lambda one, two, other: [one, other],
    ],
    ids=["none", "the second is missing", "the first is missing", "one of another cut", "two cuts"],
)
def test_a_stage_needs_all_parts_of_one_cut(
    store: Recording, pick: Callable[[PartReceipt, PartReceipt, PartReceipt], list[PartReceipt]]
) -> None:
    receipts = pick(written(store, 0, 2), written(store, 1, 2), written(store, 2, 3))
    with pytest.raises(IncompleteError, match=f"stage 0 of checkpoint {ID.folder} does not have all its parts"):
        sealed(store, receipts)
    assert not any(path.endswith(".metadata") for path in store.put_paths)


@pytest.mark.parametrize(
    ("boxes", "says"),
    [
        ([*inventory(0), whole("model.more", (2,))], "lacks 'model.more', or has it of another type or shape"),
        ([whole("model.layers.0.weight", (20, 9), "float64"), *inventory(0)[1:]], "lacks 'model.layers.0.weight', or"),
        ([whole("model.layers.0.weight", (9, 20)), *inventory(0)[1:]], "lacks 'model.layers.0.weight', or"),
        (inventory(0)[1:], "holds 'model.layers.0.weight', which is not the stage's"),
    ],
    ids=["more", "another type", "another shape", "less"],
)
def test_parts_must_hold_the_inventory_and_nothing_else(store: Recording, boxes: list[Slice], says: str) -> None:
    receipts = [written(store, part, 2) for part in range(2)]
    with pytest.raises(IncompleteError, match=f"stage 0 of checkpoint {ID.folder} {says}"):
        sealed(store, receipts, boxes)


def test_of_several_unknown_tensors_the_first_by_name_is_named(store: Recording) -> None:
    boxes = [whole(f"model.t{number}", (1,)) for number in (5, 3, 8, 1, 9, 4, 7)]
    place = PartPlace(ID, 0, 0, 1, "w")
    receipt = write_part(store, place, boxes, [(box, torch.zeros(1)) for box in boxes])
    with pytest.raises(IncompleteError, match=r"holds 'model\.t1', which is not the stage's"):
        sealed(store, [receipt], boxes[:1])


def test_a_part_that_lacks_rows_or_has_them_twice_is_refused(store: Recording) -> None:
    tensor = whole("t", (4, 2))
    low, high, most = tensor.take_rows(0, 2), tensor.take_rows(2, 4), tensor.take_rows(1, 4)

    def part(number: int, rows: Slice) -> PartReceipt:
        place = PartPlace(ID, 0, number, 2, f"{rows.offsets[0]}-{number}")
        return write_part(store, dataclasses.replace(place, part=0, parts=1), [rows], [(rows, torch.zeros(rows.sizes))])

    def receipts(*boxes: Slice) -> list[PartReceipt]:
        found = []
        for number, rows in enumerate(boxes):
            made = part(number, rows)
            index = store.read(f"{ID.stage(0)}/{made.index_file}", 0, 1 << 20)
            changed = index.replace(b'"part":0,"parts":1', b'"part":%d,"parts":2' % number)
            moved = dataclasses.replace(made, part=number, parts=2)
            store.put(f"{ID.stage(0)}/{moved.index_file}", changed)
            record = dataclasses.replace(made.index, size=len(changed), digest=digest(changed))
            found.append(dataclasses.replace(moved, index=record))
        return found

    with pytest.raises(IncompleteError, match="has elements of 't' twice"):
        sealed(store, receipts(low, most), [tensor])
    with pytest.raises(IncompleteError, match="lacks 4 of 8 elements of 't'"):
        sealed(store, receipts(low, low.take_rows(0, 0)), [tensor])
    assert sealed(store, receipts(low, high), [tensor]).tensor_bytes == 32


def test_an_index_that_is_not_the_receipt_s_is_damage(store: Recording) -> None:
    good = written(store, 0, 1)
    for wrong in (
        dataclasses.replace(good, files=2),
        dataclasses.replace(good, data_bytes=good.data_bytes + 1),
    ):
        with pytest.raises(DamagedError, match="names other data files than its receipt"):
            sealed(store, [wrong])
    with pytest.raises(DamagedError, match="does not have the hash"):
        sealed(store, [dataclasses.replace(good, index=dataclasses.replace(good.index, digest="0a" * 32))])
    path = f"{ID.stage(0)}/{good.index_file}"
    store.put(f"{ID.stage(3)}/{good.index_file}", store.read(path, 0, 1 << 20))
    with pytest.raises(DamagedError, match="is the index of another part"):
        seal_stage(store, ID, 3, [good], inventory(0))


def test_nothing_is_written_while_files_are_missing(store: Recording, tmp_path: Path) -> None:
    stage = sealed(store, [written(store, 0, 1)])
    (tmp_path / ID.stage(0) / ".metadata").unlink()
    with pytest.raises(IncompleteError, match=rf"{ID.folder} is not committed: .*/\.metadata is missing"):
        commit(store, manifest(stage))
    assert not store.exists(ID.manifest)


def test_a_stage_that_was_sealed_again_with_other_receipts_is_said(store: Recording) -> None:
    first = sealed(store, [written(store, 0, 1, "a")])
    second = sealed(store, [written(store, 0, 1, "b")])
    assert first.dcp.size == second.dcp.size and first.dcp != second.dcp
    with pytest.raises(DamagedError, match="does not have the hash that it was written with"):
        commit(store, manifest(first))
    assert not store.exists(ID.manifest)
    assert commit(store, manifest(second)) == manifest(second)


def test_a_good_manifest_stays_and_a_bad_one_is_replaced(store: Recording) -> None:
    stage = sealed(store, [written(store, 0, 1)])
    first = commit(store, manifest(stage))
    assert commit(store, dataclasses.replace(first, created=99)) == first
    assert store.put_paths.count("manifest.json") == 1
    store.put(ID.manifest, b"{}")
    again = dataclasses.replace(first, created=99)
    assert commit(store, again) == again == load_manifest(store, ID)
    with pytest.raises(CheckpointError, match=f"checkpoint {ID.folder} is of run 'r', not of 'other'"):
        commit(store, manifest(stage, run="other"))


def test_sealing_a_complete_checkpoint_again_leaves_its_file(store: Recording) -> None:
    receipts = [written(store, 0, 1)]
    stage = sealed(store, receipts)
    commit(store, manifest(stage))
    before = store.put_paths
    assert sealed(store, receipts) == stage
    assert store.put_paths == before
