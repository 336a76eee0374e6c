"""The split: what is trained on, what is held out, and that they share no token."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.data.errors import DataError
from orchestrator.data.windows import Windows, plan_windows

SHAPES = {
    "windows": st.integers(3, 3000),
    "sequence": st.integers(2, 9),
    "rest": st.integers(0, 8),
    "holdout": st.floats(0.0005, 0.5),
}


def planned(windows: int, sequence: int, rest: int, holdout: float) -> Windows:
    return plan_windows(windows * sequence + 1 + rest % sequence, sequence, holdout, "test")


def train_starts(windows: Windows) -> list[int]:
    return [windows.train_start(window) for window in range(windows.train)]


def validation_starts(windows: Windows) -> list[int]:
    return [windows.validation_start(window) for window in range(windows.validation)]


def covered(starts: list[int], length: int) -> set[int]:
    return {start + offset for start in starts for offset in range(length)}


@settings(deadline=None, max_examples=80)
@given(**SHAPES)
def test_holdout_shares_no_token_with_training(windows: int, sequence: int, rest: int, holdout: float) -> None:
    split = planned(windows, sequence, rest, holdout)
    train = covered(train_starts(split), sequence + 1)
    held = covered(validation_starts(split), sequence + 1)
    assert train and held
    assert not train & held
    assert max(train | held) < windows * sequence + 1


@settings(deadline=None, max_examples=80)
@given(**SHAPES)
def test_no_token_is_predicted_twice(windows: int, sequence: int, rest: int, holdout: float) -> None:
    split = planned(windows, sequence, rest, holdout)
    for starts in (train_starts(split), validation_starts(split)):
        assert len(covered([start + 1 for start in starts], sequence)) == len(starts) * sequence


@settings(deadline=None, max_examples=80)
@given(**SHAPES)
def test_only_held_out_blocks_are_missing_from_training(windows: int, sequence: int, rest: int, holdout: float) -> None:
    split = planned(windows, sequence, rest, holdout)
    blocks = {number * split.block + inside for number in split.held for inside in range(split.block)}
    trained = [start // sequence for start in train_starts(split)]
    assert trained == sorted(set(range(windows)) - blocks)


@pytest.mark.parametrize("holdout", [0.01, 0.05, 0.1, 0.5])
def test_the_share_is_what_was_asked_for(holdout: float) -> None:
    split = plan_windows(74_000 * 128 + 1, 128, holdout, "test")
    assert split.validation / 74_000 == pytest.approx(holdout, rel=0.03)
    assert split.train / 74_000 == pytest.approx(1 - holdout, rel=0.02)


def test_holdout_is_scattered_over_the_corpus() -> None:
    split = plan_windows(74_000 * 128 + 1, 128, 0.05, "test")
    tenths = {start * 10 // (74_000 * 128) for start in validation_starts(split)}
    assert len(tenths) >= 9


def test_no_holdout_trains_on_everything() -> None:
    split = plan_windows(10 * 4 + 1, 4, 0.0, "test")
    assert (split.train, split.validation) == (10, 0)
    assert train_starts(split) == [4 * window for window in range(10)]


def test_a_huge_corpus_is_planned_in_bounded_memory() -> None:
    split = plan_windows(10**13, 1024, 0.05, "test")
    assert len(split.held) == 1024
    assert split.train_start(split.train - 1) + 1025 <= 10**13


@pytest.mark.parametrize(
    ("tokens", "holdout", "needed"), [(0, 0.0, 9), (8, 0.0, 9), (24, 0.05, 25), (-1, 0.05, 25), (9, 0.5, 25)]
)
def test_too_short_a_corpus_is_refused(tokens: int, holdout: float, needed: int) -> None:
    with pytest.raises(DataError, match=rf"'poem' has {max(tokens, 0)} tokens.*at least {needed} tokens"):
        plan_windows(tokens, 8, holdout, "poem")


@pytest.mark.parametrize(("tokens", "holdout"), [(9, 0.0), (25, 0.05), (25, 0.5)])
def test_the_length_that_the_message_names_is_enough(tokens: int, holdout: float) -> None:
    split = plan_windows(tokens, 8, holdout, "poem")
    assert split.train >= 1
    assert (split.validation >= 1) == (holdout > 0)


@pytest.mark.parametrize("holdout", [-0.1, 0.51, 1.0, float("nan")])
def test_a_share_out_of_range_is_refused(holdout: float) -> None:
    with pytest.raises(DataError, match=r"data\.holdout .* outside \[0, 0\.5\]"):
        plan_windows(1000, 8, holdout, "poem")


def test_a_sequence_of_one_is_refused() -> None:
    with pytest.raises(DataError, match=r"train\.sequence 1 is too short"):
        plan_windows(1000, 1, 0.1, "poem")
