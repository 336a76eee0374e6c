"""States on a participant's own disk: what a file says, how many stay, and what is not one of them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from checkpoint.shelf import KEPT, LONGEST_HEAD, Shelf, ShelfError, rank_folder

STATE = np.array([1.0, -2.0, 0.5], np.float32)


def written(folder: Path, head: dict[str, object], body: bytes = STATE.tobytes()) -> Shelf:
    """Write a file of stage 1, commit 10, by hand."""
    (folder / "stage-1-era-0-commit-10.state").write_bytes(json.dumps(head).encode() + b"\n" + body)
    return Shelf(folder, 1)


def head_of(body: bytes) -> dict[str, object]:
    """The right first line of three elements."""
    return {"elements": 3, "hash": hashlib.blake2b(body, digest_size=16).hexdigest(), "parameters": "abc"}


def test_a_file_is_one_line_and_the_elements(tmp_path: Path) -> None:
    Shelf(tmp_path, 1).put(0, 10, STATE, "abc")
    (path,) = tmp_path.iterdir()
    assert path.name == "stage-1-era-0-commit-10.state"
    line, _, body = path.read_bytes().partition(b"\n")
    assert body == STATE.tobytes() and json.loads(line) == head_of(body)
    assert path.stat().st_mode & 0o077 == 0, "for its owner only"


def test_a_file_written_by_hand_is_read(tmp_path: Path) -> None:
    values, parameters = written(tmp_path, head_of(STATE.tobytes())).get(0, 10)
    assert np.array_equal(values, STATE) and values.dtype == np.float32 and parameters == "abc"


def test_values_of_another_kind_are_written_as_float32(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "a" / "b", 1)
    shelf.put(2, 3, np.arange(12, dtype=np.float64)[::2], "abc")  # type: ignore[arg-type]
    assert shelf.get(2, 3)[0].tolist() == [0, 2, 4, 6, 8, 10]
    assert (tmp_path / "a" / "b").stat().st_mode & 0o077 == 0
    shelf.put(2, 4, np.zeros(0, np.float32), "none")
    assert len(shelf.get(2, 4)[0]) == 0


def test_the_three_newest_stay_by_era_and_then_by_commit(tmp_path: Path) -> None:
    shelf, kept = Shelf(tmp_path, 1), []
    for era, commit in ((0, 9), (0, 10), (0, 100), (1, 2), (1, 11), (0, 200)):
        shelf.put(era, commit, STATE, "abc")
        kept.append(sorted(shelf.kept()))
    assert KEPT == 3
    assert kept == [
        [(0, 9)],
        [(0, 9), (0, 10)],
        [(0, 9), (0, 10), (0, 100)],
        [(0, 10), (0, 100), (1, 2)],
        [(0, 100), (1, 2), (1, 11)],
        [(0, 200), (1, 2), (1, 11)],  # of an era that was given up: newer than commit 100 of it, older than era 1
    ]


def test_states_of_other_stages_are_not_counted_and_go_when_that_is_asked_for(tmp_path: Path) -> None:
    own, other = Shelf(tmp_path, 1), Shelf(tmp_path, 11)
    for commit in range(4):
        own.put(0, commit, STATE, "abc")
        other.put(0, commit + 10, STATE, "abc")
    strangers = [
        "notes.txt",
        "stage-2-era-0-commit-1.state.tmp",
        "stage-x-era-0-commit-1.state",
        "xstage-2-era-0-commit-1.state",
    ]
    for name in strangers:
        (tmp_path / name).write_text("mine")
    assert own.kept() == {(0, 1), (0, 2), (0, 3)} and other.kept() == {(0, 11), (0, 12), (0, 13)}
    own.clear()
    assert own.kept() == {(0, 1), (0, 2), (0, 3)} and other.kept() == frozenset()
    assert {path.name for path in tmp_path.iterdir()} >= set(strangers)


def test_one_state_is_dropped(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, 1)
    for commit in (1, 2):
        shelf.put(0, commit, STATE, "abc")
    shelf.drop(0, 1)
    shelf.drop(0, 7)
    assert shelf.kept() == {(0, 2)}


def test_where_there_is_no_folder_there_are_no_states(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "none", 1)
    shelf.clear()
    shelf.drop(0, 1)
    assert shelf.kept() == frozenset() and not (tmp_path / "none").exists()
    assert rank_folder(tmp_path, 3) == tmp_path / "rank-3"


GOOD = head_of(STATE.tobytes())


@pytest.mark.parametrize(
    ("head", "says"),
    [
        (GOOD | {"elements": 2}, "another size than it says"),
        (GOOD | {"elements": 4}, "another size than it says"),
        (GOOD | {"hash": "0a" * 16}, "its content is not what was written"),
        (GOOD | {"elements": -1}, "its first line is damaged"),
        (GOOD | {"elements": 3.0}, "its first line is damaged"),
        (GOOD | {"elements": True}, "its first line is damaged"),
        (GOOD | {"hash": 5}, "its first line is damaged"),
        (GOOD | {"parameters": None}, "its first line is damaged"),
        ({"elements": 3, "hash": "x"}, "its first line is damaged"),
        ({"hash": "x", "parameters": "y"}, "its first line is damaged"),
        ({"elements": 3, "parameters": "y"}, "its first line is damaged"),
        (GOOD | {"more": "x" * LONGEST_HEAD}, "its first line is damaged"),
    ],
)
def test_what_a_file_says_of_itself_is_checked(tmp_path: Path, head: dict[str, object], says: str) -> None:
    with pytest.raises(ShelfError, match=rf"^stage-1-era-0-commit-10\.state cannot be used: .*{says}"):
        written(tmp_path, head).get(0, 10)


@pytest.mark.parametrize("body", [STATE.tobytes() + b"x", STATE.tobytes()[:-1], STATE.tobytes() + STATE.tobytes(), b""])
def test_a_file_of_another_length_is_not_given(tmp_path: Path, body: bytes) -> None:
    with pytest.raises(ShelfError, match="another size than it says"):
        written(tmp_path, GOOD, body).get(0, 10)


@pytest.mark.parametrize("content", [b"", b"[]\n", b"7\n", b"null\n", b"\xff\n", b"[" * 4000, b"x" * 5000])
def test_what_is_no_state_is_not_given(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "stage-1-era-0-commit-10.state").write_bytes(content)
    with pytest.raises(ShelfError, match="its first line is damaged"):
        Shelf(tmp_path, 1).get(0, 10)
    with pytest.raises(ShelfError, match=r"commit-11\.state cannot be used"):
        Shelf(tmp_path, 1).get(0, 11)


def test_the_longest_first_line_is_read(tmp_path: Path) -> None:
    head = GOOD | {"more": ""}
    head["more"] = "x" * (LONGEST_HEAD - 1 - len(json.dumps(head)))  # the line's end is the last byte of it
    assert np.array_equal(written(tmp_path, head).get(0, 10)[0], STATE)
    head["more"] = f"{head['more']}xx"
    with pytest.raises(ShelfError, match="its first line is damaged"):
        written(tmp_path, head).get(0, 10)
