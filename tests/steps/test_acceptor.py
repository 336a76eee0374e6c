"""One acceptor of one slot: what it has promised and accepted binds it, whatever it is asked later, and by whom."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.steps.agreement import MOST_BALLOTS, Agreement
from actors.steps.ballots import Accepted, Decision, Lead, Promise, Propose, Refused
from tests.steps.builders import decision_of, report_of, voters

ABC = voters(a=0, b=0, c=0)
OWNERS = "abc"
"""Of the ballots of slot 6, over and over: 6 + 0 is 0 modulo 3."""


def acceptor(me: str = "a", life: int = 1) -> Agreement:
    return Agreement(me, life, decision_of(ABC))


def value(step: int) -> Decision:
    return decision_of(ABC, slot=6, step=step)


def asks(one: Agreement, ballot: int) -> Promise | Refused | None:
    return one.lead(OWNERS[ballot % 3], Lead(6, ballot, 2), report_of())


def offers(one: Agreement, ballot: int, step: int = 4) -> Accepted | Refused | None:
    return one.propose(OWNERS[ballot % 3], Propose(6, ballot, value(step)))


@pytest.mark.parametrize("ballot", [0, 1, 4])
def test_after_a_promise_lower_ballots_are_refused_and_told_what_was_promised(ballot: int) -> None:
    one = acceptor()
    assert asks(one, 5) == Promise(6, 5, -1, None, report_of())
    assert asks(one, ballot) == Refused(6, 5)
    assert offers(one, ballot) == Refused(6, 5)
    assert not one.obeys(OWNERS[ballot % 3], ballot)
    assert one.promised == 5 and one.bound


@pytest.mark.parametrize("ballot", [5, 6, 8])
def test_after_a_promise_its_own_ballot_and_higher_ones_are_answered(ballot: int) -> None:
    one = acceptor()
    asks(one, 5)
    assert offers(one, ballot) == Accepted(6, ballot, 1)
    assert one.promised == ballot, "a vote is a promise, too"
    assert asks(one, ballot) == Promise(6, ballot, ballot, value(4), report_of()), "it may be asked again"


def test_what_was_accepted_is_told_with_every_later_promise() -> None:
    one = acceptor()
    offers(one, 1, step=4)
    assert asks(one, 2) == Promise(6, 2, 1, value(4), report_of())
    assert offers(one, 1, step=9) == Refused(6, 2)
    assert asks(one, 3) == Promise(6, 3, 1, value(4), report_of()), "what was refused leaves no trace"
    offers(one, 3, step=9)
    assert asks(one, 4) == Promise(6, 4, 3, value(9), report_of()), "the newest vote counts"


def test_an_order_of_a_higher_ballot_binds_like_a_promise() -> None:
    one = acceptor()
    assert one.obeys("c", 2)
    assert one.leader.peer_id == "c"
    assert asks(one, 1) == Refused(6, 2)
    assert one.obeys("c", 2), "the same leader goes on"
    assert not one.obeys("b", 5), "which is the third member's"


@pytest.mark.parametrize("sender", ["a", "b", "x", ""])
def test_a_ballot_is_answered_to_its_owner_only(sender: str) -> None:
    one = acceptor()
    assert one.lead(sender, Lead(6, 2, 2), report_of()) is None
    assert one.propose(sender, Propose(6, 2, value(4))) is None
    assert not one.obeys(sender, 2)
    assert one.promised == 0 and not one.bound


@pytest.mark.parametrize("ballot", [-3, MOST_BALLOTS, MOST_BALLOTS + 2])
def test_ballots_that_no_slot_has_are_not_answered(ballot: int) -> None:
    one = acceptor()
    owner = OWNERS[ballot % 3]
    assert one.lead(owner, Lead(6, ballot, 2), report_of()) is None
    assert not one.obeys(owner, ballot)
    assert one.promised == 0


def test_the_highest_ballot_that_a_slot_has_is_answered() -> None:
    highest = MOST_BALLOTS - 1
    assert acceptor().obeys(OWNERS[highest % 3], highest)


def test_a_candidate_that_counts_another_view_gets_no_promise() -> None:
    one = acceptor()
    assert one.lead("c", Lead(6, 2, 3), report_of()) is None
    assert one.lead("c", Lead(6, 2, 1), report_of()) is None
    assert one.promised == 0


def test_a_decision_for_another_slot_gets_no_vote() -> None:
    one = acceptor()
    assert one.propose("a", Propose(6, 0, decision_of(ABC, slot=7))) is None
    assert not one.bound


@pytest.mark.parametrize(("me", "life"), [("a", 2), ("x", 1)], ids=["another life", "a stranger"])
def test_a_process_without_a_vote_answers_nobody(me: str, life: int) -> None:
    one = acceptor(me, life)
    assert not one.votes and one.given is None
    assert asks(one, 2) is None and offers(one, 2) is None and not one.obeys("c", 2)


def test_a_new_slot_begins_without_promises() -> None:
    one = acceptor()
    offers(one, 5)
    assert one.decided(value(4))
    assert (one.slot, one.promised, one.bound, one.candidacy) == (7, 0, False, None)
    assert one.leader.peer_id == "b", "member (7 + 0) modulo 3"
    assert one.lead("b", Lead(7, 0, 2), report_of()) == Promise(7, 0, -1, None, report_of())


@pytest.mark.parametrize("slot", [4, 5])
def test_a_decision_that_is_not_newer_changes_nothing(slot: int) -> None:
    one = acceptor()
    offers(one, 2)
    assert not one.decided(decision_of(ABC, slot=slot, step=9))
    assert one.slot == 6 and one.promised == 2 and one.decision.step == 3


def test_a_process_goes_on_from_what_the_one_before_it_had_on_disk() -> None:
    before = acceptor()
    offers(before, 1, step=4)
    asks(before, 2)
    after = acceptor()
    after.restore(before.vote(0))
    assert asks(after, 1) == Refused(6, 2) and offers(after, 1) == Refused(6, 2)
    assert asks(after, 5) == Promise(6, 5, 1, value(4), report_of())


def test_dismissals_are_told_in_one_order_so_that_all_who_know_the_same_say_the_same() -> None:
    one = acceptor()
    one.dismiss(frozenset("hgfedcb"))
    assert one.dismissed == tuple("bcdefgh")


def test_a_vote_of_an_earlier_slot_says_nothing_about_this_one() -> None:
    before = acceptor()
    offers(before, 2)
    after = Agreement("a", 1, value(4))
    after.restore(before.vote(0))
    assert (after.slot, after.promised, after.bound) == (7, 0, False)


def test_what_is_written_down_names_life_process_slot_promise_vote_and_dismissals() -> None:
    one = acceptor()
    one.dismiss(frozenset("b"))
    one.propose("c", Propose(6, 2, value(4), ("b",)))
    one.lead("c", Lead(6, 5, 2, ("b",)), report_of())
    vote = one.vote(3)
    assert (vote.life, vote.starts, vote.slot) == (1, 3, 6)
    assert (vote.promised, vote.accepted_ballot, vote.accepted) == (5, 2, value(4))
    assert (vote.decision, vote.dismissed) == (decision_of(ABC), ("b",))
    again = acceptor()
    again.restore(vote)
    assert again.dismissed == ("b",), "the next process counts the same majority"


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 8)), max_size=20))
def test_whatever_is_asked_promises_grow_and_votes_are_for_the_highest_ballot_so_far(
    asked: list[tuple[bool, int]],
) -> None:
    one, highest = acceptor(), 0
    for to_vote, ballot in asked:
        answer = offers(one, ballot, step=ballot) if to_vote else asks(one, ballot)
        assert isinstance(answer, Refused) == (ballot < highest)
        highest = max(highest, ballot)
        assert one.promised == highest
        vote = one.vote(0)
        assert vote.accepted_ballot <= highest
        assert vote.accepted is None or vote.accepted.step == vote.accepted_ballot
