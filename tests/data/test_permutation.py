"""Every position has one element, and every element one position."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.data.permutation import Permutation


def order(size: int, key: str) -> list[int]:
    permutation = Permutation(size, key)
    return [permutation(position) for position in range(size)]


@settings(deadline=None, max_examples=60)
@given(size=st.integers(1, 1500), seed=st.integers(), epoch=st.integers(0, 10**9))
def test_is_a_bijection(size: int, seed: int, epoch: int) -> None:
    assert sorted(order(size, f"{seed} {epoch}")) == list(range(size))


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 1023, 1024, 1025])
def test_is_a_bijection_around_powers_of_two(size: int) -> None:
    assert sorted(order(size, "key")) == list(range(size))


@given(size=st.integers(2**40, 2**63), key=st.text(max_size=5))
def test_a_huge_range_stays_inside_and_costs_nothing(size: int, key: str) -> None:
    elements = {Permutation(size, key)(position) for position in range(5)}
    assert len(elements) == 5
    assert all(0 <= element < size for element in elements)


def test_keys_give_different_orders() -> None:
    orders = {tuple(order(50, str(key))) for key in range(200)}
    assert len(orders) == 200


def test_is_the_same_everywhere() -> None:
    """Changing the order breaks resuming and the agreement between participants: raise the data format with it."""
    assert order(10, "train 0 0") == [3, 8, 2, 1, 0, 9, 6, 7, 5, 4]


@pytest.mark.parametrize("size", [7, 100, 1000])
def test_elements_are_spread_evenly(size: int) -> None:
    """The element at position 0 over many keys: chi-squared over 7 bins far from what a skewed shuffle gives."""
    keys = 7000
    bins = np.bincount([Permutation(size, f"k{key}")(0) * 7 // size for key in range(keys)], minlength=7)
    expected = np.bincount(np.arange(size) * 7 // size, minlength=7) * keys / size
    assert float(((bins - expected) ** 2 / expected).sum()) < 30


def test_neighbours_are_not_kept_together() -> None:
    elements = np.array(order(5000, "neighbours"))
    assert np.mean(np.abs(np.diff(elements)) < 50) < 0.03
    assert abs(np.corrcoef(np.arange(5000), elements)[0, 1]) < 0.06


@pytest.mark.parametrize("position", [-1, 10])
def test_a_position_outside_is_a_bug(position: int) -> None:
    with pytest.raises(AssertionError):
        Permutation(10, "key")(position)
