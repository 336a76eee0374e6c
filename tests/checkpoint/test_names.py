"""How checkpoints, stages and files are called, and what is not taken for a name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkpoint.names import CheckpointId, PartPlace, check_writer, data_file, index_file, part_stem

ID = CheckpointId(3, 120)


def test_names_are_those_of_the_document() -> None:
    assert ID.folder == "h0003-c0000000120"
    assert ID.manifest == "h0003-c0000000120/manifest.json"
    assert ID.stage(2) == "h0003-c0000000120/stage-0002"
    assert part_stem(1, "ann") == "p0001-ann"
    assert index_file(1, "ann") == "p0001-ann.index.json"
    assert data_file(1, "ann", 7) == "p0001-ann-00007.distcp"
    assert PartPlace(ID, 2, 1, 4, "ann").folder == ID.stage(2)


@given(st.integers(0, 9999), st.integers(0, 10**10 - 1))
def test_a_folder_s_name_is_read_back(history: int, commit: int) -> None:
    id = CheckpointId(history, commit)
    assert CheckpointId.parse(id.folder) == id
    assert len(id.folder) == len("h0000-c0000000000"), "names sort as numbers do"


@given(st.tuples(st.integers(0, 9999), st.integers(0, 10**10 - 1)), st.tuples(st.integers(0, 9999), st.integers(0, 99)))
def test_a_later_history_is_newer_then_a_later_commit(one: tuple[int, int], other: tuple[int, int]) -> None:
    assert (CheckpointId(*one) < CheckpointId(*other)) == (one < other)
    assert (CheckpointId(*one).folder < CheckpointId(*other).folder) == (one < other)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "h0003-c000000012",
        "h0003-c00000000120",
        "h003-c0000000120",
        "h0003-c0000000120/",
        "xh0003-c0000000120",
        "h0003-c0000000120\n",
        "H0003-C0000000120",
        "h0003c0000000120",
        "h0003-c000000012a",
        "h٠٠٠٣-c0000000120",
    ],
)
def test_other_folders_are_no_checkpoints(name: str) -> None:
    assert CheckpointId.parse(name) is None


@pytest.mark.parametrize(("history", "commit"), [(-1, 0), (0, -1), (10_000, 0), (0, 10**10)])
def test_numbers_that_have_no_name_are_refused(history: int, commit: int) -> None:
    with pytest.raises(ValueError, match=f"history {history}, commit {commit} is out of range"):
        CheckpointId(history, commit)


@pytest.mark.parametrize("writer", ["a", "a" * 64, "A-b_9"])
def test_a_writer_is_letters_digits_and_two_marks(writer: str) -> None:
    assert check_writer(writer) == writer


@pytest.mark.parametrize("writer", ["", "a" * 65, "a/b", "..", "a b", "ä", "a\n"])
def test_a_writer_that_cannot_be_part_of_a_file_s_name_is_refused(writer: str) -> None:
    with pytest.raises(ValueError, match="must be 1 to 64 letters, digits, _ or -"):
        PartPlace(ID, 0, 0, 1, writer)


@pytest.mark.parametrize(("part", "parts"), [(-1, 2), (2, 2), (0, 0)])
def test_a_part_is_one_of_their_number(part: int, parts: int) -> None:
    with pytest.raises(ValueError, match=f"there is no part {part} of {parts}"):
        PartPlace(ID, 0, part, parts, "w")
    assert PartPlace(ID, 0, 1, 2, "w").part == 1
