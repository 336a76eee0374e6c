"""The memory of a vote on disk: read back as it was written, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.steps.ballots import Decision
from actors.steps.view import Voter
from actors.steps.vote import Vote
from actors.vote_file import StaleVoteError, VoteFile
from checkpoint import files

MEMBERS = (Voter("aa", 3, "one", 0), Voter("bb", 4, "other", 1))
DECISION = Decision(4, 2, MEMBERS, 7, assigned={"aa": (0,), "bb": (0, 1)}, spares=("bb",), returns=((5, 3),))
VOTE = Vote(3, 1, 5, 2, 2, DECISION, DECISION, ("bb",))


def test_it_comes_back_as_it_was(tmp_path: Path) -> None:
    file = VoteFile(tmp_path / "vote", "run")
    assert file.read() is None
    file.write(VOTE)
    assert file.read() == VOTE
    assert (tmp_path / "vote").stat().st_mode & 0o077 == 0
    assert [path.name for path in tmp_path.iterdir()] == ["vote"]


def test_a_vote_of_another_run_is_none(tmp_path: Path) -> None:
    VoteFile(tmp_path / "vote", "run").write(VOTE)
    assert VoteFile(tmp_path / "vote", "another").read() is None


def test_whatever_is_damaged_is_a_vote_lost(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "vote"
    file = VoteFile(path, "run")
    file.write(VOTE)
    good = path.read_bytes()
    for at in range(0, len(good), 7):
        path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        assert file.read() is None, f"byte {at} was turned"
    for damaged in (b"", good[:-1], good + b"\0", good[:16], b"\0" * len(good)):
        path.write_bytes(damaged)
        assert file.read() is None
    assert "the vote in it is lost" in caplog.text


def test_on_a_full_disk_the_old_vote_goes_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A vote that is half remembered could be given twice."""
    file = VoteFile(tmp_path / "vote", "run")
    file.write(VOTE)

    right, calls = files.os.fsync, list[int]()

    def full(handle: int) -> None:
        calls.append(handle)
        if len(calls) == 1:
            raise OSError(28, "No space left on device")
        right(handle)

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        file.write(VOTE)
    assert list(tmp_path.iterdir()) == []


def test_a_vote_that_can_be_neither_replaced_nor_deleted_is_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a disk that takes nothing any more: its owner must not say what the next process would not know."""
    file = VoteFile(tmp_path / "vote", "run")
    file.write(VOTE)

    def broken(handle: int) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(files.os, "fsync", broken)
    with pytest.raises(StaleVoteError, match="neither replaced"):
        file.write(VOTE)
