"""A file is replaced whole or not at all, and for good."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from checkpoint import files
from checkpoint.files import replacing, settle


def test_a_file_is_there_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with replacing(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
        (temporary,) = [one for one in tmp_path.iterdir() if one != path]
        assert temporary.name.startswith(".file.") and temporary.name.endswith(".tmp")
        assert temporary.stat().st_mode & 0o077 == 0, "from its first byte on"
    assert path.read_bytes() == b"new"
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_a_file_has_the_permissions_that_were_asked_for(tmp_path: Path, mode: int) -> None:
    with replacing(tmp_path / "file", mode) as file:
        file.write(b"x")
    assert (tmp_path / "file").stat().st_mode & 0o777 == mode
    with replacing(tmp_path / "other") as file:
        file.write(b"x")
    assert (tmp_path / "other").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()])
def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(type(error)), replacing(path) as file:
        file.write(b"half of it")
        raise error
    assert path.read_bytes() == b"old"
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


def test_content_is_on_the_disk_before_the_name_and_the_name_before_it_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log: list[str] = []
    sync, replace, permit = os.fsync, os.replace, os.chmod

    def synced(handle: int) -> None:
        log.append("sync folder" if os.path.isdir(f"/proc/self/fd/{handle}") else "sync file")
        sync(handle)

    def replaced(*given: str) -> None:
        log.append("rename")
        replace(*given)

    def permitted(path: str, mode: int) -> None:
        log.append("permissions")
        permit(path, mode)

    monkeypatch.setattr(files.os, "fsync", synced)
    monkeypatch.setattr(files.os, "replace", replaced)
    monkeypatch.setattr(files.os, "chmod", permitted)
    with replacing(tmp_path / "file") as file:
        file.write(b"x")
    assert log == ["sync file", "permissions", "rename", "sync folder"]


def test_a_folder_that_is_not_there_cannot_be_settled(tmp_path: Path) -> None:
    settle(tmp_path)
    with pytest.raises(FileNotFoundError):
        settle(tmp_path / "none")


def test_settling_leaves_no_file_open(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        settle(tmp_path)
    assert len(os.listdir("/proc/self/fd")) == before
