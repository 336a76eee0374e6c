"""One listing says whether all files are there, in the right sizes; and nothing is read for that."""

from __future__ import annotations

from pathlib import Path

import pytest

from checkpoint.manifest import Manifest
from checkpoint.names import CheckpointId
from checkpoint.presence import missing_files
from checkpoint.receipts import FileRecord, PartReceipt, StageReceipt
from checkpoint.store import Store

ID = CheckpointId(1, 5)
DIGEST = "0a" * 32


class Listing(Store):
    """Only lists."""

    listings = 0

    def files(self, folder: str) -> dict[str, object]:  # type: ignore[override]
        """List and count."""
        self.listings += 1
        return dict(super().files(folder))

    def read(self, path: str, start: int, stop: int) -> bytes:
        """Nothing is to be read."""
        raise AssertionError(f"{path} was read")


SIZES = {
    "stage-0000/.metadata": 20,
    "stage-0000/p0000-a.index.json": 11,
    "stage-0000/p0000-a-00000.distcp": 60,
    "stage-0000/p0000-a-00001.distcp": 40,
    "stage-0000/p0001-b.index.json": 12,
    "stage-0000/p0001-b-00000.distcp": 70,
    "stage-0001/.metadata": 21,
    "stage-0001/p0000-c.index.json": 13,
}


def part(number: int, of: int, writer: str, index: int, files: int, data: int) -> PartReceipt:
    """Return a part's receipt."""
    return PartReceipt(number, of, writer, FileRecord(index, DIGEST), files, data)


MANIFEST = Manifest(
    ID,
    "r",
    0,
    (
        StageReceipt(0, 1, 1, FileRecord(20, DIGEST), (part(0, 2, "a", 11, 2, 100), part(1, 2, "b", 12, 1, 70))),
        StageReceipt(1, 1, 1, FileRecord(21, DIGEST), (part(0, 1, "c", 13, 0, 0),)),
    ),
    "",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files of the right sizes, and strangers beside them."""
    for name, size in (SIZES | {"stage-0000/p0001-late-00000.distcp": 5, "notes": 3}).items():
        path = tmp_path / ID.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * size)
    return tmp_path


def missing(folder: Path) -> list[str]:
    """What is wrong, below the checkpoint's folder."""
    store = Listing.open(str(folder))
    found = [sentence.replace(f"{ID.folder}/", "") for sentence in missing_files(store, MANIFEST)]
    assert isinstance(store, Listing) and store.listings == 1
    return found


def test_nothing_is_missing_where_all_are_there(folder: Path) -> None:
    assert missing(folder) == []


@pytest.mark.parametrize("name", list(SIZES))
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / ID.folder / name).unlink()
    assert missing(folder) == [f"{name} is missing."]


@pytest.mark.parametrize("name", [name for name in SIZES if not name.endswith(".distcp")])
def test_a_small_file_of_another_size_is_named_with_both(folder: Path, name: str) -> None:
    (folder / ID.folder / name).write_bytes(b"x" * (SIZES[name] + 1))
    assert missing(folder) == [f"{name} has {SIZES[name] + 1} bytes instead of {SIZES[name]}."]


@pytest.mark.parametrize("size", [39, 41])
def test_data_files_are_compared_in_sum(folder: Path, size: int) -> None:
    (folder / ID.folder / "stage-0000/p0000-a-00001.distcp").write_bytes(b"x" * size)
    assert missing(folder) == [f"the data files of part 0 in stage-0000 have {60 + size} bytes instead of 100."]


def test_everything_that_is_wrong_is_named(folder: Path) -> None:
    for name in ("stage-0000/.metadata", "stage-0000/p0000-a-00000.distcp", "stage-0001/p0000-c.index.json"):
        (folder / ID.folder / name).unlink()
    (folder / ID.folder / "stage-0000/p0001-b-00000.distcp").write_bytes(b"")
    assert missing(folder) == [
        "stage-0000/.metadata is missing.",
        "stage-0000/p0000-a-00000.distcp is missing.",
        "the data files of part 1 in stage-0000 have 0 bytes instead of 70.",
        "stage-0001/p0000-c.index.json is missing.",
    ]


def test_where_there_is_no_folder_all_are_missing(tmp_path: Path) -> None:
    assert len(missing(tmp_path)) == 7, "two of metadata, three indexes, and the first data file of two parts"
