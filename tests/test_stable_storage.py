"""What outlives a participant's process, on disks that work and on one that takes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.stable_storage import BEGAN, StableStorage
from actors.steps.ballots import Decision
from actors.steps.view import Voter
from actors.steps.vote import Vote

DECISION = Decision(4, 2, (Voter("aa", 3, "one", 0),), 7)
VOTE = Vote(3, 1, 5, 2, 2, DECISION, DECISION, ())


def storage(folder: Path | None) -> tuple[StableStorage, list[tuple[str, str]]]:
    said: list[tuple[str, str]] = []
    return StableStorage(folder, "run", "one", lambda kind, detail: said.append((kind, detail))), said


def test_a_new_process_finds_what_the_one_before_it_kept(tmp_path: Path) -> None:
    first, _ = storage(tmp_path)
    assert not first.began
    first.keep(VOTE)
    assert first.vote() is None, "a run that has not begun has no votes"
    first.begin()
    second, said = storage(tmp_path)
    assert second.began and second.vote() == VOTE
    second.forget()
    assert second.vote() is None
    assert said == []


def test_a_disk_that_takes_nothing_is_said_once_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*given: object, **more: object) -> None:
        raise OSError(28, "No space left on device")

    kept, said = storage(tmp_path)
    with monkeypatch.context() as broken:
        broken.setattr(Path, "touch", full)
        broken.setattr(Path, "unlink", full)
        for _ in range(3):
            kept.begin()
        kept.forget()
    assert [kind for kind, _ in said] == ["disk", "disk"]
    assert not (tmp_path / BEGAN).exists()
    kept.begin()
    assert kept.began


def test_without_a_folder_nothing_is_kept() -> None:
    kept, said = storage(None)
    kept.keep(VOTE)
    kept.begin()
    kept.forget()
    assert not kept.began and kept.vote() is None and said == []
