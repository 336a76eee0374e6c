"""Where windows start and which are held out, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from orchestrator.data.errors import DataError
from orchestrator.data.permutation import Permutation
from orchestrator.data.windows import Windows, plan_windows


def windows(held: tuple[int, ...], train: int, block: int = 3, sequence: int = 4) -> Windows:
    """Return a split of windows of 5 tokens, with these blocks of 3 held out."""
    before = np.array([(number - rank) * block for rank, number in enumerate(held)], dtype=np.int64)
    return Windows(sequence, train, len(held) * (block - 1), block, held, before)


@pytest.mark.parametrize(
    ("held", "train", "validation"),
    [
        # Ten windows begin at 0, 4, 8, ... 36. Block 1 is windows 3 to 5; cut again one token later, at 13 and 17.
        pytest.param((1,), [0, 4, 8, 24, 28, 32, 36], [13, 17], id="in the middle"),
        pytest.param((0,), [12, 16, 20, 24, 28, 32, 36], [1, 5], id="at the beginning"),
        pytest.param((2,), [0, 4, 8, 12, 16, 20, 36], [25, 29], id="near the end"),
        pytest.param((0, 2), [12, 16, 20, 36], [1, 5, 25, 29], id="two"),
        pytest.param((1, 2), [0, 4, 8, 36], [13, 17, 25, 29], id="neighbours"),
        pytest.param((), [0, 4, 8, 12, 16, 20, 24, 28, 32, 36], [], id="none"),
    ],
)
def test_training_windows_pass_over_held_out_blocks(
    held: tuple[int, ...], train: list[int], validation: list[int]
) -> None:
    split = windows(held, len(train))
    assert [split.train_start(window) for window in range(split.train)] == train
    assert [split.validation_start(window) for window in range(split.validation)] == validation


def test_a_window_beyond_the_last_is_a_bug() -> None:
    split = windows((1,), 7)
    for start, number in ((split.train_start, 7), (split.train_start, -1)):
        with pytest.raises(AssertionError):
            start(number)
    for number in (2, -1):
        with pytest.raises(AssertionError):
            split.validation_start(number)


@pytest.mark.parametrize(
    ("tokens", "sequence", "holdout", "train", "validation", "block", "blocks"),
    [
        # 100 windows of 10. Nine wanted are three blocks of 9 / 3 + 1 windows, each good for three.
        pytest.param(1001, 10, 0.09, 88, 9, 4, 3, id="a square"),
        # Five wanted are two blocks (2 x 2 <= 5) of 5 // 2 + 1 windows, each good for two.
        pytest.param(1001, 10, 0.05, 94, 4, 3, 2, id="no square"),
        pytest.param(1010, 10, 0.05, 94, 4, 3, 2, id="nine tokens at the end stay unused"),
        pytest.param(1011, 10, 0.05, 95, 4, 3, 2, id="one more token, one more window"),
        pytest.param(1000, 10, 0.05, 93, 4, 3, 2, id="99 windows: four and a bit are wanted, so two blocks of 3"),
        pytest.param(101, 10, 0.001, 8, 1, 2, 1, id="one at least: a block of two windows for it"),
        pytest.param(101, 10, 0.5, 4, 4, 3, 2, id="half"),
        pytest.param(31, 10, 0.05, 1, 1, 2, 1, id="the shortest with a window on either side"),
        pytest.param(11, 10, 0.0, 1, 0, 0, 0, id="the shortest without"),
    ],
)
def test_a_share_becomes_blocks(
    tokens: int, sequence: int, holdout: float, train: int, validation: int, block: int, blocks: int
) -> None:
    split = plan_windows(tokens, sequence, holdout, "test")
    assert (split.train, split.validation, split.block, len(split.held)) == (train, validation, block, blocks)
    assert split.sequence == sequence
    assert split.held == tuple(sorted(set(split.held)))
    if blocks:
        total = (tokens - 1) // sequence
        assert all(0 <= number < total // block for number in split.held)
        assert split.train_before.tolist() == [(number - rank) * block for rank, number in enumerate(split.held)]


def test_no_more_than_so_many_blocks_however_large_the_corpus() -> None:
    # 4 million windows, a quarter held out: 1000 x 1000 would be 1000 blocks, 2000 x 2000 is more than 1024.
    assert len(plan_windows(4_000_001, 2, 0.5, "test").held) == 1000
    large = plan_windows(32_000_001, 2, 0.25, "test")
    assert (len(large.held), large.block) == (1024, 4_000_000 // 1024 + 1)


def test_which_blocks_are_held_out_depends_on_their_number_alone() -> None:
    # 33 blocks of 3 windows; the two are where the permutation of 33 has its first two elements.
    scattered = Permutation(33, "holdout")
    assert plan_windows(1001, 10, 0.05, "one").held == tuple(sorted((scattered(0), scattered(1))))
    assert plan_windows(1001, 10, 0.05, "one").held == plan_windows(1001, 10, 0.05, "other").held


@pytest.mark.parametrize(
    ("tokens", "holdout", "says"),
    [
        (30, 0.05, r"'poem' has 30 tokens, .* = 11 tokens to train on and one to hold out: use .* at least 31 tokens"),
        (10, 0.0, r"'poem' has 10 tokens, .* = 11 tokens to train on: use a corpus of at least 11 tokens"),
    ],
)
def test_a_corpus_that_is_too_short_is_told_what_would_be_enough(tokens: int, holdout: float, says: str) -> None:
    with pytest.raises(DataError, match=says):
        plan_windows(tokens, 10, holdout, "poem")


@pytest.mark.parametrize(("sequence", "holdout"), [(2, 0.0), (2, 0.5)])
def test_the_smallest_sequence_and_the_largest_share_are_taken(sequence: int, holdout: float) -> None:
    assert plan_windows(1001, sequence, holdout, "test").train > 0
