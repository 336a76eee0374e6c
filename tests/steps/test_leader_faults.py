"""Leading a slot in which things go wrong: averaging is broken off, a member is left out, work is planned again."""

from __future__ import annotations

from typing import Any

import pytest

from actors.steps import events
from actors.steps.ballots import Again, Average, Holding, Plan, Prepared, Propose, Stuck
from actors.steps.effects import Failed
from actors.steps.messages import Abort, Differs, Done, Purpose
from tests.steps.builders import (
    Desk,
    decision_of,
    lead,
    leading,
    notes,
    prepared_of,
    report_of,
    sent,
    voters,
)

ABCD = voters(a=0, b=0, c=0, d=0)
CHANGE = decision_of(ABCD, slot=7)
"""Slot 8 is a's: 8 modulo 4. It has no shards; b, c and d work."""
COUNTED = {"b": (0, 1), "c": (2,), "d": (3,)}


def desk_of(workers: str = "bcd", **changes: Any) -> Desk:
    return leading(CHANGE, workers, stages=1, **changes)


def holding(desk: Desk, peer: str, counted: tuple[int, ...] = (), **changes: Any) -> list[Any]:
    """A member tells what it holds."""
    ballot = desk.agreement.promised
    return desk.hear(peer, Holding(8, ballot, report_of(counted=counted, **changes)))


def all_counted(desk: Desk) -> Average:
    """Everything comes through; returns the order that calls for the average."""
    effects: list[Any] = []
    for peer, indices in COUNTED.items():
        for index in indices:
            effects += desk.hear(peer, Done(3, index, Purpose.TRAIN, 1.0, (peer,)))
    return order_in(effects)


def order_in(effects: list[Any]) -> Average:
    return sent(effects, Average)[0][1]


def prepared(peer: str, number: int, **changes: Any) -> Prepared:
    return prepared_of(COUNTED[peer], at=(8, 0, number), **changes)


def all_prepared(desk: Desk, number: int, **changes: dict[str, Any]) -> list[Any]:
    effects: list[Any] = []
    for peer in COUNTED:
        effects += desk.hear(peer, prepared(peer, number, **changes.get(peer, {})))
    return effects


# Averaging


def test_when_averages_differ_the_average_is_called_for_again_and_the_third_time_the_run_ends() -> None:
    desk = desk_of()
    number = all_counted(desk).number
    for _ in range(2):
        effects = all_prepared(desk, number, b={"average": "other"})
        assert order_in(effects).number == number + 1
        assert "have different averages" in notes(effects, "averaging")[0]
        number += 1
    effects = all_prepared(desk, number, b={"average": "other"})
    assert isinstance(effects[-1], Failed) and "step 3 was not committed" in effects[-1].reason
    assert {to for to, _ in sent(effects, Abort)} == {"b", "c", "d"}


def test_one_of_three_with_other_parameters_is_told_so_and_left_out_and_its_work_is_done_again() -> None:
    desk = desk_of()
    effects = all_prepared(desk, all_counted(desk).number, d={"parameters": "q"})
    assert sent(effects, Differs) == [("d", Differs(3, "q"))]
    ((_, plan), *_) = sent(effects, Plan)
    assert plan.workers == ("b", "c")
    assert sorted(index for part in plan.train.values() for index in part) == [3]


def test_a_replica_that_keeps_averaging_up_twice_is_left_out() -> None:
    desk = desk_of()
    first = all_counted(desk)
    again = order_in(desk.hear("b", Stuck(8, 0, first.number, ("d",))))
    assert (again.number, again.groups) == (first.number + 1, first.groups), "once more with all"
    assert not sent(desk.hear("b", Stuck(8, 0, first.number, ("d",))), Average), "about the round before"
    effects = desk.hear("c", Stuck(8, 0, again.number, ("d",)))
    assert "it does not send its part of the average" in notes(effects, "excluded")[0]
    ((_, plan), *_) = sent(effects, Plan)
    assert plan.workers == ("b", "c") and 3 in {*plan.train.get("b", ()), *plan.train.get("c", ())}


def test_a_word_of_who_does_not_average_leaves_nobody_out() -> None:
    desk = desk_of()
    number = all_counted(desk).number
    for _ in range(2):
        assert not desk.hear("x", Stuck(8, 0, number, ("d",)))
    assert sent(all_prepared(desk, number), Propose)


def test_a_replica_that_does_not_report_in_time_twice_is_left_out() -> None:
    """Patience before anything was measured: six floors of ten seconds, three deep."""
    desk = desk_of()
    number = all_counted(desk).number
    desk.hear("b", prepared("b", number))
    desk.hear("c", prepared("c", number))
    assert not sent(desk.wait(179.0), Average)
    effects = desk.wait(1.0)
    assert order_in(effects).groups == {0: ("b", "c", "d")}
    assert notes(effects, "averaging") == ["step 3: averaging begins anew: D did not report in time"]
    desk.hear("b", prepared("b", number + 1))
    desk.hear("c", prepared("c", number + 1))
    effects = desk.wait(180.0)
    assert "it does not report the average" in notes(effects, "excluded")[0]
    assert sent(effects, Plan)[0][1].workers == ("b", "c")


def test_each_report_gives_the_others_their_full_time_again() -> None:
    desk = desk_of()
    number = all_counted(desk).number
    desk.wait(100.0)
    desk.hear("b", prepared("b", number))
    assert not sent(desk.wait(179.0), Average)
    assert sent(desk.wait(1.0), Average)


def test_who_had_counted_something_else_breaks_the_average_off() -> None:
    desk = desk_of()
    all_counted(desk)
    assert not holding(desk, "d", (3,)), "the very same is no news"
    effects = holding(desk, "d", ())
    assert notes(effects, "averaging") == [
        "step 3: averaging begins anew: D had counted something else than the routes say"
    ]
    ((_, plan), *_) = sent(effects, Plan)
    assert [index for part in plan.train.values() for index in part] == [3]


def test_who_lost_its_parameters_breaks_the_average_off_and_one_that_does_not_average_does_not() -> None:
    desk = Desk("a", CHANGE, held=-1, stages=1)
    lead(desk, {"b": report_of(), "c": report_of(), "d": report_of(-1)})
    for peer, indices in (("b", (0, 1)), ("c", (2, 3))):
        for index in indices:
            desk.hear(peer, Done(3, index, Purpose.TRAIN, 1.0, (peer,)))
    assert not holding(desk, "d", held=-1)
    assert sent(holding(desk, "c", held=-1), Plan)[0][1].workers == ("b",)


def test_replicas_that_come_apart_while_averaging_do_not_both_take_part() -> None:
    desk = desk_of()
    all_counted(desk)
    effects = holding(desk, "b", (0, 1), unreachable=("d",))
    assert "another replica of its stage cannot reach it" in notes(effects, "excluded")[0]
    assert sent(effects, Plan)[0][1].workers == ("b", "c")


@pytest.mark.parametrize("gone", [False, True])
def test_who_is_lost_while_averaging_breaks_it_off_and_the_dead_lose_their_vote_first(gone: bool) -> None:
    desk = desk_of()
    all_counted(desk)
    effects = desk.lose("d", gone=gone)
    assert notes(effects, "averaging") == ["step 3: averaging begins anew: D cannot be reached"]
    if gone:
        ((_, proposal), *_) = sent(effects, Propose)
        assert [m.peer_id for m in proposal.decision.members] == ["a", "b", "c"]
    else:
        assert sent(effects, Plan)[0][1].workers == ("b", "c")


def test_a_stranger_that_is_lost_breaks_nothing_off() -> None:
    desk = desk_of()
    desk.give(events.PeerUp("x"))
    all_counted(desk)
    assert not notes(desk.lose("x"), "averaging")


# Work


def test_who_is_lost_while_working_is_replaced_by_a_new_plan() -> None:
    desk = desk_of()
    desk.hear("b", Done(3, 0, Purpose.TRAIN, 1.0, ("b",)))
    ((_, plan), *_) = sent(desk.lose("b", gone=False), Plan)
    assert plan.workers == ("c", "d") and plan.number == 2
    assert sorted(index for part in plan.train.values() for index in part) == [0, 1, 2, 3]


def test_who_comes_back_works_again() -> None:
    desk = desk_of()
    desk.lose("b", gone=False)
    effects = desk.give(events.PeerUp("b"))
    assert [to for to, _ in sent(effects, Plan)] == ["b"], "the last order, which it may have missed"
    assert sent(holding(desk, "b"), Plan)[0][1].workers == ("b", "c", "d")


def test_a_report_that_changes_nothing_makes_no_plan() -> None:
    desk = desk_of()
    assert not holding(desk, "b")
    assert sent(holding(desk, "b", (1,)), Plan), "it has counted something that the leader did not know of"
    assert not holding(desk, "b", (1, 2), life=2), "another life says nothing"


def test_what_two_have_counted_is_forgotten_by_the_one_with_less_before_anything_is_averaged() -> None:
    desk = desk_of()
    holding(desk, "b", (0, 1))
    ((_, plan), *_) = sent(holding(desk, "c", (1,)), Plan)
    assert plan.reset == ("c",)
    for peer, index in (("d", 2), ("d", 3)):
        assert not sent(desk.hear(peer, Done(3, index, Purpose.TRAIN, 1.0, (peer,))), Average)
    assert not holding(desk, "c", (1,), number=plan.number - 1), "as before the order"
    effects = holding(desk, "c", (), number=plan.number)
    assert order_in(effects).counted == {"b": (0, 1), "c": (), "d": (2, 3)}


def test_who_does_not_say_that_it_has_forgotten_is_left_out() -> None:
    """Nothing came through for six floors of ten seconds, four deep."""
    desk = desk_of()
    holding(desk, "b", (0, 1))
    holding(desk, "c", (1,))
    effects = desk.wait(240.0)
    assert "it does not say that it has forgotten" in notes(effects, "excluded")[0]
    assert sent(effects, Plan)[-1][1].workers == ("b", "d")
    desk.hear("d", Done(3, 2, Purpose.TRAIN, 1.0, ("d",)))
    assert order_in(desk.hear("d", Done(3, 3, Purpose.TRAIN, 1.0, ("d",)))).groups == {0: ("b", "d")}


def test_when_nothing_comes_through_others_drive_it_and_are_given_twice_the_time() -> None:
    desk = desk_of()
    before = sent(desk.begun, Plan)[0][1].train
    ((_, plan), *_) = sent(desk.wait(240.0), Plan)
    assert plan.train == {"c": before["b"], "d": before["c"], "b": before["d"]}
    assert not sent(desk.wait(479.0), Plan)
    assert sent(desk.wait(1.0), Plan)


def test_the_last_order_is_said_again_to_who_missed_it() -> None:
    desk = desk_of()
    assert [(to, order.number) for to, order in sent(desk.hear("c", Again(8, 0)), Plan)] == [("c", 1)]
    all_counted(desk)
    assert [(to, order.number) for to, order in sent(desk.hear("c", Again(8, 0)), Average)] == [("c", 2)]
