"""A proposer in one slot: whose promises and votes it counts, and what it has to propose."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.steps.agreement import MOST_BALLOTS, Agreement
from actors.steps.ballots import Accepted, Decision, Lead, Promise, Propose, Refused
from tests.steps.builders import decision_of, report_of, voters

FIVE = voters(a=0, b=0, c=0, d=0, e=0)
DECISION = decision_of(FIVE, slot=9)
"""Slot 10 is to be decided: ballot b is member b modulo 5, as 10 is 0 modulo 5."""


def value(step: int) -> Decision:
    return decision_of(FIVE, slot=10, step=step)


def candidate(ballot: int = 5, me: str = "a") -> Agreement:
    one = Agreement(me, 1, DECISION)
    one.run(ballot)
    return one


def promise(ballot: int = 5, accepted: int = -1, step: int = 0, life: int = 1) -> Promise:
    return Promise(10, ballot, accepted, value(step) if accepted >= 0 else None, report_of(life=life))


@pytest.mark.parametrize(
    ("votes", "step"),
    [
        ({"b": None, "c": None, "d": None}, 9),
        ({"b": (0, 4), "c": None, "d": None}, 4),
        ({"b": None, "c": None, "d": (2, 7)}, 7),
        ({"b": (0, 4), "c": (3, 5), "d": (1, 6)}, 5),
        ({"b": (4, 4), "c": (3, 5), "d": (3, 5)}, 4),
        ({"b": (0, 4), "c": (0, 4), "d": (2, 6)}, 6),
        ({"b": (0, 8), "c": (1, 4), "d": None}, 4),
    ],
    ids=["none", "one", "the last one", "highest in the middle", "highest first", "one against two", "later step"],
)
def test_the_value_of_the_highest_ballot_accepted_among_the_promises_is_proposed(
    votes: dict[str, tuple[int, int] | None], step: int
) -> None:
    """Votes are (ballot, step of the value); without any the candidate's own value, of step 9, is."""
    one = candidate()
    for peer, vote in votes.items():
        one.promise(peer, promise() if vote is None else promise(accepted=vote[0], step=vote[1]))
    assert one.put(value(9)) == Propose(10, 5, value(step))


@settings(deadline=None, max_examples=60)
@given(st.permutations([("b", 0, 4), ("c", 3, 5), ("d", 1, 6), ("e", -1, 0)]))
def test_the_order_of_promises_does_not_matter(order: list[tuple[str, int, int]]) -> None:
    one = candidate()
    for peer, accepted, step in order:
        one.promise(peer, promise(accepted=accepted, step=step))
    assert one.adopted() == value(5)


def test_what_no_majority_has_promised_about_is_not_proposed() -> None:
    one = candidate()
    one.promise("b", promise())
    one.promise("c", promise())
    assert not one.won and not one.leading
    with pytest.raises(AssertionError):
        one.put(value(9))


def test_the_third_promise_of_five_makes_the_majority_and_only_that_one_does() -> None:
    one = candidate()
    assert [one.promise(peer, promise()) for peer in "bcdde"] == [False, False, True, False, False]
    assert one.won and one.leading


def test_a_majority_of_promises_is_of_distinct_voters() -> None:
    one = candidate()
    assert [one.promise("b", promise()) for _ in range(3)] == [False, False, False]
    assert not one.won


@pytest.mark.parametrize(
    ("peer", "given"),
    [("b", promise(life=2)), ("b", promise(life=0)), ("x", promise()), ("b", promise(ballot=0)), ("b", promise(10))],
    ids=["a later life", "an earlier life", "a stranger", "a lower ballot", "a higher ballot"],
)
def test_a_promise_of_another_life_or_a_stranger_or_for_another_ballot_counts_nothing(
    peer: str, given: Promise
) -> None:
    one = candidate()
    one.promise("c", promise())
    one.promise("d", promise())
    assert not one.promise(peer, given)
    assert not one.won


def test_ballot_0_needs_no_promises_and_others_do() -> None:
    free, later = candidate(0), candidate(5)
    assert free.won and free.leading
    assert not later.won
    first = Agreement("a", 1, decision_of(FIVE, slot=9, view=1))
    first.run(0)
    assert first.won, "view 1 is the first one that knows the lives of its members"


def test_in_view_0_ballot_0_needs_the_promises_of_all() -> None:
    first = Agreement("a", 1, decision_of([replace(m, life=0) for m in FIVE], slot=9, view=0))
    first.run(0)
    assert not first.won
    assert [first.promise(peer, promise(0, life=7)) for peer in "abcde"] == [False] * 4 + [True]


def test_a_majority_of_votes_is_of_distinct_voters_of_the_lives_that_the_view_names() -> None:
    one = candidate(0)
    one.put(value(4))
    for peer, life in (("b", 1), ("b", 1), ("c", 2), ("x", 1)):
        assert one.accepted(peer, Accepted(10, 0, life)) is None
    assert one.accepted("c", Accepted(10, 0, 1)) is None, "two of five"
    assert one.accepted("d", Accepted(10, 0, 1)) == value(4)


@pytest.mark.parametrize("ballot", [5, -1])
def test_a_vote_for_another_ballot_counts_nothing(ballot: int) -> None:
    one = candidate(0)
    one.put(value(4))
    for peer in "bcde":
        assert one.accepted(peer, Accepted(10, ballot, 1)) is None


def test_who_does_not_run_counts_neither_promises_nor_votes() -> None:
    one = Agreement("a", 1, DECISION)
    assert not one.promise("b", promise(0))
    assert one.accepted("b", Accepted(10, 0, 1)) is None and one.adopted() is None


def test_votes_before_anything_was_proposed_count_nothing() -> None:
    one = candidate(0)
    for peer in "bcd":
        assert one.accepted(peer, Accepted(10, 0, 1)) is None
    one.put(value(4))
    assert one.accepted("e", Accepted(10, 0, 1)) is None


def test_a_dismissed_voter_counts_nothing_and_fewer_votes_decide() -> None:
    """Of three voters two decide."""
    one = Agreement("a", 1, DECISION)
    one.dismiss(frozenset("bc"))
    one.run(0)
    assert one.put(value(4)) == Propose(10, 0, value(4), ("b", "c"))
    assert one.accepted("b", Accepted(10, 0, 1)) is None
    assert one.accepted("d", Accepted(10, 0, 1)) is None
    assert one.accepted("a", Accepted(10, 0, 1)) == value(4)


def test_a_dismissal_ends_the_candidacy_once() -> None:
    one = candidate(0)
    one.dismiss(frozenset("b"))
    assert one.candidacy is None and one.dismissed == ("b",)
    assert one.run(5) == Lead(10, 5, 2, ("b",))
    one.dismiss(frozenset("b"))
    assert one.candidacy is not None, "it was known"


def test_a_candidate_of_a_ballot_above_0_proposes_once_whatever_it_is_given() -> None:
    one = candidate()
    for peer in "bcd":
        one.promise(peer, promise())
    assert one.put(value(4)) == one.put(value(5)) == Propose(10, 5, value(4))


def test_running_again_with_the_same_ballot_keeps_what_was_counted() -> None:
    one = candidate()
    one.promise("b", promise())
    one.run(5)
    assert one.candidacy is not None and set(one.candidacy.promises) == {"b"}
    one.run(10)
    assert one.candidacy is not None and not one.candidacy.promises, "another ballot begins without promises"
    assert one.promised == 10


def test_a_candidate_does_not_run_with_a_ballot_of_others_or_below_its_promise() -> None:
    one = Agreement("a", 1, DECISION)
    with pytest.raises(AssertionError):
        one.run(1)
    assert one.obeys("b", 6)
    with pytest.raises(AssertionError):
        one.run(5)


@pytest.mark.parametrize(("ballot", "stands"), [(4, True), (5, True), (6, False)])
def test_a_refusal_that_names_a_higher_promise_ends_the_candidacy(ballot: int, stands: bool) -> None:
    one = candidate()
    one.refused(Refused(10, ballot))
    assert (one.candidacy is not None) is stands
    assert one.promised == max(5, ballot)


@pytest.mark.parametrize("ballot", [-1, MOST_BALLOTS])
def test_a_refusal_with_a_ballot_that_no_slot_has_changes_nothing(ballot: int) -> None:
    one = candidate()
    one.refused(Refused(10, ballot))
    assert one.candidacy is not None and one.promised == 5


def test_who_obeys_a_higher_ballot_leads_no_more() -> None:
    one = candidate(0)
    assert one.obeys("b", 1)
    assert one.candidacy is None and not one.won and not one.leading and one.adopted() is None


@pytest.mark.parametrize(
    ("above", "usable", "dismissed", "ballot"),
    [(0, "abcde", "", 1), (0, "acde", "", 2), (0, "ae", "", 4), (4, "abcde", "", 5), (3, "bcd", "", 6),
     (0, "abcde", "bc", 3), (0, "", "", 1), (2, "c", "", 7)],
)  # fmt: skip
def test_the_next_ballot_is_the_lowest_whose_owner_can_be_worked_with(
    above: int, usable: str, dismissed: str, ballot: int
) -> None:
    """Where there is no such owner it is simply the next one."""
    one = Agreement("a", 1, DECISION)
    one.dismiss(frozenset(dismissed))
    assert one.next_ballot(above, set(usable)) == ballot
