"""Eras: which one made a commit, as (step given up, commit) pairs say, and which returns may follow on which."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.steps.eras import MOST_RETURNS, follows, given_up, origin, plausible_returns, stamp, wrong_returns
from tests.steps.builders import context_of, decision_of, voters

MEMBERS = voters(a=0, b=1)


@pytest.mark.parametrize(
    ("returns", "commit", "era"),
    [
        ((), 40, 0),
        (((17, 15),), 12, 0),
        (((17, 15),), 15, 0),
        (((17, 15),), 16, 1),
        (((17, 15),), 17, 1),
        (((17, 15), (20, 12)), 12, 0),
        (((17, 15), (20, 12)), 13, 2),
        (((17, 15), (20, 18)), 16, 1),
        (((17, 15), (20, 18)), 18, 1),
        (((17, 15), (20, 18)), 19, 2),
        (((17, 0),), 0, 0),
        (((17, 0),), 1, 1),
    ],
)
def test_a_commit_is_of_the_newest_era_that_returned_to_before_it(
    returns: tuple[tuple[int, int], ...], commit: int, era: int
) -> None:
    """12 is still 12 of era 0 when the run returned from 17 to 15; 16 was trained again, in era 1."""
    assert origin(returns, commit) == era


def test_steps_that_are_given_up_are_added() -> None:
    """17 - 15 and 20 - 12."""
    assert given_up(()) == 0 and given_up(((17, 15), (20, 12))) == 10


RETURNS = st.lists(st.tuples(st.integers(0, 100), st.integers(0, 100)).map(lambda p: (max(p), min(p))), max_size=6)


@settings(deadline=None, max_examples=60)
@given(RETURNS, st.integers(0, 10**6), st.integers(0, 10**6))
def test_every_step_of_a_later_era_has_a_higher_stamp(returns: list[tuple[int, int]], earlier: int, later: int) -> None:
    before, after = tuple(returns), (*returns, (9, 3))
    assert stamp(after, later) > stamp(before, earlier)
    assert stamp(before, earlier + 1) == stamp(before, earlier) + 1
    assert follows(stamp(before, earlier), stamp(after, later))
    assert not follows(stamp(before, earlier), stamp(before, later)) and not follows(
        stamp(after, later), stamp(before, earlier)
    )
    assert not follows(stamp(before, earlier), stamp((*after, (9, 3)), later)), "two eras ahead"


@pytest.mark.parametrize(
    ("known", "proposed", "step", "why"),
    [
        ((), (), 17, ""),
        ((), (), 18, ""),
        ((), (), 16, "step 16 cannot follow on step 17"),
        ((), (), 19, "step 19 cannot follow on step 17"),
        ((), ((17, 15),), 15, ""),
        ((), ((17, 17),), 17, ""),
        ((), ((17, 0),), 0, ""),
        ((), ((17, 18),), 18, "says something else"),
        ((), ((17, -1),), -1, "says something else"),
        ((), ((17, 15),), 16, "says something else"),
        ((), ((16, 15),), 15, "says something else"),
        ((), ((17, 15), (15, 12)), 12, "would be forgotten"),
        (((9, 6),), ((9, 6), (17, 15)), 15, ""),
        (((9, 6),), ((17, 15),), 15, "would be forgotten"),
        (((9, 6),), (), 17, "would be forgotten"),
        (((9, 6),), ((9, 5),), 17, "would be forgotten"),
    ],
)
def test_a_decision_goes_on_by_a_step_at_most_or_returns_from_the_step_under_way(
    known: tuple[tuple[int, int], ...], proposed: tuple[tuple[int, int], ...], step: int, why: str
) -> None:
    text = wrong_returns(known, 17, proposed, step)
    assert why in text and bool(text) is bool(why)


def test_returns_are_bounded() -> None:
    full = ((17, 15),) * MOST_RETURNS
    assert plausible_returns(full) and not plausible_returns((*full, (17, 15)))
    assert wrong_returns(full[1:], 17, full, 15) == ""
    assert wrong_returns(full, 17, (*full, (17, 15)), 15)


@pytest.mark.parametrize(
    ("returns", "plausible"),
    [((), True), (((5, 5),), True), (((5, 0),), True), (((5, 6),), False), (((5, -1),), False),
     (((1 << 32, 3),), False), ((((1 << 32) - 1, 3),), True), (((5, 3), (3, 4)), False)],
)  # fmt: skip
def test_a_return_goes_back_and_not_to_before_the_beginning(
    returns: tuple[tuple[int, int], ...], plausible: bool
) -> None:
    assert plausible_returns(returns) is plausible


def test_what_is_kept_of_an_era_that_was_given_up_does_not_count() -> None:
    """Returned from 17 to 15: 12 and 15 are of era 0 as before, 16 is of era 1 only."""
    context = context_of(decision_of(MEMBERS, step=17, returns=((17, 15),)))
    context.kept = frozenset({(0, 12), (0, 15), (0, 16), (1, 16), (1, 12)})
    assert context.returnable == (12, 15, 16)
    context.kept = frozenset({(0, 16), (1, 15)})
    assert context.returnable == ()


@pytest.mark.parametrize(
    ("place", "may"),
    [((3, 15), True), ((4, 16), True), ((3, 16), False), ((4, 15), False), ((4, 18), True), ((4, 19), False),
     ((3, -1), False), ((2, 12), False), ((3, 0), True)],
)  # fmt: skip
def test_a_checkpoint_is_of_the_history_of_its_era_and_of_no_later_commit(place: tuple[int, int], may: bool) -> None:
    """Histories of this run begin with 3. Step 17 is under way, so commit 18 may have been written elsewhere."""
    assert context_of(decision_of(MEMBERS, step=17, returns=((17, 15),)), history=3).may_exist(place) is may
