"""A slot begins: lead it, follow, or ask to be let in; who is behind says so, and who is about to be there does not."""

from __future__ import annotations

from typing import Any

import pytest

from actors.steps import effects, events
from actors.steps.ballots import Average, Beat, Decided, Decision, Holding, Join, Lead, Plan, Prepared
from tests.steps.builders import Desk, commit_of, decision_of, notes, sent, voters

ABC = voters(a=0, b=0, c=0)


def averaged(applies: bool = True) -> tuple[Desk, str]:
    """c alone averages the step, and has prepared; returns the hash of its average."""
    desk = Desk("c", decision_of(ABC), stages=1, microbatches=1, works=True)
    desk.applies = applies
    desk.hear("a", Plan(6, 0, 1, 3, {"c": (0,)}, {}, ("c",), {}, {}, ()))
    done = desk.hear("a", Average(6, 0, 2, 3, {0: ("c",)}, {"c": (0,)}))
    ((to, prepared),) = sent(done, Prepared)
    assert (to, prepared.counted, prepared.number) == ("a", (0,), 2)
    return desk, prepared.average_hash


def commit(average: str, **changes: Any) -> Decision:
    return commit_of(ABC, **{"slot": 6, "step": 4, "averages": {0: average}, "holders": ("c",), **changes})


def test_who_has_the_decided_average_applies_it_with_the_decided_factor_and_is_not_behind() -> None:
    desk, average = averaged()
    done = desk.hear("b", Decided(commit(average, clip_factor=0.25)))
    (update,) = [effect for effect in done if isinstance(effect, effects.ApplyUpdate)]
    assert (update.step, update.clip_factor) == (3, 0.25)
    assert not sent(done, Holding)
    assert desk.core.commit == 4


def test_while_the_update_is_under_way_it_says_nothing_as_it_will_be_there_in_a_moment() -> None:
    desk, average = averaged(applies=False)
    done = desk.hear("b", Decided(commit(average)))
    assert not sent(done, Holding)
    assert desk.core.commit == 3


def test_another_average_than_the_decided_one_is_not_applied_and_its_holder_says_that_it_is_behind() -> None:
    desk, _ = averaged()
    done = desk.hear("a", Decided(commit("another")))
    assert not [effect for effect in done if isinstance(effect, effects.ApplyUpdate)]
    assert [effect for effect in done if isinstance(effect, effects.Discard)], "what was counted is over"
    ((to, message),) = sent(done, Holding)
    assert (to, message.slot, message.report.held) == ("b", 7, 3)


def test_who_holds_what_the_step_needs_and_reaches_all_has_nothing_to_tell() -> None:
    assert not sent(Desk("c", commit_of(ABC), stages=1).begun, Holding)
    cut_off = sent(Desk("c", commit_of(ABC), up="a", stages=1).begun, Holding)
    assert [(to, message.report.unreachable) for to, message in cut_off] == [("a", ("b",))]


def test_orders_of_the_slot_before_are_over() -> None:
    """Order 1 of slot 7 counts although that of slot 6 had a higher number."""
    desk = Desk("c", decision_of(ABC), stages=1)
    desk.hear("a", Plan(6, 0, 9, 3, {}, {}, ("a", "b", "c"), {}, {}, ()))
    desk.hear("a", Decided(decision_of(ABC, slot=6)))
    assert desk.core.context.order == (7, 0, 0)
    desk.hear("b", Plan(7, 0, 1, 3, {}, {}, ("a", "b", "c"), {}, {}, ()))
    assert desk.core.context.order == (7, 0, 1)


def test_what_came_before_its_slot_is_handled_when_that_begins() -> None:
    desk = Desk("c", decision_of(ABC), held=2, stages=1)
    desk.hear("b", Plan(7, 0, 1, 3, {"c": (0,)}, {}, ("a", "b"), {}, {}, ()))
    assert desk.core.context.plan == (0, 0, 0)
    done = desk.hear("a", Decided(decision_of(ABC, slot=6)))
    assert desk.core.context.plan == (7, 0, 1)
    assert sent(done, Holding)


def test_who_is_voted_out_asks_to_be_let_in_and_watches_nobody() -> None:
    desk = Desk("c", decision_of(ABC), stages=1)
    done = desk.hear("a", Decided(decision_of(ABC[:2], slot=6, view=3, assigned={m.peer_id: (0,) for m in ABC})))
    assert {to for to, _ in sent(done, Join)} == {"a", "b"}
    assert not sent(desk.wait(20.0), Lead)


def test_who_is_let_in_asks_no_more_and_watches_the_leader() -> None:
    log = {m.peer_id: (0,) for m in ABC}
    desk = Desk("c", decision_of(ABC[:2], assigned=log), up="ab", stage=0, stages=1)
    desk.hear("a", Decided(decision_of(ABC, slot=6, view=3)))
    assert not sent(desk.wait(9.9), Join)
    assert sent(desk.wait(0.1), Lead), "b, who leads slot 7, was silent for ten beats, so c is next"


@pytest.mark.parametrize(("slot", "leads"), [(5, "a"), (6, "b"), (7, "c")])
def test_each_slot_is_led_by_the_owner_of_its_ballot_0(slot: int, leads: str) -> None:
    for me in "abc":
        desk = Desk(me, commit_of(ABC, slot=slot), stages=1)
        assert bool(sent(desk.begun, Plan)) is (me == leads)
        assert bool(sent(desk.wait(1.0), Beat)) is (me == leads)


def test_a_lost_majority_is_said_as_soon_as_the_slot_begins() -> None:
    desk = Desk("c", decision_of(ABC), up="", stages=1)
    assert "1 of 3 votes can be had" in notes(desk.begun, "paused")[0]


def test_at_the_end_nothing_is_awaited() -> None:
    desk = Desk("a", decision_of(ABC), held=-1, stages=1)
    done = desk.hear("b", Decided(decision_of(ABC, slot=6, finished=True)))
    assert [effect for effect in done if isinstance(effect, effects.Finished)]
    assert desk.core.next_deadline() is None and desk.core.finished
    assert desk.give(events.PeerUp("x")) == []
