"""Going on from a decision: which are taken, and what each means to the step, the stage and the log of changes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from actors.steps import effects, events
from actors.steps.ballots import Accepted, Average, Decided, Decision, Lead, Plan, Promise, Propose, Stuck
from actors.steps.messages import Offer, Want
from actors.steps.view import Voter
from tests.steps.builders import Desk, commit_of, commit_record, decision_of, notes, report_of, sent, voters

ABC = voters(a=0, b=0, c=1)
CHANGE = decision_of(ABC, returns=((9, 3),))
"""Slot 6 is to be decided, in step 3 of era 1."""


def desk_of(me: str = "b", decision: Decision = CHANGE, **changes: Any) -> Desk:
    return Desk(me, decision, **changes)


def kinds(done: list[effects.Effect], *of: type) -> list[effects.Effect]:
    return [effect for effect in done if isinstance(effect, of)]


def next_commit(**changes: Any) -> Decision:
    return commit_of(ABC, **{"slot": 6, "step": 4, "returns": ((9, 3),), **changes})


@pytest.mark.parametrize(
    ("decision", "taken"),
    [
        (next_commit(), True),
        (next_commit(slot=9, step=7), True),
        (next_commit(slot=5), False),
        (next_commit(step=2), False),
        (next_commit(returns=()), False),
        (next_commit(step=2, returns=((9, 3), (3, 2))), True),
        (Decision(6, 3, (), 4, returns=((9, 3),)), False),
        (Decision(6, 3, ABC[::-1], 4, returns=((9, 3),)), False),
        (decision_of(voters(a=0, b=2), slot=6, returns=((9, 3),)), False),
    ],
    ids=["the next", "a later one", "the same slot", "an earlier step", "an earlier era", "a return", "nobody",
         "disorder", "no such stage"],
)  # fmt: skip
def test_a_decision_is_taken_if_it_is_newer_and_can_be(decision: Decision, taken: bool) -> None:
    desk = desk_of()
    desk.hear("x", Decided(decision))
    assert (desk.core.context.decision == decision) is taken


def test_a_commit_is_told_and_the_next_slot_begins() -> None:
    desk = desk_of(me="a")
    desk.now = 12.0
    done = desk.hear("c", Decided(next_commit()))
    assert [effect.record for effect in done if isinstance(effect, effects.Committed)] == [next_commit().record]
    assert desk.core.step == 4 and desk.agreement.slot == 7
    assert desk.core.context.decided_at == 12.0
    assert not kinds(done, effects.Finished)


def test_after_a_commit_speeds_are_those_of_its_record() -> None:
    record = commit_record(3, throughput={"A": 5.0, "C": 7.0, "X": 9.0})
    desk = desk_of()
    desk.hear("c", Decided(next_commit(record=record)))
    router = desk.core.context.router
    assert (router.speed("a"), router.speed("c"), router.measured("x")) == (5.0, 7.0, False)


@pytest.mark.parametrize(
    ("changes", "workers"),
    [
        ({}, "abc"),
        ({"holders": ("a", "c")}, "ac"),
        ({"spares": ("b",)}, "ac"),
        ({"spares": ("c",)}, "abc"),
        ({"record": commit_record(3, sources=["A"])}, "ab"),
        ({"record": commit_record(3, sources=["C"])}, "abc"),
        ({"record": None}, "abc"),
    ],
    ids=["all", "one had no average", "a spare", "a spare alone in its stage", "no corpus", "corpus where it is needed",
         "nothing is known"],
)  # fmt: skip
def test_after_a_commit_its_holders_work_as_far_as_they_can(changes: dict[str, Any], workers: str) -> None:
    desk = desk_of("c")
    desk.hear("a", Decided(next_commit(**changes)))
    assert desk.core.context.workers == set(workers)


def test_a_change_of_view_in_the_same_step_keeps_what_was_counted_and_who_works() -> None:
    desk = desk_of("b", decision_of(voters(a=0, b=0, c=0)), stages=1, works=True)
    desk.hear("a", Plan(6, 0, 1, 3, {"b": (1,)}, {}, ("b", "c"), {}, {}, ()))
    done = desk.hear("c", Decided(decision_of(voters(b=0, c=0), slot=6, view=3)))
    assert not kinds(done, effects.Discard, effects.Committed)
    assert desk.core.context.workers == {"b", "c"}
    ((_, promise),) = sent(desk.hear("c", Lead(7, 0, 3)), Promise)
    assert promise.report.counted == {1: 1.0}


@pytest.mark.parametrize(
    ("decision", "changed"),
    [
        (next_commit(), False),
        (next_commit(assigned={**CHANGE.assigned, "x": (0,)}), True),
        (commit_of(ABC[:2], slot=6, step=4, assigned=CHANGE.assigned, returns=((9, 3),)), True),
        (decision_of(ABC[:2], slot=6, assigned=CHANGE.assigned, returns=((9, 3),)), True),
    ],
    ids=["a commit", "an assignment", "with another view", "of view"],
)
def test_changes_of_members_or_assignments_are_remembered(decision: Decision, changed: bool) -> None:
    """Nobody moves to another stage for a while after one."""
    desk = desk_of()
    assert (desk.core.context.changed_step, desk.core.context.changed_at) == (3, 0.0)
    desk.now = 50.0
    desk.hear("c", Decided(decision))
    after = (decision.step, 50.0) if changed else (3, 0.0)
    assert (desk.core.context.changed_step, desk.core.context.changed_at) == after


def test_a_new_view_is_described_and_the_first_one_is_not() -> None:
    after = decision_of((*ABC[:2], Voter("x", 1, "X", 1)), slot=6, view=3, returns=((9, 3),))
    assert notes(desk_of().hear("c", Decided(after)), "view") == ["view 3 of 3 members: without C and with X"]
    assert notes(desk_of().hear("c", Decided(next_commit())), "view") == []
    second = desk_of(decision=decision_of(ABC, slot=2, step=0, view=1))
    assert notes(second.hear("c", Decided(decision_of(ABC[1:], slot=3, step=0, view=2))), "view")
    beginning = desk_of(decision=decision_of(ABC, slot=0, step=0, view=0))
    assert notes(beginning.hear("c", Decided(decision_of(ABC, slot=1, step=0, view=1))), "view") == []


def test_the_closing_decision_ends_the_run_and_nothing_is_awaited_any_more() -> None:
    desk = desk_of(me="a", steps=4)
    desk.hear("c", Decided(next_commit()))
    done = desk.hear("c", Decided(next_commit(slot=7, finished=True)))
    assert kinds(done, effects.Finished) and desk.core.finished
    assert desk.core.next_deadline() is None
    assert desk.hear("c", Decided(next_commit(slot=8, step=5))) == [], "no decision follows on it"


def test_a_return_gives_up_what_was_under_way() -> None:
    desk = desk_of("b", decision_of(voters(a=0, b=0, c=0)), stages=1, works=True, in_flight=1)
    desk.hear("a", Plan(6, 0, 1, 3, {"b": (1,)}, {}, ("b", "c"), {}, {}, ()))
    desk.works = False
    desk.hear("a", Plan(6, 0, 2, 3, {"b": (0, 2)}, {}, ("b", "c"), {}, {}, ()))
    desk.now = 8.0
    done = desk.hear("c", Decided(decision_of(voters(a=0, b=0, c=0), slot=6, step=2, returns=((3, 2),))))
    assert notes(done, "returned") == ["the run gives up step 3 and returns to commit 2: 1 steps are trained again"]
    context = desk.core.context
    assert (context.workers, context.plan, context.drivers) == (frozenset(), (0, 0, 0), {})
    assert context.decided_at == 8.0
    ((_, promise),) = sent(desk.hear("b", Lead(7, 0, 2)) or desk.hear("c", Lead(7, 1, 2)), Promise)
    assert (promise.report.counted, promise.report.driving, promise.report.era) == ({}, (), 1)


def test_who_hears_of_the_run_for_the_first_time_gives_nothing_up() -> None:
    done = Desk("x", None, held=-1).hear("a", Decided(CHANGE))
    assert notes(done, "returned") == []


def test_a_return_breaks_averaging_off_also_where_it_gives_up_no_step() -> None:
    desk = desk_of("c", decision_of(voters(a=0, b=0, c=0)), stages=1)
    desk.exports = False
    desk.hear("a", Average(6, 0, 2, 3, {0: ("b", "c")}, {"b": (0, 1, 2, 3), "c": ()}))
    desk.hear("a", Decided(decision_of(voters(a=0, b=0, c=0), slot=6, returns=((3, 3),))))
    exported = events.GradientExported(3, 1, np.ones(4, np.float32), frozenset())
    assert desk.give(exported) == [] and desk.wait(1.0) == []


def test_after_a_commit_plans_of_the_step_before_bind_nobody() -> None:
    desk = desk_of("b", decision_of(voters(a=0, b=0, c=0)), stages=1)
    desk.hear("a", Plan(6, 0, 1, 3, {"b": (1,)}, {}, ("b", "c"), {}, {}, ()))
    assert desk.core.context.plan == (6, 0, 1) and desk.core.context.drivers == {1: "b"}
    desk.hear("c", Decided(commit_of(voters(a=0, b=0, c=0), slot=7, step=4)))
    assert (desk.core.context.plan, desk.core.context.drivers) == ((0, 0, 0), {})
    ((_, promise),) = sent(desk.hear("c", Lead(8, 0, 2)), Promise)
    assert promise.report.driving == ()


@pytest.mark.parametrize("step", [3, 4], ids=["change of view", "commit"])
def test_after_a_decision_an_average_that_did_not_come_about_is_not_waited_for(step: int) -> None:
    desk = desk_of("c", decision_of(voters(a=0, b=0, c=0)), stages=1)
    desk.hear("a", Average(6, 0, 2, 3, {0: ("b", "c")}, {"b": (0, 1, 2, 3), "c": ()}))
    desk.hear("a", Decided(commit_of(voters(a=0, b=0, c=0), slot=6, step=step, holders=("b",))))
    assert not sent(desk.wait(200.0), Stuck)


@pytest.mark.parametrize("commit", [True, False])
def test_after_a_commit_its_holders_need_no_state_any_more_and_after_a_change_of_view_they_may(commit: bool) -> None:
    """b has asked c for the state of commit 3, which c's shards are about to hand out."""
    members = voters(a=0, b=0, c=0)
    desk = desk_of("c", decision_of(members), stages=1)
    assert kinds(desk.hear("b", Want(-1, 0)), effects.ExportState)
    after = commit_of(members, slot=6, step=3) if commit else decision_of(members, slot=6, holders=("a", "b", "c"))
    desk.hear("a", Decided(after))
    done = desk.give(events.StateExported(3, np.ones(5, np.float32), "p"))
    assert bool(sent(done, Offer)) is not commit


@pytest.mark.parametrize(
    ("stored", "known"), [((1, 4), (1, 4)), ((1, 2), (1, 3)), ((0, 9), (1, 3)), ((1, 7), (1, 3))], ids=str
)
def test_the_newest_checkpoint_that_a_decision_names_is_remembered_if_it_can_be(
    stored: tuple[int, int], known: tuple[int, int]
) -> None:
    """In step 4 of era 1: of commit 5 at most, and of history 1 as 4 is beyond the return to 3."""
    desk = desk_of(decision=decision_of(ABC, returns=((9, 1),)))
    desk.core.context.stored = (1, 3)
    desk.hear("c", Decided(commit_of(ABC, slot=6, step=4, returns=((9, 1),), stored=stored)))
    assert desk.core.context.stored == known


def test_who_is_given_another_stage_serves_it() -> None:
    moved = decision_of(ABC[1:], slot=6, returns=((9, 3),), assigned={"a": (0, 1), "b": (0,), "c": (1,)})
    desk = desk_of("a")
    done = desk.hear("c", Decided(moved))
    assert kinds(done, effects.Serve) == [effects.Serve(1)]
    assert desk.core.context.me.stage == 1 and desk.core.commit == -1
    assert not kinds(desk_of("b").hear("c", Decided(moved)), effects.Serve)


def test_a_proposal_that_a_majority_has_accepted_is_taken_like_any_other() -> None:
    desk = desk_of("a", CHANGE, held=-1)
    done = desk.lose("b")
    ((_, proposal),) = sent(done, Propose) or sent(desk.hear("c", Promise(6, 0, -1, None, report_of(era=1))), Propose)
    desk.hear("c", Accepted(6, 0, 1))
    assert desk.core.context.decision == proposal.decision
    assert [m.peer_id for m in desk.core.context.view.members] == ["a", "c"]
