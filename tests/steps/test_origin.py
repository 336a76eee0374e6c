"""Driving microbatches: so many at a time, each told to the leader when it is back, and again where that is needed."""

from __future__ import annotations

from typing import Any

import pytest

from actors.steps.context import Context
from actors.steps.jobs import TokensOf
from actors.steps.messages import Done, Dropped, Forward, Purpose, Returned
from actors.steps.origin import Origin
from tests.steps.parts import PLAN, STEP, clear, context, follow, mail, plan_of

TRAIN, VALIDATE = Purpose.TRAIN, Purpose.VALIDATE
BACK = ("s1a", "s0a")
"""Who counted a microbatch, the last stage first."""


def origin(*train: int, me: str = "s0b", in_flight: int = 2, **fields: Any) -> tuple[Context, Origin]:
    """s0b of two stages of two, whose leader is s1b, with a plan to follow."""
    one = context(me, leader="s1b", in_flight=in_flight)
    made = Origin(one)
    follow(one, made, plan_of(one, *train, **fields))
    return one, made


def flying(one: Context) -> list[tuple[Purpose, int]]:
    """What was sent into the pipeline since the last `clear`."""
    return [(message.purpose, message.index) for _, message in mail(one, Forward)]


def back(made: Origin, index: int, purpose: Purpose = TRAIN, route: tuple[str, ...] = BACK) -> None:
    made.returned(Returned(STEP, index, purpose, 0.5, route))


def told(index: int, purpose: Purpose = TRAIN, route: tuple[str, ...] = BACK) -> tuple[str, Done]:
    return "s1b", Done(STEP, index, purpose, 0.5, route)


def test_so_many_are_in_flight_and_the_next_follows_on_one_that_is_back() -> None:
    one, made = origin(5, 1, 3, 7)
    assert flying(one) == [(TRAIN, 5), (TRAIN, 1)]
    assert made.driving == (1, 3, 5, 7)
    back(made, 1)
    assert flying(one) == [(TRAIN, 5), (TRAIN, 1), (TRAIN, 3)]
    assert mail(one, Done) == [told(1)]
    back(made, 3)
    assert flying(one)[3:] == [(TRAIN, 7)]
    assert made.driving == (5, 7)


def test_validation_goes_before_training_and_is_not_among_what_is_driven() -> None:
    one, made = origin(5, 6, validate={"s0b": (2, 0), "s0a": (1,)}, in_flight=3)
    assert flying(one) == [(VALIDATE, 2), (VALIDATE, 0), (TRAIN, 5)]
    assert made.driving == (5, 6)
    back(made, 2, VALIDATE, ("s1a",))
    assert mail(one, Done) == [told(2, VALIDATE, ("s1a",))]


def test_what_is_sent_names_its_tokens_its_origin_and_its_plan() -> None:
    one, _ = origin(5)
    ((message, tokens),) = one.inbox
    assert isinstance(message, Forward)
    assert message == Forward(STEP, 5, TRAIN, 0, "s0b", 0, ("s0b", message.route[1]), PLAN)
    assert tokens == TokensOf(STEP, 5, TRAIN)


def test_what_is_back_that_was_not_awaited_changes_nothing() -> None:
    one, made = origin(5)
    back(made, 6)
    back(made, 5, VALIDATE)
    assert mail(one, Done) == [] and made.driving == (5,)
    back(made, 5)
    back(made, 5)
    assert mail(one, Done) == [told(5)] and one.ignored["a late return"] == 3


def test_a_newer_plan_goes_on_with_what_flies_and_drops_what_others_drive() -> None:
    one, made = origin(1, 2, 3)
    clear(one)
    follow(one, made, plan_of(one, 2, 4, train={"s0b": (2, 4), "s0a": (1, 3)}))
    assert flying(one) == [(TRAIN, 4)], "2 is under way"
    assert made.driving == (2, 4)
    back(made, 1)
    assert mail(one, Done) == []
    assert not one.waits.waiting(("origin", TRAIN, 1)) and one.waits.waiting(("origin", TRAIN, 2))


def test_what_is_done_is_told_once_more_and_not_driven_again() -> None:
    one, made = origin(1, 2)
    back(made, 1)
    clear(one)
    follow(one, made, plan_of(one, 1, 2))
    assert mail(one, Done) == [told(1)] and flying(one) == []


@pytest.mark.parametrize(
    ("fields", "again"),
    [
        ({"partial": {1: ("s0a", "")}}, False),  # all who counted it are at work: the leader has not heard of it
        ({"partial": {2: ("s0a", "")}}, False),
        ({"partial": {1: ("s0a", "")}, "workers": ("s0a", "s0b", "s1b")}, True),
        ({"partial": {1: ("s0a", "")}, "reset": ("s1a",)}, True),
        ({"partial": {1: ("s0a", "")}, "reset": ("s1b",)}, False),
        ({"workers": ("s0a", "s0b", "s1b")}, False),
    ],
)
def test_what_was_counted_by_a_replica_that_lost_it_is_driven_again(fields: dict[str, Any], again: bool) -> None:
    one, made = origin(1, 2)
    back(made, 1)
    clear(one)
    follow(one, made, plan_of(one, 1, 2, **fields))
    assert (TRAIN, 1) in flying(one) if again else (TRAIN, 1) not in flying(one)
    assert mail(one, Done) == ([] if again else [told(1)])


def test_what_a_later_plan_misses_still_is_driven_again_the_second_time() -> None:
    one, made = origin(1, 2)
    back(made, 1)
    missing = plan_of(one, 1, 2, partial={1: ("s0a", "")})
    clear(one)
    follow(one, made, missing)
    assert mail(one, Done) == [told(1)] and flying(one) == []
    clear(one)
    follow(one, made, missing)
    assert mail(one, Done) == [] and flying(one) == [(TRAIN, 1)]


def test_who_counted_it_may_be_all_who_work() -> None:
    one = context("s0a", (1, 1), leader="s1a")
    made = Origin(one)
    follow(one, made, plan_of(one, 1, 2))
    back(made, 1)
    clear(one)
    follow(one, made, plan_of(one, 1, 2, partial={1: ("s0a", "")}))
    assert len(mail(one, Done)) == 1 and flying(one) == []


def test_each_step_tells_its_own_once_more() -> None:
    one, made = origin(1, 2)
    for _ in range(2):
        made.begin_step()
        follow(one, made, plan_of(one, 1, 2))
        back(made, 1)
        clear(one)
        follow(one, made, plan_of(one, 1, 2, partial={1: ("s0a", "")}))
        assert mail(one, Done) == [told(1)] and flying(one) == []


def test_a_validation_of_the_same_number_is_told_again_in_any_case() -> None:
    one, made = origin(validate={"s0b": (1,)})
    back(made, 1, VALIDATE, ("s1a",))
    clear(one)
    follow(one, made, plan_of(one, validate={"s0b": (1,)}, partial={1: ("s0a", "")}, workers=("s0a", "s0b", "s1b")))
    assert mail(one, Done) == [told(1, VALIDATE, ("s1a",))] and flying(one) == []


def test_what_does_not_come_back_in_time_is_sent_once_more_as_another_attempt() -> None:
    """Three times 12 s: an origin is more patient than both stages."""
    one, made = origin(1, 2, 3)
    assert one.waits.expired(35.9) == []
    assert {key for key, _ in one.waits.expired(36.0)} == {("origin", TRAIN, 1), ("origin", TRAIN, 2)}
    clear(one)
    made.overdue(TRAIN, 1)
    made.overdue(TRAIN, 3)
    assert [(message.index, message.retry) for _, message in mail(one, Forward)] == [(1, 1000)], "3 is not in flight"
    made.overdue(TRAIN, 1)
    assert [message.retry for _, message in mail(one, Forward)] == [1000, 2000]
    assert one.waits.waiting(("origin", TRAIN, 1))


def test_an_origin_waits_for_its_first_hop_and_says_so_at_half_of_the_patience() -> None:
    one, _ = origin(1)
    assert list(one.waits.doubtful(17.9)) == []
    assert list(one.waits.doubtful(18.0)) == ["s0b"]


def test_what_a_microbatch_took_is_shared_by_the_stages_and_the_origin() -> None:
    one, made = origin(1)
    one.now = 6.0
    back(made, 1)
    assert one.waits.patience("origin") == pytest.approx(20.0), "ten times a third of six"


@pytest.mark.parametrize(
    ("peer", "message", "again"),
    [
        ("s0b", Dropped(STEP, 1, TRAIN, 0, 0), True),
        ("s0b", Dropped(STEP, 1, TRAIN, 0, 999), True),  # hops count their own retries of the same attempt
        ("s0b", Dropped(STEP, 1, TRAIN, 0, 1000), False),  # of an attempt that was not made yet
        ("s0a", Dropped(STEP, 1, TRAIN, 0, 0), False),  # it was not sent there
        ("s0b", Dropped(STEP, 3, TRAIN, 0, 0), False),  # not in flight
        ("s0b", Dropped(STEP, 1, VALIDATE, 0, 0), False),
    ],
)
def test_what_a_hop_forgot_is_sent_again_if_it_is_of_this_attempt(peer: str, message: Dropped, again: bool) -> None:
    one, made = origin(1, 2)
    clear(one)
    made.dropped(peer, message)
    assert [(one_sent.index, one_sent.retry) for _, one_sent in mail(one, Forward)] == ([(1, 1000)] if again else [])


def test_a_word_about_an_attempt_before_changes_nothing() -> None:
    one, made = origin(1)
    made.overdue(TRAIN, 1)
    clear(one)
    made.dropped("s0b", Dropped(STEP, 1, TRAIN, 0, 0))
    assert mail(one, Forward) == []
    made.dropped("s0b", Dropped(STEP, 1, TRAIN, 0, 1003))
    assert [message.retry for _, message in mail(one, Forward)] == [2000]


def test_a_new_step_knows_nothing_of_the_last_one() -> None:
    one, made = origin(1, 2, 3, 4)
    back(made, 1)
    made.overdue(TRAIN, 2)
    made.begin_step()
    clear(one)
    assert (made.driving, made.routes, one.waits.next_deadline()) == ((), {}, None)
    back(made, 2)
    assert mail(one, Done) == []
    follow(one, made, plan_of(one, 1, 2, partial={1: ("s0a", "")}))
    assert [(message.index, message.retry) for _, message in mail(one, Forward)] == [(1, 0), (2, 0)]
