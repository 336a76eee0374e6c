"""Following the leader: which orders are obeyed, and what is answered where they do not fit."""

from __future__ import annotations

from dataclasses import replace

import pytest

from actors.steps.ballots import Again, Average, Beat, Plan, Prepared
from actors.steps.context import Update
from actors.steps.effects import Discard, ExportGradient
from actors.steps.messages import Forward
from tests.steps.ordered import EXPORTED, LEADER, SLOT, Follower, average, plan
from tests.steps.parts import PLAN, STEP, clear, finish, forward, jobs, mail, vector, voters, wanted


def beat(number: int = 1, *, asks: bool = False, resigns: bool = False) -> Beat:
    return Beat(SLOT, 0, number, asks, resigns)


def test_a_plan_says_who_works_and_who_drives_what() -> None:
    one = Follower()
    one.follow(plan(workers=("s0a", "s1a"), train={"s0a": (1, 2), "s0b": (3,)}))
    assert one.context.workers == {"s0a", "s1a"}
    assert one.context.drivers == {1: "s0a", 2: "s0a", 3: "s0b"}
    assert one.context.plan == one.context.order == (SLOT, 0, 2)
    assert one.told == 0


def test_its_own_part_of_a_plan_is_driven() -> None:
    one = Follower()
    one.follow(plan(train={"s1a": (1,)}))
    assert [(message.index, message.order) for _, message in mail(one.context, Forward)] == [(1, (SLOT, 0, 2))]


@pytest.mark.parametrize(
    ("order", "followed"),
    [
        (plan(2), True),
        (plan(1), False),  # it was followed already
        (plan(0), False),
        (plan(1, ballot=1), True),
        (plan(1, slot=SLOT + 1), True),
        (plan(9, slot=SLOT - 1), False),
        (plan(2, step=STEP + 1), False),
        (plan(2, step=STEP - 1), False),
    ],
)
def test_an_order_replaces_those_before_it_of_this_step(order: Plan, followed: bool) -> None:
    one = Follower()
    one.follow(replace(order, train={"s0a": (7,)}))
    assert (one.context.drivers == {7: "s0a"}) is followed


@pytest.mark.parametrize("order", [plan(3), average(9, number=3)], ids=["plan", "average"])
def test_a_newer_order_ends_the_averaging_under_way(order: Plan | Average) -> None:
    one = Follower(4)
    one.follow(average(4))
    assert one.hop.frozen and one.averaging.order is not None
    one.follow(order)
    assert not one.hop.frozen and one.averaging.order is None
    one.orders.exported(EXPORTED)
    assert mail(one.context, Prepared) == []


def test_who_must_forget_what_it_counted_does_and_says_so() -> None:
    one = Follower(4)
    one.follow(plan(reset=("s1a",)))
    assert one.hop.counted == {} and Discard() in one.context.out and one.told == 1
    other = Follower(4)
    other.follow(plan(reset=("s1b",)))
    assert other.hop.counted == {4: 0.5} and other.told == 0


def test_what_was_sent_to_a_replica_that_forgets_is_sent_again() -> None:
    one = Follower(me="s0a")
    one.hop.forward("s0b", forward(4, 0, ("s0a", "s1a"), origin="s0b"), ("in",))
    finish(one.hop, jobs(one.context)[0])
    clear(one.context)
    one.follow(plan(reset=("s1a",), train={"s0b": (4,)}))
    assert [(to, message.retry) for to, message in mail(one.context, Forward)] == [("s1a", 1)]


@pytest.mark.parametrize(
    ("works", "held", "data_ok", "tells"),
    [
        (True, STEP, True, False),
        (True, STEP - 1, True, True),  # the leader counts on a member that cannot work
        (False, STEP, True, True),  # and here not on one that can
        (False, STEP - 1, True, False),
        (False, STEP, False, False),  # without the corpus nothing can be done on the last stage
    ],
)
@pytest.mark.parametrize("kind", ["plan", "beat"])
def test_a_leader_that_is_mistaken_about_us_is_told(
    works: bool, held: int, data_ok: bool, tells: bool, kind: str
) -> None:
    one = Follower()
    one.context.held, one.context.data_ok = held, data_ok
    workers = ("s0a", "s0b", "s1b", *(["s1a"] if works else []))
    if kind == "plan":
        one.follow(plan(workers=workers))
    else:
        one.context.workers = frozenset(workers)
        one.follow(beat())
    assert one.told == tells


def test_who_applies_an_update_can_work_in_a_moment_and_says_nothing() -> None:
    one = Follower()
    one.context.held, one.context.applying = STEP - 1, Update(STEP, vector(1), 1.0, "", 1)
    one.follow(beat())
    assert one.told == 0


@pytest.mark.parametrize(
    ("heard", "asks", "again", "tells"),
    [
        (beat(1), False, 0, 0),
        (beat(2), False, 1, 0),  # an order that did not arrive
        (beat(0), False, 0, 0),  # none was given
        (Beat(SLOT, 1, 0, False), False, 0, 0),
        (Beat(SLOT, 1, 1, False), False, 1, 0),
        (beat(1, asks=True), True, 0, 1),
        (beat(2, asks=True), True, 1, 0),  # the order comes first
    ],
)
def test_a_beat_shows_what_was_missed_and_asks_for_what_is_held(
    heard: Beat, asks: bool, again: int, tells: int
) -> None:
    one = Follower()
    one.follow(heard)
    assert mail(one.context, Again) == [(LEADER, Again(heard.slot, heard.ballot))] * again
    assert one.told == tells
    assert one.context.order == PLAN, "a beat is no order"


def test_a_leader_that_gives_up_is_replaced_by_those_with_a_vote() -> None:
    one = Follower()
    one.follow(beat(2, resigns=True))
    assert one.resigned == [True] and mail(one.context, Again) == []
    outside = Follower(decided={"members": voters(2)})
    outside.follow(beat(2, resigns=True))
    assert outside.resigned == []


@pytest.mark.parametrize("counted", [(4, 6), (6, 4)])
def test_who_counted_exactly_what_the_order_says_hands_out_its_gradient(counted: tuple[int, ...]) -> None:
    one = Follower(4, 6)
    one.follow(average(*counted))
    assert len(wanted(one.context, ExportGradient)) == 1 and one.hop.frozen and one.told == 0


@pytest.mark.parametrize("counted", [(), (4,), (4, 6, 7), (4, 7)], ids=str)
def test_who_counted_something_else_says_so_instead_of_averaging(counted: tuple[int, ...]) -> None:
    one = Follower(4, 6)
    one.follow(average(*counted))
    assert wanted(one.context, ExportGradient) == [] and not one.hop.frozen and one.told == 1


def test_who_counted_nothing_may_be_named_with_nothing_or_not_at_all() -> None:
    for order in (average(), average(counted={})):
        one = Follower()
        one.follow(order)
        assert len(wanted(one.context, ExportGradient)) == 1


def test_who_is_not_in_the_group_or_holds_other_parameters_does_not_average() -> None:
    for groups, held in (({1: ("s1b",)}, STEP), ({0: ("s1a",)}, STEP), ({1: ("s1a",)}, STEP - 1)):
        one = Follower(4)
        one.context.held = held
        one.follow(average(4, groups=groups))
        assert wanted(one.context, ExportGradient) == [] and one.told == 0
        assert one.context.order == (SLOT, 0, 2)


def test_a_call_for_the_average_waits_for_the_update_under_way() -> None:
    one = Follower()
    one.context.held, one.context.applying = STEP - 1, Update(STEP, vector(1), 1.0, "", 1)
    order = average()
    one.follow(order)
    assert one.later == [order] and one.context.order == PLAN, "it can be followed when it comes again"
    one.follow(plan(3))
    assert one.later == [order] and one.context.order == (SLOT, 0, 3)
