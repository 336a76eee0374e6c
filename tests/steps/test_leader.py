"""Leading a slot that goes well: gather promises, plan, average, propose, decide. What each phase waits for."""

from __future__ import annotations

from typing import Any

import pytest

from actors.steps.ballots import Accepted, Average, Beat, Decided, Lead, Plan, Prepared, Promise, Propose
from actors.steps.effects import Committed, KeepVote
from actors.steps.messages import Done, Purpose
from tests.steps.builders import (
    Desk,
    commit_of,
    decision_of,
    lead,
    leading,
    notes,
    prepared_of,
    report_of,
    sent,
    voters,
)

ABC = voters(a=0, b=0, c=0)
CHANGE = decision_of(ABC)
"""Slot 6 follows on a change of view, so a, who leads it, asks what members hold."""


def done(index: int, *route: str, stamp: int = 3, loss: float = 1.0) -> Done:
    return Done(stamp, index, Purpose.TRAIN, loss, route)


def counted(desk: Desk, b: tuple[int, ...] = (0, 1), c: tuple[int, ...] = (2, 3)) -> list[Any]:
    """All microbatches come through these."""
    effects = []
    for peer, indices in (("b", b), ("c", c)):
        for index in indices:
            effects += desk.hear(peer, done(index, peer, loss=float(index)))
    return effects


def test_a_leader_asks_all_and_plans_when_all_who_can_be_reached_have_answered() -> None:
    desk = Desk("a", CHANGE, held=-1, stages=1)
    assert sent(desk.begun, Lead) == [("b", Lead(6, 0, 2)), ("c", Lead(6, 0, 2))]
    assert not sent(lead(desk, {"b": report_of()}), Plan), "c has not answered, although two are a majority"
    plans = sent(lead(desk, {"c": report_of()}), Plan)
    assert [to for to, _ in plans] == ["b", "c"]
    assert (plans[0][1].workers, plans[0][1].train) == (("b", "c"), {"b": (0, 2), "c": (1, 3)})


def test_after_two_beats_a_majority_is_enough() -> None:
    desk = Desk("a", CHANGE, held=-1, stages=1, beat_s=4.0)
    lead(desk, {"b": report_of()})
    assert not sent(desk.wait(7.9), Plan)
    ((_, plan), _) = sent(desk.wait(0.1), Plan)
    assert plan.workers == ("b",)


def test_without_a_majority_it_asks_again_with_every_beat_and_says_who_is_there() -> None:
    desk = Desk("a", CHANGE, held=-1, stages=1)
    effects = desk.wait(2.0)
    assert [to for to, _ in sent(effects, Lead)] == ["b", "c", "b", "c"]
    assert notes(effects, "paused") == ["step 3 pauses: only 1 of 3 members answer"]
    assert notes(desk.wait(2.0), "paused") == [], "said once"
    assert not sent(lead(desk, {"b": report_of()}), Plan), "c may answer, too"
    assert sent(desk.wait(2.0), Plan), "but is waited for no longer than before"


def test_a_promise_of_another_life_is_no_answer() -> None:
    desk = Desk("a", CHANGE, held=-1, stages=1)
    assert not sent(lead(desk, {"b": report_of(life=2), "c": report_of()}), Plan)
    assert sent(lead(desk, {"b": report_of()}), Plan)


def test_the_loss_of_one_does_not_end_the_wait_for_another() -> None:
    desk = Desk("a", decision_of(voters(a=0, b=0, c=0, d=0, e=0), slot=4), held=-1, stages=1)
    lead(desk, {"b": report_of(), "c": report_of()})
    assert not sent(desk.lose("e", gone=False), Plan), "three of five have promised, and d may yet"
    assert sent(desk.lose("d", gone=False), Plan)


def test_whom_the_leader_loses_meanwhile_it_does_not_wait_for() -> None:
    desk = Desk("a", CHANGE, held=-1, stages=1)
    lead(desk, {"b": report_of()})
    ((_, plan),) = sent(desk.lose("c", gone=False), Plan)
    assert plan.workers == ("b",)


@pytest.mark.parametrize(("members", "asks"), [("abc", False), ("ab", True)])
def test_right_after_a_commit_nobody_is_asked_as_the_decision_says_what_is_held(members: str, asks: bool) -> None:
    """Where no member of stage 1 held the average, nobody serves it: all are asked with the beat."""
    decision = commit_of(voters(a=0, b=0, c=1), holders=tuple(members[1:]))
    desk = Desk("a", decision, held=-1)
    assert not sent(desk.begun, Lead)
    assert bool(sent(desk.begun, Plan)) is not asks
    ((_, beat), _) = sent(desk.wait(1.0), Beat)
    assert (beat.number, beat.asks, beat.resigns) == (0 if asks else 1, asks, False)


def test_an_accepted_decision_is_proposed_again_before_anything_else() -> None:
    desk = Desk("b", CHANGE, held=-1, stages=1)
    desk.lose("a")  # so that b leads with ballot 1, and would put a out
    accepted = decision_of(ABC, slot=6, step=4)
    effects = desk.hear("c", Promise(6, 1, 0, accepted, report_of()))
    assert [message for _, message in sent(effects, Propose)] == [Propose(6, 1, accepted)]
    assert notes(effects, "adopted") == ["B proposes again what was proposed for slot 6"]
    assert not sent(effects, Plan)


def test_the_average_is_called_for_when_every_microbatch_has_come_through() -> None:
    desk = leading(CHANGE, "bc", stages=1)
    effects = counted(desk, c=(2,))
    assert not sent(effects, Average)
    effects = desk.hear("c", done(3, "c"))
    assert [to for to, _ in sent(effects, Average)] == ["b", "c"]
    order = sent(effects, Average)[0][1]
    assert (order.slot, order.ballot, order.number, order.step) == (6, 0, 2, 3)
    assert (order.groups, order.counted) == ({0: ("b", "c")}, {"b": (0, 1), "c": (2, 3)})


@pytest.mark.parametrize("stamp", [2, 4])
def test_news_of_other_steps_count_nothing(stamp: int) -> None:
    desk = leading(CHANGE, "bc", stages=1)
    for index in range(4):
        assert not sent(desk.hear("b", done(index, "b", stamp=stamp)), Average)


def test_validation_is_awaited_before_the_average() -> None:
    desk = leading(CHANGE, "bc", stages=1, validate_every=1, validation_microbatches=1)
    assert not sent(counted(desk), Average)
    assert sent(desk.hear("b", Done(3, 0, Purpose.VALIDATE, 2.0, ("b",))), Average)


def prepared(peer: str, **changes: Any) -> Prepared:
    return prepared_of({"b": (0, 1), "c": (2, 3)}[peer], **changes)


def test_the_commit_is_proposed_when_all_have_prepared_and_decided_by_a_majority() -> None:
    """The leader's own vote and one more of three; everybody else is told."""
    desk = leading(CHANGE, "bc", stages=1, clip=1.0)
    counted(desk)
    assert not sent(desk.hear("b", prepared("b", squares=4.0)), Propose)
    effects = desk.hear("c", prepared("c", squares=4.0))
    ((_, proposal), _) = sent(effects, Propose)
    decision = proposal.decision
    assert (decision.step, decision.averages, decision.holders) == (4, {0: "avg"}, ("b", "c"))
    assert decision.record is not None and decision.record.counted == {"B": [0, 1], "C": [2, 3]}
    assert (decision.record.loss, decision.record.grad_norm) == (1.5, 2.0)  # of 0, 1, 2 and 3
    assert decision.clip_factor == pytest.approx(0.5, rel=1e-5)
    effects = desk.hear("c", Accepted(6, 0, 1))
    assert sent(effects, Decided) == [("b", Decided(decision)), ("c", Decided(decision))]
    assert any(isinstance(effect, Committed) and effect.record == decision.record for effect in effects)
    assert not any(isinstance(effect, KeepVote) for effect in effects)
    assert desk.agreement.slot == 7 and desk.agreement.leader.peer_id == "b"


def test_one_vote_of_three_decides_nothing() -> None:
    desk = leading(CHANGE, "bc", stages=1)
    counted(desk)
    desk.hear("b", prepared("b"))
    effects = desk.hear("c", prepared("c"))
    effects += desk.hear("x", Accepted(6, 0, 1)) + desk.hear("c", Accepted(6, 0, 2)) + desk.hear("c", Accepted(6, 3, 1))
    assert not sent(effects, Decided) and desk.agreement.slot == 6


@pytest.mark.parametrize(
    "changes",
    [{"at": (6, 0, 1)}, {"at": (6, 3, 2)}, {"at": (5, 0, 2)}, {"squares": -1.0}],
    ids=["an earlier order", "another ballot", "another slot", "no sum of squares"],
)
def test_a_report_that_is_not_of_this_round_or_none_at_all_does_not_count(changes: dict[str, Any]) -> None:
    desk = leading(CHANGE, "bc", stages=1)
    counted(desk)
    desk.hear("b", prepared("b"))
    assert not sent(desk.hear("c", prepared("c", **changes)), Propose)
    assert sent(desk.hear("c", prepared("c")), Propose)


def test_who_does_not_average_has_no_part_in_the_record() -> None:
    """The commit record is by names, and kept by all: it tells of those who have done the step."""
    desk = leading(CHANGE, "bc", stages=1)
    counted(desk)
    desk.hear("b", prepared("b"))
    assert not desk.hear("x", prepared("c"))
    ((_, proposal), _) = sent(desk.hear("c", prepared("c")), Propose)
    record = proposal.decision.record
    assert record is not None and record.hashes.keys() == record.counted.keys() == {"B", "C"}


def test_reports_before_the_average_is_called_for_count_nothing() -> None:
    desk = leading(CHANGE, "bc", stages=1)
    desk.hear("b", prepared("b"))
    desk.hear("c", prepared("c"))
    assert sent(counted(desk), Average)


def test_every_beat_says_the_number_of_the_last_order() -> None:
    desk = leading(CHANGE, "bc", stages=1)
    assert sent(desk.wait(1.0), Beat) == [(peer, Beat(6, 0, 1, asks=False, resigns=False)) for peer in "bc"]
    counted(desk)
    assert sent(desk.wait(1.0), Beat)[0][1].number == 2


def test_what_is_voted_on_is_said_again_with_every_beat_in_place_of_it() -> None:
    desk = leading(CHANGE, "bc", stages=1)
    counted(desk)
    desk.hear("b", prepared("b"))
    desk.hear("c", prepared("c"))
    effects = desk.wait(1.0)
    assert [to for to, _ in sent(effects, Propose)] == ["b", "c"] and not sent(effects, Beat)


def test_while_a_change_of_view_is_voted_on_nothing_else_is_ordered() -> None:
    desk = leading(decision_of(voters(a=0, b=0, c=0, d=0), slot=7), "bcd", stages=1)
    effects = desk.lose("d")
    assert sent(effects, Propose)
    effects = counted(desk)
    assert not sent(effects, Average) and not sent(effects, Plan)
    assert sent(desk.wait(1.0), Propose)


def test_who_lost_its_vote_leads_no_more() -> None:
    desk = leading(CHANGE, "bc", stages=1)
    desk.hear("b", Decided(decision_of(ABC[1:], slot=6, view=3)))
    assert not sent(desk.wait(3.0), Beat)


def test_who_does_not_lead_says_nothing() -> None:
    desk = Desk("b", CHANGE, held=-1, stages=1)
    assert not sent(desk.begun, Lead)
    assert not sent(desk.wait(5.0), Beat)


def test_who_obeys_a_higher_ballot_stops_leading() -> None:
    desk = leading(CHANGE, "bc", stages=1)
    desk.hear("b", Beat(6, 1, 0, asks=False))
    assert not sent(counted(desk), Average) and not sent(desk.wait(3.0), Beat)


def test_in_view_0_all_must_answer_and_the_first_decision_names_their_lives() -> None:
    first = decision_of(voters(a=0, b=0, c=0), slot=2, view=0, step=0, assigned={})
    desk = Desk("a", first, held=-1, stages=1)
    lead(desk, {"b": report_of(0, life=4)})
    assert not sent(desk.wait(10.0), Propose), "c has not answered"
    ((_, proposal), _) = sent(lead(desk, {"c": report_of(0, life=7)}), Propose)
    assert [(m.peer_id, m.life) for m in proposal.decision.members] == [("a", 1), ("b", 4), ("c", 7)]
    assert (proposal.decision.view_number, proposal.decision.assigned) == (1, {"a": (0,), "b": (0,), "c": (0,)})
    desk.hear("b", Accepted(3, 0, 4))
    assert sent(desk.hear("c", Accepted(3, 0, 7)), Decided), "and all must vote"
