"""Verification reads every byte, goes on after the first damage, and names every damaged file once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from checkpoint import verify as module
from checkpoint.catalogue import State, inspect
from checkpoint.errors import DamagedError
from checkpoint.load import load_file, load_index
from checkpoint.manifest import Manifest
from checkpoint.names import CheckpointId
from checkpoint.receipts import FileRecord
from checkpoint.store import Store
from checkpoint.verify import read_blocks, verify
from tests.checkpoint.world import save

ID = CheckpointId(0, 7)


@pytest.fixture
def kept(tmp_path: Path) -> tuple[Store, Manifest, Path]:
    """A store with a checkpoint, its manifest, and its folder."""
    store = Store.open(str(tmp_path))
    return store, save(store, ID), tmp_path / ID.folder


def bound(manifest: Manifest) -> list[str]:
    """All files that the manifest binds, in the order in which they are verified."""
    paths = []
    for stage in manifest.stages:
        paths.append(f"stage-{stage.stage:04d}/.metadata")
        for part in stage.parts:
            stem = f"stage-{stage.stage:04d}/p{part.part:04d}-{part.writer}"
            paths += [f"{stem}.index.json", *(f"{stem}-{number:05d}.distcp" for number in range(part.files))]
    return paths


def flip(path: Path, at: int = -1) -> None:
    """Turn a bit of a file."""
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def named(store: Store, manifest: Manifest) -> list[str]:
    """The files that verification names, below the checkpoint's folder."""
    return [error.file.removeprefix(f"{ID.folder}/") for error in verify(store, manifest)]


def test_a_whole_checkpoint_has_nothing_wrong(kept: tuple[Store, Manifest, Path]) -> None:
    store, manifest, _ = kept
    assert named(store, manifest) == []
    assert len(bound(manifest)) >= 2 * (1 + 2 * 2), "two stages with metadata and two parts each"


def test_all_damaged_files_are_named_and_not_only_the_first(kept: tuple[Store, Manifest, Path]) -> None:
    store, manifest, folder = kept
    files = bound(manifest)
    data = [name for name in files if not name.endswith(".index.json")]
    for name in data:
        flip(folder / name)
    assert named(store, manifest) == data
    found = inspect(store, ID, deep=True)
    assert found.state is State.DAMAGED and len(found.problems) == len(data)


@pytest.mark.parametrize("damage", [Path.unlink, flip, lambda path: path.write_bytes(path.read_bytes()[:-1])])
def test_behind_a_damaged_index_the_other_parts_are_still_read(
    kept: tuple[Store, Manifest, Path], damage: Callable[[Path], object]
) -> None:
    store, manifest, folder = kept
    files = bound(manifest)
    index = next(name for name in files if name.endswith(".index.json"))
    behind = [name for name in files if name.startswith(index.removesuffix(".index.json")) and name != index]
    others = [name for name in files if name not in (index, *behind) and not name.endswith(".index.json")]
    for name in (index, *behind, *others):
        damage(folder / name)
    # What a part's data should be is in its index, so of that part there is nothing more to say.
    assert sorted(named(store, manifest)) == sorted([index, *others])


def test_a_file_with_several_wrong_blocks_is_named_once(
    kept: tuple[Store, Manifest, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, manifest, folder = kept
    monkeypatch.setattr(module, "READ_BYTES", 256)  # two blocks of 128 at once
    name = next(name for name in bound(manifest) if name.endswith(".distcp"))
    for at in (5, 300, 600):
        flip(folder / name, at)
    (error,) = verify(store, manifest)
    assert error.what.startswith("is damaged at bytes 0 to 127 (model.layers.0.weight")


@pytest.mark.parametrize("at", [0, 127, 128, 300, -1])
def test_damage_anywhere_in_a_file_is_found_however_much_is_read_at_once(
    kept: tuple[Store, Manifest, Path], monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    store, manifest, folder = kept
    name = next(name for name in bound(manifest) if name.endswith(".distcp"))
    flip(folder / name, at)
    for size in (1, 128, 384, 1 << 24):  # never less than a block
        monkeypatch.setattr(module, "READ_BYTES", size)
        assert named(store, manifest) == [name], size


class Reads(Store):
    """Remembers what was read."""

    ranges: tuple[tuple[int, int], ...] = ()

    def read(self, path: str, start: int, stop: int) -> bytes:
        """Read and remember."""
        self.ranges += ((start, stop),)
        return super().read(path, start, stop)


def test_blocks_are_read_to_the_end_of_the_file_and_not_beyond(kept: tuple[Store, Manifest, Path]) -> None:
    store, manifest, folder = kept
    index = load_index(store, ID, 0, manifest.stages[0].parts[0])
    path = f"{ID.stage(0)}/{index.file_name(0)}"
    data, reads = (folder.parent / path).read_bytes(), Reads.open(str(folder.parent))
    assert isinstance(reads, Reads)
    last = len(index.files[0].blocks) - 1
    assert read_blocks(reads, path, index, 0, 1, 3) == data[128:384]
    assert read_blocks(reads, path, index, 0, last, last + 1) == data[last * 128 :]
    assert reads.ranges == ((128, 384), (last * 128, len(data)))


def test_damage_names_file_bytes_and_tensors(kept: tuple[Store, Manifest, Path]) -> None:
    store, manifest, folder = kept
    index = load_index(store, ID, 0, manifest.stages[0].parts[1])
    path = f"{ID.stage(0)}/{index.file_name(0)}"
    first, second = index.entries[:2]
    border = second.offset // 128 * 128
    assert first.offset < border < second.offset < border + 128, "a block in which an entry ends and another begins"
    flip(folder.parent / path, border)
    with pytest.raises(DamagedError) as error:
        read_blocks(store, path, index, 0, 0, len(index.files[0].blocks))
    assert str(error.value) == (
        f"{path} is damaged at bytes {border} to {border + 127} (model.layers.0.weight and 1 more)."
    )
    (folder.parent / path).write_bytes(b"x" * 10)
    with pytest.raises(DamagedError, match=f"is shorter than the {index.files[0].size} bytes that were written"):
        read_blocks(store, path, index, 0, 0, 1)
    (folder.parent / path).unlink()
    with pytest.raises(DamagedError, match="is missing"):
        read_blocks(store, path, index, 0, 0, 1)


@pytest.mark.parametrize(
    ("file", "at", "tensor"),
    [(0, 0, "model.layers.0.weight"), (0, -1, "model.layers.0.norm"), (1, 0, "optimizer.step.layers.0.norm")],
)
def test_only_tensors_in_the_damaged_block_are_named(
    kept: tuple[Store, Manifest, Path], file: int, at: int, tensor: str
) -> None:
    store, manifest, folder = kept
    index = load_index(store, ID, 0, manifest.stages[0].parts[1])
    assert [(entry.slice.name, entry.file) for entry in index.entries] == [
        ("model.layers.0.weight", 0),
        ("model.layers.0.norm", 0),
        ("optimizer.step.layers.0.norm", 1),
    ]
    path = f"{ID.stage(0)}/{index.file_name(file)}"
    flip(folder.parent / path, at)
    with pytest.raises(DamagedError, match=rf"\({tensor}\)\.$"):
        read_blocks(store, path, index, file, 0, len(index.files[file].blocks))


def test_a_small_file_is_compared_in_size_and_hash(kept: tuple[Store, Manifest, Path]) -> None:
    store, manifest, folder = kept
    record, path = manifest.stages[0].dcp, f"{ID.stage(0)}/.metadata"
    good = (folder.parent / path).read_bytes()
    assert load_file(store, path, record) == good
    for content, says in (
        (good + b"x", "longer"),
        (good[:-1], "shorter"),
        (good[:-1] + b"?", "does not have the hash"),
    ):
        (folder.parent / path).write_bytes(content)
        with pytest.raises(DamagedError, match=says):
            load_file(store, path, record)
    with pytest.raises(DamagedError, match="is missing"):
        load_file(store, f"{ID.stage(9)}/.metadata", FileRecord(1, "0a" * 32))
