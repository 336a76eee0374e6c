"""The route of a microbatch: dealt by speed at first, the same way as before when it goes again."""

from __future__ import annotations

from typing import Any

import pytest

from actors.steps.context import Context
from actors.steps.messages import Dropped, Forward, Purpose, Returned
from actors.steps.origin import Origin
from tests.steps.parts import STEP, clear, context, follow, mail, plan_of

TRAIN, VALIDATE = Purpose.TRAIN, Purpose.VALIDATE
# Of two replicas as fast as each other eight microbatches are dealt in the order 2 6 7 3 1 5 4 0, so 2, 7, 1 and 4 go
# to the first one, and 6, 3, 5 and 0 to the second.


def origin(*train: int, me: str = "s0a", layout: tuple[int, ...] = (2, 2), **fields: Any) -> tuple[Context, Origin]:
    one = context(me, layout, leader="s1b", in_flight=8)
    made = Origin(one)
    follow(one, made, plan_of(one, *train, **fields))
    return one, made


def routes(one: Context) -> dict[int, tuple[str, ...]]:
    """Routes of the training microbatches that were sent since the last `clear`."""
    return {message.index: message.route for _, message in mail(one, Forward) if message.purpose is TRAIN}


def places(one: Context, *route: str) -> tuple[int, ...]:
    return one.view.places(route)


def test_an_origin_serves_stage_0_itself_and_deals_the_other_stages_out() -> None:
    one, _ = origin(*range(8))
    firsts, seconds = zip(*(route for _, route in sorted(routes(one).items())), strict=True)
    assert set(firsts) == {"s0a"}
    assert seconds == ("s1b", "s1a", "s1a", "s1b", "s1a", "s1b", "s1b", "s1a")
    assert [to for to, _ in mail(one, Forward)] == ["s0a"] * 8


def test_an_origin_of_a_later_stage_deals_stage_0_out_and_its_own_as_well() -> None:
    one, _ = origin(*range(8), me="s1a")
    firsts, seconds = zip(*(route for _, route in sorted(routes(one).items())), strict=True)
    assert firsts == ("s0b", "s0a", "s0a", "s0b", "s0a", "s0b", "s0b", "s0a")
    assert seconds == ("s1b", "s1a", "s1a", "s1b", "s1a", "s1b", "s1b", "s1a")
    assert [to for to, _ in mail(one, Forward)] == list(firsts)


def validated(one: Context) -> dict[int, tuple[str, ...]]:
    return {message.index: message.route for _, message in mail(one, Forward) if message.purpose is VALIDATE}


def test_validation_is_dealt_by_its_own_number_of_microbatches() -> None:
    """Three are dealt in the order 2 1 0."""
    one = context("s0a", leader="s1b", validation_microbatches=3)
    follow(one, Origin(one), plan_of(one, validate={"s0a": (0, 1, 2)}))
    assert validated(one) == {0: ("s0a", "s1a"), 1: ("s0a", "s1b"), 2: ("s0a", "s1a")}


def test_validation_does_not_follow_the_ways_of_training_of_the_same_number() -> None:
    one = context("s0a")
    ways = {1: places(one, "s0b", "s1b"), 2: places(one, "s0b", "s1b")}
    one, made = origin(1, validate={"s0a": (1, 2, 3)}, routes=ways, partial={3: ("", "s1a"), 2: ("s0b", "s1b")})
    assert validated(one) == {1: ("s0a", "s1a"), 2: ("s0a", "s1a"), 3: ("s0a", "s1b")}
    assert made.routes == {1: ("s0b", "s1b")}
    made.overdue(VALIDATE, 1)
    made.dropped("s0b", Dropped(STEP, 1, TRAIN, 0, 0))
    assert made.routes == {1: ("s0b", "s1b")}


def test_who_counted_a_microbatch_serves_its_repeat() -> None:
    """Where no replica of stage 0 has counted it, it is dealt: the origin's own shards are not preferred then."""
    one, _ = origin(0, 1, 2, partial={0: ("s0b", "s1a"), 1: ("", "s1b"), 2: ("s0b", "")})
    assert routes(one) == {0: ("s0b", "s1a"), 1: ("s0a", "s1b"), 2: ("s0b", "s1a")}
    other, _ = origin(0, partial={0: ("", "s1a")})
    assert routes(other) == {0: ("s0b", "s1a")}, "0 is dealt to the second one"


def test_what_may_be_under_way_goes_the_same_way_again() -> None:
    one = context("s0a")
    ways = {0: places(one, "s0b", "s1a"), 1: (-1, -1), 2: places(one, "s0a", "s1b")}
    one, _ = origin(0, 1, 2, routes=ways)
    assert routes(one) == {0: ("s0b", "s1a"), 1: ("s0a", "s1a"), 2: ("s0a", "s1b")}


def test_who_counted_it_counts_more_than_the_way_it_took() -> None:
    one = context("s0a")
    one, _ = origin(0, routes={0: places(one, "s0a", "s1b")}, partial={0: ("s0b", "s1a")})
    assert routes(one) == {0: ("s0b", "s1a")}


def test_its_own_newest_route_counts_more_than_what_others_told_the_leader() -> None:
    one, made = origin(0)
    assert routes(one) == {0: ("s0a", "s1b")}
    clear(one)
    follow(one, made, plan_of(one, 0, routes={0: places(one, "s0b", "s1a")}))
    assert routes(one) == {}, "it is under way"
    made.dropped("s0a", Dropped(STEP, 0, TRAIN, 0, 0))
    assert routes(one) == {0: ("s0a", "s1b")}


def test_a_microbatch_that_came_back_goes_again_by_the_way_that_it_really_took() -> None:
    one, made = origin(0)
    made.returned(Returned(STEP, 0, TRAIN, 0.5, ("s1a", "s0b")))
    assert made.routes == {0: ("s0b", "s1a")}
    clear(one)
    for _ in range(2):  # at first the leader is told that it is through
        follow(one, made, plan_of(one, 0, partial={0: ("", "")}))
    assert routes(one) == {0: ("s0b", "s1a")}


def test_validation_leaves_no_route() -> None:
    _, made = origin(validate={"s0a": (0,)})
    made.returned(Returned(STEP, 0, VALIDATE, 0.5, ("s1a",)))
    assert made.routes == {}


def test_a_way_through_a_replica_that_is_gone_is_mended_by_the_substitute() -> None:
    """Of s1b and s1c, 3 goes to s1b and 2 to s1c by the CRC-32 of `peer/index`, whatever is dealt."""
    one = context("s0a", (2, 3))
    ways = {index: places(one, "s0b", "s1a") for index in (2, 3)}
    workers = tuple(sorted(one.workers - {"s1a"}))
    one, _ = origin(2, 3, layout=(2, 3), routes=ways, workers=workers)
    assert routes(one) == {2: ("s0b", "s1c"), 3: ("s0b", "s1b")}


def test_a_way_through_a_replica_that_forgot_what_it_counted_is_free_again() -> None:
    one = context("s0a")
    ways = {0: places(one, "s0b", "s1a")}
    one, _ = origin(0, routes=ways, reset=("s0b", "s1a"))
    assert routes(one) == {0: ("s0a", "s1b")}


def test_the_routes_of_what_others_drive_now_are_forgotten() -> None:
    one, made = origin(0, 1)
    follow(one, made, plan_of(one, 1, train={"s0a": (1,), "s0b": (0,)}))
    assert made.routes == {1: ("s0a", "s1a")}


def test_what_is_through_keeps_its_route() -> None:
    """It is in no plan any more; it may have to go again."""
    one, made = origin(0, 1)
    made.returned(Returned(STEP, 0, TRAIN, 0.5, ("s1b", "s0a")))
    follow(one, made, plan_of(one, 1))
    assert made.routes == {0: ("s0a", "s1b"), 1: ("s0a", "s1a")}


def test_what_is_overdue_takes_a_new_route_as_no_one_knows_where_it_is_stuck() -> None:
    one = context("s0a")
    ways = {0: places(one, "s0b", "s1a")}
    one, made = origin(0, routes=ways)
    clear(one)
    made.overdue(TRAIN, 0)
    assert routes(one) == {0: ("s0a", "s1b")}


@pytest.mark.parametrize(
    ("lost", "forgot", "again"),
    [
        ({"s0a"}, (), {(TRAIN, 2), (VALIDATE, 2)}),
        ({"s1a"}, (), {(VALIDATE, 2)}),  # in training the hop before sends the same to another one
        ({"s1b"}, (), set()),
        ({"s0b"}, (), set()),
        (set(), ("s0a",), {(TRAIN, 2), (VALIDATE, 2)}),
        (set(), ("s1a",), {(VALIDATE, 2)}),
    ],
)
def test_an_origin_sends_again_what_cannot_come_back(
    lost: set[str], forgot: tuple[str, ...], again: set[tuple[Purpose, int]]
) -> None:
    one, made = origin(2, validate={"s0a": (2,)})
    assert [message.route for _, message in mail(one, Forward)] == [("s0a", "s1a"), ("s0a", "s1a")]
    clear(one)
    one.workers -= lost
    made.redirect(forgot)
    assert {(message.purpose, message.index) for _, message in mail(one, Forward)} == again
    assert all(message.retry == 1000 for _, message in mail(one, Forward))


@pytest.mark.parametrize(("returned", "peer"), [(True, "s1a"), (False, "s1b")])
def test_what_is_back_is_outstanding_no_more_wherever_it_was(returned: bool, peer: str) -> None:
    """1, 2 and 7 are dealt to s1a. With two there its load is 3, more than 2.5 times that of s1b."""
    one, made = origin(1, 2)
    assert {route[1] for route in routes(one).values()} == {"s1a"}
    for index in (1, 2) if returned else ():
        made.returned(Returned(STEP, index, TRAIN, 0.5, ("s1a", "s0a")))
    clear(one)
    follow(one, made, plan_of(one, 1, 2, 7))
    assert routes(one)[7][1] == peer


def test_what_is_sent_again_is_outstanding_once() -> None:
    """1 is dealt to s1a. Were it outstanding there twice, a third attempt would go to s1b."""
    one, made = origin(1)
    for _ in range(4):
        made.overdue(TRAIN, 1)
    assert routes(one) == {1: ("s0a", "s1a")}
    assert {message.route for _, message in mail(one, Forward)} == {("s0a", "s1a")}


def test_a_plan_sends_again_what_flies_through_a_replica_that_must_forget() -> None:
    one, made = origin(1)
    clear(one)
    follow(one, made, plan_of(one, 1, reset=("s1a",)))
    assert routes(one) == {}, "s0a sends it on once more"
    follow(one, made, plan_of(one, 1, reset=("s0a",)))
    assert list(routes(one)) == [1]


def test_where_no_one_serves_stage_0_nothing_is_sent_and_the_wait_goes_on() -> None:
    one, made = origin(0, me="s1a", workers=("s1a", "s1b"))
    assert mail(one, Forward) == []
    assert one.waits.waiting(("origin", TRAIN, 0)) and made.routes == {0: ("", "s1b")}
    one.workers |= {"s0b"}
    made.overdue(TRAIN, 0)
    assert routes(one) == {0: ("s0b", "s1b")}
