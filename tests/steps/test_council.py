"""Messages about a slot: those of this one count, those of earlier ones are answered, those of later ones are kept."""

from __future__ import annotations

from typing import Any

import pytest

from actors.steps import ballots, events
from actors.steps.ballots import Accepted, Beat, Decided, Decision, Fetch, Holding, Lead, Promise, Propose, Refused
from tests.steps.builders import (
    Desk,
    commit_of,
    decision_of,
    enlist_of,
    join_of,
    leading,
    notes,
    prepared_of,
    report_of,
    sent,
    voters,
)

ABC = voters(a=0, b=0, c=0)
LOG = {"a": (0,), "b": (0,), "c": (0,), "x": (1, 0)}
CHANGE = decision_of(ABC, assigned=LOG, returns=((9, 3),))
"""Slot 6 is to be decided, in step 3 of era 1; ballot 0 is a's, 1 is b's, 2 is c's."""


def desk_of(me: str = "b", **changes: Any) -> Desk:
    return Desk(me, CHANGE, **{"stages": 1, **changes})


# Other slots


@pytest.mark.parametrize(
    "message",
    [Lead(5, 2, 2), Propose(5, 2, CHANGE), Beat(4, 2, 0, asks=False), Holding(5, 2, report_of()), ballots.Again(5, 0)],
    ids=["lead", "propose", "beat", "holding", "again"],
)
def test_who_speaks_of_a_slot_that_is_decided_is_told_the_newest_decision(message: object) -> None:
    effects = desk_of().hear("c", message)
    assert sent(effects, Decided) == [("c", Decided(CHANGE))]
    assert not sent(effects, Promise) and not sent(effects, Accepted)


@pytest.mark.parametrize(
    "message",
    [Accepted(5, 0, 1), Promise(5, 0, -1, None, report_of()), prepared_of(at=(5, 0, 1)), Refused(5, 2)],
    ids=["accepted", "promise", "prepared", "refused"],
)
def test_late_answers_of_a_slot_that_is_decided_need_none(message: object) -> None:
    assert desk_of("a").hear("c", message) == []


def test_what_is_about_a_later_slot_waits_for_its_turn_and_who_leads_it_is_asked_what_was_decided() -> None:
    desk = desk_of("a")
    lead = Lead(7, 1, 2)  # slot 7: ballot 1 is c's
    assert sent(desk.hear("c", lead), Fetch) == [("c", Fetch(5))]
    assert sent(desk.hear("c", Beat(7, 1, 0, asks=False)), Fetch) == [("c", Fetch(5))]
    assert desk.hear("b", Holding(7, 1, report_of())) == [], "who does not lead need not be asked"
    effects = desk.hear("b", Decided(decision_of(ABC, slot=6, assigned=LOG, returns=((9, 3),))))
    assert [(to, message.ballot) for to, message in sent(effects, Promise)] == [("c", 1)]


@pytest.mark.parametrize(("slot", "told"), [(4, True), (5, False), (6, False)])
def test_who_asks_what_came_after_a_slot_is_told_if_anything_did(slot: int, told: bool) -> None:
    assert bool(sent(desk_of().hear("x", Fetch(slot)), Decided)) is told


@pytest.mark.parametrize("message", [join_of("x", 0, slot=4), enlist_of("x", slot=4), ballots.Depart(4, 1)])
def test_who_asks_for_something_as_of_an_earlier_slot_is_told_the_decision_and_heard_all_the_same(
    message: object,
) -> None:
    assert sent(desk_of().hear("x", message), Decided) == [("x", Decided(CHANGE))]


# Proposals


def proposal(**changes: Any) -> Decision:
    values: dict[str, Any] = {"assigned": LOG, "returns": ((9, 3),), **changes}
    return decision_of(ABC, slot=6, view=3, **values)


@pytest.mark.parametrize("step", [3, 4])
def test_a_proposal_that_goes_on_from_what_is_known_gets_a_vote(step: int) -> None:
    effects = desk_of().hear("a", Propose(6, 0, proposal(step=step)))
    assert sent(effects, Accepted) == [("a", Accepted(6, 0, 1))]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"step": 5}, "step 5 cannot follow on step 3"),
        ({"step": 2}, "step 2 cannot follow on step 3"),
        ({"returns": ()}, "the returns so far would be forgotten"),
        ({"returns": ((9, 3), (3, 2))}, "a return from step 3 to commit 3 that says something else"),
        ({"assigned": {**LOG, "x": (0,)}}, "the assignments of peer x would be forgotten"),
        ({"assigned": {**LOG, "x": (1, 0, 1)}}, "more of the model than one may"),
    ],
    ids=["skips a step", "goes back", "forgets returns", "a wrong return", "forgets assignments", "beyond the share"],
)
def test_a_proposal_that_nobody_may_make_gets_no_vote_and_no_promise(changes: dict[str, Any], why: str) -> None:
    desk = desk_of(stages=2, max_share=0.4)
    effects = desk.hear("a", Propose(6, 0, proposal(**changes)))
    assert not sent(effects, Accepted) and not desk.agreement.bound
    (said,) = notes(effects, "refused")
    assert said.startswith("a proposal of A (stage 0): ") and why in said


def test_a_proposal_of_somebody_who_does_not_own_the_ballot_gets_no_vote() -> None:
    effects = desk_of().hear("c", Propose(6, 0, proposal()))
    assert not sent(effects, Accepted) and not sent(effects, Refused)


def test_a_lower_ballot_is_refused_with_the_one_that_was_promised() -> None:
    desk = desk_of()
    desk.hear("c", Lead(6, 2, 2))
    assert sent(desk.hear("a", Propose(6, 0, proposal())), Refused) == [("a", Refused(6, 2))]
    assert sent(desk.hear("a", Lead(6, 0, 2)), Refused) == [("a", Refused(6, 2))]


# Orders, and others


def test_orders_of_those_who_do_not_lead_are_ignored() -> None:
    desk = desk_of()
    desk.hear("c", Lead(6, 2, 2))
    for sender, ballot in (("a", 0), ("c", 1)):
        assert desk.hear(sender, Beat(6, ballot, 5, asks=True)) == []
    assert sent(desk.hear("c", Beat(6, 2, 5, asks=False)), ballots.Again) == [("c", ballots.Again(6, 2))]


def test_after_the_end_nobody_is_promised_anything_but_all_are_told_how_it_ended() -> None:
    desk = Desk("b", commit_of(ABC, step=100, finished=True), stages=1)
    assert desk.core.finished
    assert desk.hear("c", Lead(6, 2, 2)) == []
    assert [to for to, _ in sent(desk.hear("x", join_of("x", 0, slot=4)), Decided)] == ["x"]
    assert [to for to, _ in sent(desk.hear("c", Beat(4, 0, 0, asks=False)), Decided)] == ["c"]


def test_the_life_that_a_joiner_names_is_that_of_the_newest_process() -> None:
    """Whose vote is lost: of two that are left of three no more than one may be lost."""
    desk = desk_of("a")
    effects = desk.hear("b", join_of("b", 0, life=2)) + desk.hear("c", join_of("c", 0, life=3))
    assert "1 of 3 votes can be had, and 2 must agree" in notes(effects, "paused")[0]
    desk.hear("b", join_of("b", 0, life=1))
    assert desk.core.context.lives == {"b": 2, "c": 3}, "a late word of an earlier process changes nothing"


def test_a_vouch_and_a_request_reach_the_leader() -> None:
    decision = decision_of(ABC, assigned={**LOG, "x": (0,)})
    desk = leading(decision, "bc", stages=1)
    desk.give(events.PeerUp("x"))
    desk.hear("x", join_of("x", 0))
    ((_, first), _) = sent(desk.hear("b", ballots.Vouch(6, 0, "x", 1, 3)), Propose)
    assert first.decision.view.member("x") is not None
