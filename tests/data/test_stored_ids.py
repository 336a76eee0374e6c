"""The file of ids and its record: which bytes are checked, what a record says, and what is a miss."""

from __future__ import annotations

import dataclasses
import fcntl
import json
import logging
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from orchestrator.data import building, store
from orchestrator.data.building import one_builder
from orchestrator.data.store import CacheMissError, Record, dtype_for, file_check, load, paths, save_record

RECORD = Record(5, 2, 3, 256, "<u1", "print", "", "")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four blocks of ten bytes are checked."""
    monkeypatch.setattr(store, "_CHECKED_BLOCKS", 4)
    monkeypatch.setattr(store, "_CHECKED_BLOCK", 10)


@pytest.mark.parametrize(
    ("size", "unseen"),
    [
        (1, []),
        (10, []),
        (15, []),
        (40, []),  # all of four blocks
        (41, [30]),  # blocks at 31 * n // 3 = 0, 10, 20, 31
        (45, [10, 21, 22, 33, 34]),  # at 35 * n // 3 = 0, 11, 23, 35
    ],
)
def test_small_files_are_checked_whole_and_large_ones_in_blocks_spread_over_them(
    size: int, unseen: list[int], small: None, tmp_path: Path
) -> None:
    path, content = tmp_path / "ids", bytes(size)
    path.write_bytes(content)
    right = file_check(path)
    missed = []
    for at in range(size):
        path.write_bytes(content[:at] + b"\1" + content[at + 1 :])
        if file_check(path) == right:
            missed.append(at)
    assert missed == unseen


def test_the_size_is_part_of_the_check(small: None, tmp_path: Path) -> None:
    path, found = tmp_path / "ids", set()
    for size in range(100):
        path.write_bytes(bytes(size))
        found.add(file_check(path))
    assert len(found) == 100 and {len(one) for one in found} == {32}


@pytest.mark.parametrize(
    ("vocabulary", "kind"), [(1, "<u1"), (256, "<u1"), (257, "<u2"), (65_536, "<u2"), (65_537, "<u4"), (1 << 20, "<u4")]
)
def test_ids_are_little_endian_and_as_narrow_as_they_can_be(vocabulary: int, kind: str) -> None:
    assert dtype_for(vocabulary) == np.dtype(kind)


def kept(folder: Path, ids: bytes = b"ab\0c\0", **changes: object) -> Record:
    """Keep five ids and their record."""
    path, _ = paths(folder, "key")
    path.write_bytes(ids)
    record = dataclasses.replace(RECORD, check=file_check(path), **changes)  # type: ignore[arg-type]
    save_record(folder, "key", record)
    return record


def test_what_is_kept_is_found(tmp_path: Path) -> None:
    record = kept(tmp_path)
    assert [path.name for path in paths(tmp_path, "key")] == ["key.tokens", "key.json"]
    found, ids = load(tmp_path, "key")
    assert found == record and ids.tolist() == [97, 98, 0, 99, 0]
    assert type(ids) is np.ndarray and not ids.flags.writeable
    assert (tmp_path / "key.json").stat().st_mode & 0o777 == 0o644


def test_wider_ids_are_read_as_they_were_written(tmp_path: Path) -> None:
    kept(tmp_path, np.array([1, 300, 65_535], "<u2").tobytes(), tokens=3, dtype="<u2")
    assert load(tmp_path, "key")[1].tolist() == [1, 300, 65_535]


def test_what_was_never_kept_is_a_miss_and_no_damage(tmp_path: Path) -> None:
    with pytest.raises(CacheMissError, match=r"key\.tokens does not exist") as miss:
        load(tmp_path, "key")
    assert miss.value.damaged is False


@pytest.mark.parametrize("end", ["tokens", "json"])
def test_half_of_it_is_damage(tmp_path: Path, end: str) -> None:
    kept(tmp_path)
    (tmp_path / f"key.{end}").unlink()
    with pytest.raises(CacheMissError) as miss:
        load(tmp_path, "key")
    assert miss.value.damaged is True


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Record)])
def test_every_field_of_a_record_is_bound_by_its_check(tmp_path: Path, field: str) -> None:
    kept(tmp_path)
    path = tmp_path / "key.json"
    stored = json.loads(path.read_text())
    value = stored["record"][field]
    stored["record"][field] = value + 1 if isinstance(value, int) else f"{value}x"
    path.write_text(json.dumps(stored))
    with pytest.raises(CacheMissError, match="is not what its record says") as miss:
        load(tmp_path, "key")
    assert miss.value.damaged is True


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"record": {}}', '{"record": {"more": 1}, "check": ""}'])
def test_a_record_that_is_none_is_damage(tmp_path: Path, content: str) -> None:
    kept(tmp_path)
    (tmp_path / "key.json").write_text(content)
    with pytest.raises(CacheMissError, match=r"key\.json cannot be read") as miss:
        load(tmp_path, "key")
    assert miss.value.damaged is True


def test_one_builds_at_a_time(tmp_path: Path) -> None:
    def free() -> bool:
        with (tmp_path / "lock").open("ab") as other:
            try:
                fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

    with one_builder(tmp_path / "lock"):
        assert not free()
    assert free()


def test_a_wait_for_another_builder_is_said_once_and_ends_at_its_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = [100.0]
    times = SimpleNamespace(monotonic=lambda: clock[0], sleep=lambda seconds: clock.append(clock.pop() + seconds))
    monkeypatch.setattr(building, "time", times)
    lock = tmp_path / "lock"
    with caplog.at_level(logging.INFO), one_builder(lock), one_builder(lock, patience_s=2.0):
        assert 102.0 <= clock[0] < 102.1  # looked again every twentieth of a second
    first, last = caplog.messages
    assert first == f"another process is tokenising the corpus; waiting for {lock}"
    assert last == f"another process has held {lock} until the deadline; building without it"


def test_a_file_system_without_locks_builds_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: object) -> None:
        raise OSError(95, "not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    built = []
    with one_builder(tmp_path / "lock"):
        built.append("here")
    assert built == ["here"]


def test_a_lock_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError), one_builder(tmp_path / "none" / "lock"):
        raise AssertionError("it was built without a folder")
