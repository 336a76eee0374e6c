"""A vote on disk when its owner speaks: written through before anything else, and what a disk that fails means."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from actors.stable_storage import BEGAN, VOTE, StableStorage
from actors.steps.ballots import Decision
from actors.steps.view import Voter
from actors.steps.vote import Vote
from actors.vote_file import VoteFile
from checkpoint import files

DECISION = Decision(4, 2, (Voter("aa", 3, "one", 0),), 7)


def vote(promised: int) -> Vote:
    return Vote(3, 1, 5, promised, -1, None, DECISION)


def storage(folder: Path, run_id: str = "run") -> tuple[StableStorage, list[tuple[str, str]]]:
    said: list[tuple[str, str]] = []
    kept = StableStorage(folder, run_id, "one", lambda kind, detail: said.append((kind, detail)))
    kept.begin()
    return kept, said


def test_the_newest_vote_is_what_the_next_process_finds(tmp_path: Path) -> None:
    kept, said = storage(tmp_path)
    for promised in (2, 5, 8):
        kept.keep(vote(promised))
    again, _ = storage(tmp_path)
    assert again.vote() == vote(8) and not kept.stale
    assert sorted(path.name for path in tmp_path.iterdir()) == [BEGAN, VOTE] and said == []


def test_a_vote_is_written_through_before_it_takes_the_place_of_the_old_one_and_that_is_written_through_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut at any moment leaves the old vote or the new one."""
    done: list[str] = []
    flushed, renamed = os.fsync, os.replace

    def fsync(handle: int) -> None:
        done.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        flushed(handle)

    def replace(old: str, new: str) -> None:
        done.append("rename")
        renamed(old, new)

    monkeypatch.setattr(files.os, "fsync", fsync)
    monkeypatch.setattr(files.os, "replace", replace)
    VoteFile(tmp_path / VOTE, "run").write(vote(2))
    assert done == ["file", "rename", "folder"]


def test_a_vote_that_is_forgotten_stays_forgotten_through_a_power_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = VoteFile(tmp_path / VOTE, "run")
    file.write(vote(2))
    done: list[bool] = []
    flushed = os.fsync

    def fsync(handle: int) -> None:
        done.append((tmp_path / VOTE).exists())
        flushed(handle)

    monkeypatch.setattr(files.os, "fsync", fsync)
    file.forget()
    assert done == [False], "the folder, after the file is gone"
    file.forget()
    assert file.read() is None


class Disk:
    """A disk that takes nothing: writes fail, and deletions where it is worse."""

    def __init__(self, patch: pytest.MonkeyPatch, *, deletes: bool) -> None:
        right, broken = os.fsync, [True]

        def fsync(handle: int) -> None:
            if broken[0]:
                broken[0] = not deletes
                raise OSError(28, "No space left on device")
            right(handle)

        patch.setattr(files.os, "fsync", fsync)


def test_on_a_full_disk_the_vote_is_in_memory_only_and_its_owner_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, said = storage(tmp_path)
    kept.keep(vote(2))
    with monkeypatch.context() as patch:
        Disk(patch, deletes=True)
        kept.keep(vote(5))
    assert not kept.stale, "no older vote can be given again, so it may speak"
    assert kept.vote() is None
    assert said == [("disk", "the vote of one cannot be kept: [Errno 28] No space left on device")]
    kept.keep(vote(8))
    assert kept.vote() == vote(8), "a disk that takes something again keeps the next one"


def test_with_an_old_vote_that_can_not_even_be_deleted_its_owner_says_nothing_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, said = storage(tmp_path)
    kept.keep(vote(2))
    with monkeypatch.context() as patch:
        Disk(patch, deletes=False)
        kept.keep(vote(5))
    assert kept.stale
    ((kind, detail),) = said
    assert kind == "disk"
    assert detail.startswith("one says nothing any more: ") and detail.endswith("Free the disk and start it again")
    kept.keep(vote(8))
    assert kept.stale, "what it has said meanwhile nobody knows"


def test_a_vote_of_another_run_or_of_a_run_that_has_not_begun_is_none(tmp_path: Path) -> None:
    kept, _ = storage(tmp_path)
    kept.keep(vote(2))
    assert storage(tmp_path, "another")[0].vote() is None
    (tmp_path / BEGAN).unlink()
    fresh = StableStorage(tmp_path, "run", "one", lambda kind, detail: None)
    assert not fresh.began and fresh.vote() is None


def test_that_the_run_has_begun_is_written_for_its_owner_alone(tmp_path: Path) -> None:
    kept, _ = storage(tmp_path)
    assert kept.began and (tmp_path / BEGAN).stat().st_mode & 0o077 == 0


def test_a_vote_that_cannot_be_read_is_lost_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / VOTE).mkdir()
    assert VoteFile(tmp_path / VOTE, "run").read() is None
    assert "cannot be read" in caplog.text
