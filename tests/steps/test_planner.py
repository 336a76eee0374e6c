"""What is left to do in a step, and the plan that says who does it."""

from __future__ import annotations

from typing import Any

import pytest

from actors.steps.context import Context
from actors.steps.messages import Done, Purpose
from actors.steps.planner import Left, Planner
from actors.steps.survey import Survey
from tests.steps.builders import context_of, decision_of, notes, report_of, survey_of, voters

MEMBERS = voters(a=0, b=0, c=1, d=1)


def table(step: int = 3, **changes: Any) -> tuple[Context, Survey, Planner]:
    """All hold the step's parameters, and nobody has counted anything."""
    context = context_of(decision_of(MEMBERS, step=step), **changes)
    survey = survey_of(context, **{peer: report_of(held=step) for peer in "abcd"})
    return context, survey, Planner(context, survey)


def done(index: int, *route: str, purpose: Purpose = Purpose.TRAIN, loss: float = 1.0) -> Done:
    return Done(3, index, purpose, loss, route)


@pytest.mark.parametrize(
    ("step", "every", "count", "left"),
    [
        (3, 0, 2, Left([0, 1, 2, 3], [])),
        (3, 3, 2, Left([0, 1, 2, 3], [0, 1])),
        (4, 3, 2, Left([0, 1, 2, 3], [])),
        (6, 3, 1, Left([0, 1, 2, 3], [0])),
        (0, 3, 2, Left([0, 1, 2, 3], [0, 1])),
        (10, 3, 2, Left([], [0, 1])),
        (10, 0, 2, Left([], [])),
        (9, 10, 2, Left([0, 1, 2, 3], [])),
    ],
    ids=["no validation", "the third", "the fourth", "the sixth", "the first", "the end", "end without", "last step"],
)
def test_every_nth_step_and_the_end_are_validated_and_the_end_trains_nothing(
    step: int, every: int, count: int, left: Left
) -> None:
    _, _, planner = table(step, steps=10, validate_every=every, validation_microbatches=count)
    planner.reset_doubles(1)
    assert planner.left() == left
    assert bool(left) is bool(left.train or left.validate)
    assert planner.closing is (step == 10)


def test_what_comes_through_is_not_left() -> None:
    _, _, planner = table(validate_every=1, validation_microbatches=2)
    planner.reset_doubles(1)
    planner.done(done(1, "c", "a"))
    planner.done(done(1, "d", purpose=Purpose.VALIDATE, loss=3.0))
    assert planner.left() == Left([0, 2, 3], [0])
    planner.done(done(0, "c", purpose=Purpose.VALIDATE, loss=5.0))
    planner.done(done(0, "d", purpose=Purpose.VALIDATE, loss=9.0))
    assert planner.validated == [5.0, 3.0], "in order of indices; the first word about each counts"


def test_a_plan_says_who_drives_what_and_who_works() -> None:
    context, _, planner = table()
    planner.reset_doubles(7)
    assert not planner.planned
    plan = planner.plan(7, planner.left())
    assert planner.planned
    assert (plan.slot, plan.ballot, plan.number, plan.step) == (6, 0, 7, 3)
    assert plan.train == {"a": (0, 2), "b": (1, 3)} and plan.validate == {}
    assert plan.workers == ("a", "b", "c", "d")
    assert (plan.partial, plan.routes, plan.reset) == ({}, {}, ())
    assert not context.out


def test_a_plan_deals_by_the_speeds_that_reports_name() -> None:
    _, survey, planner = table()
    survey.reports["a"] = report_of(tokens_per_s=30.0)
    survey.reports["b"] = report_of(tokens_per_s=10.0)
    planner.reset_doubles(1)
    assert {peer: len(part) for peer, part in planner.plan(1, planner.left()).train.items()} == {"a": 3, "b": 1}


def test_what_was_counted_somewhere_goes_through_again_and_those_who_counted_it_are_named() -> None:
    context, survey, planner = table()
    survey.take("a", report_of(counted=(0, 1)))
    survey.take("c", report_of(counted=(0,)))
    planner.reset_doubles(7)
    plan = planner.plan(7, planner.left())
    assert plan.partial == {1: ("a", "")}
    assert notes(context.out, "rerouted") == ["step 3: microbatches [1] go through again"]


def test_routes_that_members_report_for_what_is_left_are_in_the_plan() -> None:
    _, survey, planner = table()
    survey.reports["a"] = report_of(routes={2: (0, 3), 9: (0, 2)})
    planner.reset_doubles(1)
    assert planner.plan(1, planner.left()).routes == {2: (0, 3)}


def test_who_drives_a_microbatch_already_goes_on_with_it() -> None:
    _, survey, planner = table()
    survey.reports["b"] = report_of(driving=(0, 1, 2, 3))
    survey.reports["d"] = report_of(driving=(3,))
    planner.reset_doubles(1)
    assert planner.plan(1, planner.left()).train == {"b": (0, 1, 2, 3)}, "d is no origin"


def test_two_that_counted_the_same_make_the_one_with_less_forget() -> None:
    context, survey, planner = table()
    survey.take("c", report_of(counted=(0, 1)))
    survey.take("d", report_of(counted=(1,)))
    planner.planned = True
    planner.reset_doubles(8)
    assert survey.resetting == {"d": 8} and "d" not in survey.ledger.counted
    assert not planner.planned, "a new plan has to say so"
    assert planner.plan(8, planner.left()).reset == ("d",)
    assert notes(context.out, "reset") == [
        "step 3: D (stage 1) forgets what it counted; others counted some of it, too"
    ]


def test_a_plan_names_all_who_have_to_forget_in_order() -> None:
    _, survey, planner = table()
    survey.resetting.update({"d": 7, "b": 6})
    planner.reset_doubles(8)
    assert planner.plan(8, planner.left()).reset == ("b", "d")


def test_those_who_are_left_out_make_nobody_forget() -> None:
    _, survey, planner = table()
    survey.take("c", report_of(counted=(0, 1)))
    survey.take("d", report_of(counted=(1,)))
    survey.excluded.add("c")
    planner.planned = True
    planner.reset_doubles(8)
    assert survey.resetting == {} and planner.planned
    assert planner.left().train == [0, 1, 2, 3]


def test_what_went_through_somebody_that_forgets_does_not_count() -> None:
    _, survey, planner = table()
    survey.resetting["d"] = 8
    planner.reset_doubles(9)
    planner.planned = True
    planner.done(done(1, "d", "a"))
    assert planner.left().train == [0, 1, 2, 3] and survey.ledger.touched == set()
    planner.done(done(1, "c", "a"))
    assert planner.left().train == [0, 2, 3] and planner.planned


def test_what_went_through_somebody_that_does_not_work_is_planned_again() -> None:
    _, survey, planner = table()
    survey.excluded.add("d")
    planner.reset_doubles(9)
    planner.planned = True
    planner.done(done(1, "d", "a"))
    assert not planner.planned and planner.left().train == [0, 1, 2, 3]


def test_when_nothing_comes_through_the_next_plan_is_dealt_otherwise_and_gets_twice_the_time() -> None:
    _, _, planner = table()
    planner.reset_doubles(1)
    first = planner.plan(1, planner.left())
    planner.stalled()
    assert not planner.planned and planner.patience == 2.0
    second = planner.plan(2, planner.left())
    assert (second.train["a"], second.train["b"]) == (first.train["b"], first.train["a"])
    planner.done(done(1, "c", "a"))
    assert planner.patience == 1.0
