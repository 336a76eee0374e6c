"""A reader opens what it needs and nothing else, whatever wrote it; and says what a checkpoint does not have."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from checkpoint.commit import commit, seal_stage
from checkpoint.errors import DamagedError, IncompatibleError
from checkpoint.manifest import Manifest
from checkpoint.names import CheckpointId, PartPlace
from checkpoint.parts import write_part
from checkpoint.reader import Reader, bytes_needed
from checkpoint.slices import Slice
from checkpoint.store import Store
from checkpoint.writer import WriteSizes
from tests.checkpoint.world import whole

ID = CheckpointId(0, 1)
SHAPE = (8, 6)
SIZES = WriteSizes(file_bytes=1 << 20, entry_bytes=48, block_bytes=16)
"""Entries of two rows of 24 bytes."""


class Recording(Store):
    """Remembers which bytes of which files were read."""

    reads: tuple[tuple[str, int, int], ...] = ()

    def read(self, path: str, start: int, stop: int) -> bytes:
        """Read and remember."""
        self.reads += ((path.removeprefix(f"{ID.folder}/"), start, stop),)
        return super().read(path, start, stop)


def written(folder: Path, stages: list[list[Slice]], parts: int = 1) -> tuple[Recording, Manifest]:
    """Write tensors, each with its own numbers, and forget what was read for that."""
    store, sealed = Recording.open(str(folder)), []
    assert isinstance(store, Recording)
    for stage, boxes in enumerate(stages):
        tensors = [(box, value(box)) for box in boxes]
        receipts = [
            write_part(store, PartPlace(ID, stage, part, parts, "w"), boxes, tensors, SIZES) for part in range(parts)
        ]
        sealed.append(seal_stage(store, ID, stage, receipts, boxes))
    manifest = commit(store, Manifest(ID, "r", 0, tuple(sealed), ""))
    store.reads = ()
    return store, manifest


def value(box: Slice) -> Tensor:
    """What a tensor holds: its places, and more for later names."""
    return (torch.arange(float(box.elements)).reshape(box.shape) + 100 * ord(box.name[0])).to(getattr(torch, box.dtype))


def cut(box: Slice) -> Tensor:
    """A box of a tensor."""
    places = tuple(slice(o, o + n) for o, n in zip(box.offsets, box.sizes, strict=True))
    return value(Slice(box.name, box.dtype, box.shape, (0,) * len(box.shape), box.shape))[places]


def test_only_the_blocks_that_hold_what_is_wanted_are_read(tmp_path: Path) -> None:
    store, manifest = written(tmp_path, [[whole("a", SHAPE), whole("b", SHAPE)]])
    reader = Reader(store, manifest)
    (index,) = store.reads
    assert index[0] == "stage-0000/p0000-w.index.json"
    entry = reader._entries["b"][1][1]  # rows 2 and 3 of b, of which row 3 is wanted
    box = Slice("b", "float32", SHAPE, (3, 1), (1, 2))
    ((found, tensor),) = list(reader.read([box]))
    assert found == box and torch.equal(tensor, cut(box))
    first, stop = (entry.payload + 24) // 16 * 16, -(-(entry.payload + 48) // 16) * 16
    assert store.reads[1:] == (("stage-0000/p0000-w-00000.distcp", first, stop),)
    assert reader.bytes_read == stop - first
    assert bytes_needed([box, whole("b", SHAPE)]) == 8 + 192


def test_nothing_is_read_before_the_first_box_is_asked_for(tmp_path: Path) -> None:
    store, manifest = written(tmp_path, [[whole("a", SHAPE)]])
    reader = Reader(store, manifest)
    boxes = reader.read([whole("a", SHAPE)])
    assert len(store.reads) == 1 and reader.bytes_read == 0
    boxes.close()  # type: ignore[attr-defined]
    assert list(reader.read([])) == [] and len(store.reads) == 1


def test_other_stages_are_not_opened(tmp_path: Path) -> None:
    store, manifest = written(tmp_path, [[whole("a", SHAPE)], [whole("b", SHAPE)], [whole("c", (3,), "int64")]])
    reader = Reader(store, manifest, stages=[2, 0])
    assert reader.names() == {"a", "c"}
    assert torch.equal(next(reader.read([whole("c", (3,), "int64")]))[1], value(whole("c", (3,), "int64")))
    assert {path.split("/")[0] for path, _, _ in store.reads} == {"stage-0000", "stage-0002"}
    assert Reader(store, manifest).names() == {"a", "b", "c"}
    assert Reader(store, manifest, stages=[]).names() == frozenset()


@pytest.mark.parametrize(
    ("box", "says"),
    [
        (whole("z", SHAPE), f"checkpoint {ID.folder} has no tensor 'z'"),
        (whole("a", (8, 5)), "tensor 'a' is float32 of (8, 6) in checkpoint"),
        (whole("a", SHAPE, "float64"), "and float64 of (8, 6) is wanted"),
    ],
)
def test_what_a_checkpoint_does_not_have_is_said_before_anything_is_read(tmp_path: Path, box: Slice, says: str) -> None:
    store, manifest = written(tmp_path, [[whole("a", SHAPE)]])
    with pytest.raises(IncompatibleError, match=re.escape(says)):
        next(Reader(store, manifest).read([whole("a", SHAPE), box]))
    assert len(store.reads) == 1, "the index alone"


def test_an_index_that_was_changed_is_found_when_the_reader_is_made(tmp_path: Path) -> None:
    store, manifest = written(tmp_path, [[whole("a", SHAPE)], [whole("b", SHAPE)]])
    path = tmp_path / ID.stage(1) / "p0000-w.index.json"
    path.write_bytes(path.read_bytes().replace(b"float32", b"float16"))
    with pytest.raises(DamagedError, match=r"stage-0001/p0000-w\.index\.json does not have the hash"):
        Reader(store, manifest)
    assert Reader(store, manifest, stages=[0]).names() == {"a"}, "a reader that does not need it is not stopped"


@st.composite
def boxes(draw: st.DrawFn) -> Slice:
    """Any box of a or b."""
    ends = [sorted((draw(st.integers(0, full)), draw(st.integers(0, full)))) for full in SHAPE]
    name, low = draw(st.sampled_from("ab")), tuple(low for low, _ in ends)
    return Slice(name, "float32", SHAPE, low, tuple(high - low for low, high in ends))


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(wanted=st.lists(boxes(), max_size=4), parts=st.sampled_from([1, 2, 5]))
def test_every_box_is_read_from_every_cut(
    wanted: list[Slice], parts: int, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.fsync", lambda handle: None)
    store, manifest = written(tmp_path_factory.mktemp("cut"), [[whole("a", SHAPE)], [whole("b", SHAPE)]], parts)
    found = list(Reader(store, manifest).read(wanted))
    assert [box for box, _ in found] == wanted
    assert all(torch.equal(tensor, cut(box)) for box, tensor in found)
