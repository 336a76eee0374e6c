"""Orders of a leader: numbered across processes, said again to who missed them, named by every beat."""

from __future__ import annotations

from typing import Any

import pytest

from actors.steps.ballots import Average, Beat, Decided, Lead, Plan, Propose
from actors.steps.broadcast import Broadcast
from actors.steps.context import Context
from tests.steps.builders import context_of, decision_of, sent, voters

ABC = voters(a=0, b=0, c=1)
CHANGE = decision_of(ABC)
PLAN = Plan(6, 0, 1, 3, {}, {}, (), {}, {}, ())
AVERAGE = Average(6, 0, 2, 3, {}, {})
PROPOSE = Propose(6, 0, decision_of(ABC, slot=6))
LEAD = Lead(6, 0, 2)


def table(usable: str = "abc", starts: int = 0) -> tuple[Context, Broadcast]:
    context = context_of(CHANGE, usable=usable)
    context.starts = starts
    return context, Broadcast(context)


def said(context: Context) -> list[Any]:
    """(To whom, what), the leader itself included."""
    found = sent(context.out, object)
    found += [("a", message) for message, _ in context.inbox]
    context.out.clear()
    context.inbox.clear()
    return sorted(found, key=lambda pair: pair[0])


@pytest.mark.parametrize(("starts", "first"), [(0, 1), (1, (1 << 32) + 1), (3, 3 * (1 << 32) + 1)])
def test_orders_of_each_process_have_higher_numbers_than_those_of_the_one_before(starts: int, first: int) -> None:
    _, broadcast = table(starts=starts)
    assert [broadcast.next(), broadcast.next()] == [first, first + 1]
    assert broadcast.number == first + 1


def test_an_order_goes_to_all_members_that_can_be_reached_and_to_the_leader_itself() -> None:
    context, broadcast = table("abx")
    broadcast.say(PLAN)
    assert said(context) == [("a", PLAN), ("b", PLAN)]


@pytest.mark.parametrize("order", [PLAN, AVERAGE], ids=["plan", "average"])
def test_who_missed_an_order_gets_it_again(order: Any) -> None:
    context, broadcast = table()
    broadcast.say(order)
    said(context)
    broadcast.again("c")
    assert said(context) == [("c", order)]
    assert not broadcast.repeat(), "no beat repeats it to all"


@pytest.mark.parametrize("order", [LEAD, PROPOSE], ids=["lead", "propose"])
def test_what_is_voted_on_is_repeated_to_all(order: Any) -> None:
    context, broadcast = table()
    broadcast.say(order)
    said(context)
    assert broadcast.repeat()
    assert said(context) == [("a", order), ("b", order), ("c", order)]
    broadcast.again("c")
    assert said(context) == [], "it is no order to follow"


def test_without_an_order_nothing_is_repeated() -> None:
    context, broadcast = table()
    assert not broadcast.repeat()
    broadcast.again("b")
    broadcast.welcome("b")
    assert said(context) == []


def test_a_member_that_has_just_come_gets_the_last_order_and_a_stranger_does_not() -> None:
    context, broadcast = table()
    broadcast.say(PROPOSE)
    said(context)
    broadcast.welcome("b")
    broadcast.welcome("x")
    assert said(context) == [("b", PROPOSE)]


@pytest.mark.parametrize("starts", [0, 2])
def test_a_beat_names_the_last_order_and_0_while_there_is_none(starts: int) -> None:
    context, broadcast = table("ab", starts)
    broadcast.beat(asks=True, resigns=False)
    assert said(context)[-1] == ("b", Beat(6, 0, 0, asks=True, resigns=False))
    number = broadcast.next()
    broadcast.beat(asks=False, resigns=True)
    assert said(context)[-1] == ("b", Beat(6, 0, number, asks=False, resigns=True))


def test_a_decision_is_told_to_those_who_were_members_and_those_who_are_now() -> None:
    context, broadcast = table("abdefgxy")
    decision = decision_of(voters(a=0, d=0, e=0, f=0, g=0, x=1), slot=6)
    broadcast.announce(decision)
    assert sent(context.out, Decided) == [(to, Decided(decision)) for to in "bdefgx"], "c cannot be reached"
    assert not context.inbox
