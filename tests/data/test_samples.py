"""Which tokens are in which microbatch, by hand for a corpus of twenty letters."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from actors.steps.config import TrainConfig
from actors.tokens import Int32
from orchestrator.data.config import DataConfig
from orchestrator.data.permutation import Permutation
from orchestrator.data.source import CorpusTokens, OpenTokens, describe

# Twenty letters and the separator, 0, are 21 tokens: ten windows of 3, the next one beginning at the last of the one
# before: abc, cde, efg, ghi, ijk, klm, mno, opq, qrs, st0.
LETTERS = "abcdefghijklmnopqrst"
WINDOWS = ["abc", "cde", "efg", "ghi", "ijk", "klm", "mno", "opq", "qrs", "st0"]
TRAIN = TrainConfig(microbatches=2, microbatch_size=3, sequence=2, seed=0, validate_every=0)


@pytest.fixture
def data(tmp_path: Path) -> DataConfig:
    """The letters, none of them held out."""
    (tmp_path / "letters.txt").write_text(LETTERS)
    return DataConfig(source=str(tmp_path / "letters.txt"), cache=str(tmp_path / "cache"), holdout=0.0)


def opened(data: DataConfig, **changes: int) -> CorpusTokens:
    """Open the letters."""
    return OpenTokens(data, dataclasses.replace(TRAIN, **changes))()


def text(rows: Int32) -> list[str]:
    """Return rows of tokens as letters."""
    return [bytes(row.tolist()).replace(b"\0", b"0").decode() for row in rows]


# The order of ten under the key `train 0 0` (seed 0, epoch 0) is written down in test_permutation:
ORDER = [3, 8, 2, 1, 0, 9, 6, 7, 5, 4]


def test_samples_follow_each_other_through_microbatches_and_steps(data: DataConfig) -> None:
    source = opened(data)
    assert text(source.microbatch(0, 0)) == ["ghi", "qrs", "efg"]  # windows 3, 8, 2
    assert text(source.microbatch(0, 1)) == ["cde", "abc", "st0"]  # 1, 0, 9
    assert text(source.microbatch(1, 0)) == ["mno", "opq", "klm"]  # 6, 7, 5
    second = Permutation(10, "train 0 1")  # the tenth sample ends the first epoch, the eleventh begins the second
    assert text(source.microbatch(1, 1)) == ["ijk", WINDOWS[second(0)], WINDOWS[second(1)]]


def test_an_epoch_has_every_window_once_and_each_has_an_order_of_its_own(data: DataConfig) -> None:
    source = opened(data, microbatches=1, microbatch_size=10)
    epochs = [text(source.microbatch(step, 0)) for step in range(4)]
    assert epochs[0] == [WINDOWS[number] for number in ORDER]
    assert all(sorted(epoch) == sorted(WINDOWS) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4


def test_a_seed_is_another_order(data: DataConfig) -> None:
    found = text(opened(data, microbatches=1, microbatch_size=10, seed=7).microbatch(0, 0))
    order = Permutation(10, "train 7 0")
    assert found == [WINDOWS[order(position)] for position in range(10)]
    assert found != [WINDOWS[number] for number in ORDER]


def test_validation_has_its_own_windows_in_an_order_that_stays(data: DataConfig) -> None:
    # One of ten windows is wanted, so one block of two windows is held out and cut again one token later: one window.
    source = opened(dataclasses.replace(data, holdout=0.1), microbatches=1, microbatch_size=8)
    (held,) = source._windows.held
    start = held * 2 * 2 + 1
    assert text(source.validation(0)) == [(LETTERS + "0")[start : start + 3]] * 8
    trained = text(source.microbatch(0, 0))
    assert sorted(trained) == sorted(WINDOWS[: 2 * held] + WINDOWS[2 * held + 2 :])
    assert (source.description.train_windows, source.description.validation_windows) == (8, 1)


def test_validation_goes_round_under_the_seed_and_not_under_the_epoch(tmp_path: Path) -> None:
    (tmp_path / "long.txt").write_bytes(bytes(range(1, 201)))
    data = DataConfig(source=str(tmp_path / "long.txt"), cache=str(tmp_path / "cache"), holdout=0.1)
    source = opened(data, microbatches=1, microbatch_size=4, seed=3)
    held = source.description.validation_windows
    assert held == 9  # 100 windows: ten wanted, three blocks of 10 // 3 + 1 windows, each good for three
    rows = [text_ for index in range(9) for text_ in source.validation(index).tolist()]
    order = Permutation(9, "validate 3 0")
    starts = [source._windows.validation_start(order(position)) for position in range(9)]
    tokens = [*range(1, 201), 0]
    assert rows == [tokens[start : start + 3] for start in starts] * 4


def test_the_description_counts_by_hand(data: DataConfig) -> None:
    found = describe(data, TRAIN)
    assert (found.tokens, found.documents, found.bytes, found.vocab_size) == (21, 1, 20, 256)
    assert (found.train_windows, found.validation_windows) == (10, 0)


@pytest.mark.parametrize("at", range(20))
def test_any_other_byte_is_another_corpus(data: DataConfig, at: int) -> None:
    before = describe(data, TRAIN).fingerprint
    changed = bytearray(LETTERS.encode())
    changed[at] ^= 1
    Path(data.source).write_bytes(changed)
    assert describe(data, TRAIN).fingerprint != before


def test_a_cache_folder_is_made_with_those_above_it(data: DataConfig, tmp_path: Path) -> None:
    deep = dataclasses.replace(data, cache=str(tmp_path / "a" / "b" / "c"))
    assert describe(deep, TRAIN) == describe(data, TRAIN)
    assert any((tmp_path / "a" / "b" / "c").iterdir())


def test_where_documents_end_is_part_of_the_corpus(tmp_path: Path) -> None:
    prints = set()
    for number, files in enumerate((["ab", "cd"], ["abc", "d"], ["abcd"], ["cd", "ab"])):
        folder = tmp_path / str(number)
        folder.mkdir()
        for i, content in enumerate(files):
            (folder / f"{i}.txt").write_text(content * 10)
        data = DataConfig(source=f"{folder}/*.txt", cache=str(tmp_path / "cache"), holdout=0.0)
        prints.add(describe(data, TRAIN).fingerprint)
    assert len(prints) == 4


@pytest.mark.parametrize("changes", [{"sequence": 3}, {"holdout": 0.1}, {"holdout": 0.2}])
def test_the_split_is_part_of_the_fingerprint(data: DataConfig, changes: dict[str, float]) -> None:
    train, other = TRAIN, data
    if "sequence" in changes:
        train = dataclasses.replace(TRAIN, sequence=3)
    else:
        other = dataclasses.replace(data, **changes)
    assert describe(other, train).fingerprint != describe(data, TRAIN).fingerprint


@pytest.mark.parametrize("changes", [{"seed": 9}, {"microbatches": 5}, {"microbatch_size": 7}, {"steps": 3}])
def test_what_is_drawn_from_it_is_not(data: DataConfig, changes: dict[str, int]) -> None:
    assert describe(data, dataclasses.replace(TRAIN, **changes)).fingerprint == describe(data, TRAIN).fingerprint
