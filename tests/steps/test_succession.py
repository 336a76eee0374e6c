"""Who leads when the leader does not: ballots in turn, at once after a death, after ten beats of silence otherwise."""

from __future__ import annotations

from typing import Any

import pytest

from actors.steps import ballots
from actors.steps.ballots import Beat, Lead, Plan, Promise, Propose
from tests.steps.builders import (
    Desk,
    decision_of,
    join_of,
    lead,
    leading,
    notes,
    report_of,
    sent,
    voters,
)

ABCD = voters(a=0, b=0, c=0, d=0)
CHANGE = decision_of(ABCD, slot=7)
"""Slot 8: ballot 0 is a's, 1 is b's, 2 is c's, 3 is d's, 4 is a's again. A beat takes one second."""


def desk_of(me: str, **changes: Any) -> Desk:
    return Desk(me, CHANGE, held=-1, stages=1, **changes)


def ballot_of(effects: list[Any]) -> int | None:
    """Of what is asked for now."""
    found = {message.ballot for _, message in sent(effects, Lead)}
    assert len(found) <= 1
    return min(found, default=None)


def test_the_next_in_turn_takes_over_at_once_when_the_leader_is_held_dead() -> None:
    desk = desk_of("b")
    effects = desk.lose("a")
    assert ballot_of(effects) == 1
    assert notes(effects, "leader") == ["B leads step 3 from now on (ballot 1)"]


def test_who_has_taken_over_goes_on_asking_until_it_is_answered() -> None:
    desk = desk_of("b")
    desk.lose("a")
    assert ballot_of(desk.wait(15.0)) == 1
    assert desk.agreement.promised == 1


def test_the_leader_goes_on_asking_until_it_is_answered() -> None:
    assert ballot_of(desk_of("a").wait(15.0)) == 0


def test_the_one_after_it_waits_two_beats_for_the_next_in_turn() -> None:
    desk = desk_of("c")
    assert ballot_of(desk.lose("a")) is None
    assert ballot_of(desk.wait(1.9)) is None
    assert ballot_of(desk.wait(0.1)) == 2


def test_the_dead_are_passed_over() -> None:
    desk = desk_of("d")
    desk.lose("b")
    assert ballot_of(desk.lose("c")) is None, "the leader is there"
    assert notes(desk.lose("a"), "leader") == ["D leads step 3 from now on (ballot 3)"]


def test_each_in_turn_is_given_two_beats() -> None:
    desk = desk_of("d")
    desk.lose("a")
    assert ballot_of(desk.wait(3.9)) is None, "b for two, then c for two"
    assert ballot_of(desk.wait(0.1)) == 3


def test_a_leader_that_is_merely_out_of_reach_is_given_ten_beats_as_others_may_reach_it() -> None:
    desk = desk_of("b")
    assert ballot_of(desk.lose("a", gone=False)) is None
    assert ballot_of(desk.wait(9.9)) is None
    assert ballot_of(desk.wait(0.1)) == 1


@pytest.mark.parametrize(
    "word",
    [
        Beat(8, 0, 0, asks=False),
        Lead(8, 0, 2),
        Plan(8, 0, 1, 3, {}, {}, (), {}, {}, ()),
        Propose(8, 0, decision_of(ABCD, slot=8)),
    ],
    ids=["beat", "lead", "plan", "propose"],
)
def test_every_word_of_the_leader_gives_it_ten_beats_more(word: object) -> None:
    desk = desk_of("b")
    desk.wait(9.0)
    desk.hear("a", word)
    assert ballot_of(desk.wait(9.9)) is None
    assert ballot_of(desk.wait(0.1)) == 1


@pytest.mark.parametrize("beat_s", [0.5, 4.0])
def test_all_this_is_measured_in_beats(beat_s: float) -> None:
    """Ten for a leader, two for each who should take over, ten for one that resigned after four."""
    desk = desk_of("c", beat_s=beat_s)
    assert ballot_of(desk.wait(11.9 * beat_s)) is None
    assert ballot_of(desk.wait(0.1 * beat_s)) == 2
    desk = leading(decision_of(voters(a=0, b=0, c=0, d=1), slot=7), "bcd", beat_s=beat_s)
    desk.lose("d", gone=False)
    assert notes(desk.wait(4.0 * beat_s), "resigned")
    assert ballot_of(desk.wait(13.9 * beat_s)) is None
    assert ballot_of(desk.wait(0.1 * beat_s)) == 4


def test_words_of_those_who_do_not_lead_give_it_no_more_time() -> None:
    desk = desk_of("b")
    desk.wait(9.0)
    desk.hear("c", Beat(8, 0, 0, asks=False))
    desk.hear("d", ballots.Accepted(8, 0, 1))
    assert ballot_of(desk.wait(1.0)) == 1


def test_a_candidate_that_is_refused_gives_the_leader_no_more_time() -> None:
    desk = desk_of("d")
    desk.hear("c", Lead(8, 2, 2))
    desk.wait(9.0)
    desk.hear("b", Lead(8, 1, 2))
    assert ballot_of(desk.wait(0.9)) is None
    assert ballot_of(desk.wait(0.1)) == 3


def test_a_leader_that_resigns_is_replaced_at_once() -> None:
    assert ballot_of(desk_of("b").hear("a", Beat(8, 0, 0, asks=True, resigns=True))) == 1
    desk = desk_of("c")
    assert ballot_of(desk.hear("a", Beat(8, 0, 0, asks=True, resigns=True))) is None
    assert ballot_of(desk.wait(2.0)) == 2


def test_a_leader_that_comes_back_as_another_life_is_replaced_at_once() -> None:
    desk = desk_of("b")
    assert ballot_of(desk.hear("a", join_of("a", 0, slot=7))) is None, "the very life that has the vote"
    assert ballot_of(desk.hear("a", join_of("a", 0, slot=7, life=2))) == 1


def test_members_that_are_back_as_another_life_are_passed_over() -> None:
    desk = desk_of("c")
    desk.hear("b", join_of("b", 0, slot=7, life=2))
    assert ballot_of(desk.lose("a")) == 2


def test_a_member_that_promises_somebody_else_watches_that_one() -> None:
    desk = desk_of("d")
    assert sent(desk.hear("b", Lead(8, 1, 2)), Promise)
    assert ballot_of(desk.lose("a")) is None, "a does not lead any more"
    assert ballot_of(desk.wait(9.9)) is None
    assert ballot_of(desk.lose("c")) is None
    assert ballot_of(desk.wait(0.1)) == 3, "b was silent for ten beats, and c is dead"


def test_a_refusal_names_whom_to_watch() -> None:
    desk = desk_of("b")
    desk.lose("a")
    desk.hear("c", ballots.Refused(8, 3))
    assert ballot_of(desk.wait(9.9)) is None, "d is given ten beats"
    assert ballot_of(desk.wait(0.1)) == 5, "4 would be a's, which is dead"


def test_who_resigned_leaves_the_lead_to_others_for_ten_beats() -> None:
    """It resigns after four; b and c are silent for two each, d cannot be reached: then it waits for ten itself."""
    desk = leading(decision_of(voters(a=0, b=0, c=0, d=1), slot=7), "bcd")
    desk.lose("d", gone=False)
    assert notes(desk.wait(4.0), "resigned")
    assert ballot_of(desk.wait(13.9)) is None
    assert ballot_of(desk.wait(0.1)) == 4


def test_a_new_slot_begins_with_its_own_leader() -> None:
    desk = desk_of("b")
    desk.lose("a")
    effects = desk.hear("c", ballots.Decided(decision_of(ABCD, slot=8)))
    assert ballot_of(effects) == 0, "slot 9 is b's from the beginning"
    before = desk_of("b")
    before.wait(5.0)
    before.hear("a", ballots.Decided(decision_of(ABCD, slot=8)))
    assert ballot_of(before.wait(20.0)) == 0, "that it waited for a before is over"
    other = desk_of("c")
    other.lose("b")
    assert ballot_of(other.hear("a", ballots.Decided(decision_of(ABCD, slot=8)))) == 1, (
        "b is held dead already, so c leads slot 9 at once"
    )


def test_in_view_0_a_leader_that_is_held_dead_is_waited_for() -> None:
    """Its only decision needs everybody."""
    first = decision_of(ABCD, slot=7, view=0)
    desk = Desk("b", first, held=-1, stages=1)
    assert ballot_of(desk.lose("a")) is None
    assert ballot_of(desk.wait(10.0)) == 1


@pytest.mark.parametrize("me", ["x", "b"])
def test_who_has_no_vote_leads_nothing(me: str) -> None:
    desk = Desk(me, CHANGE, up="abcd", held=-1, stages=1, life=2)
    assert ballot_of(desk.lose("a") + desk.wait(30.0)) is None


def test_the_leader_does_not_wait_for_itself() -> None:
    desk = desk_of("a")
    lead(desk, {peer: report_of() for peer in "bcd"})
    effects = desk.wait(30.0)
    assert {message.ballot for _, message in sent(effects, Beat)} == {0}
    assert ballot_of(effects) is None
