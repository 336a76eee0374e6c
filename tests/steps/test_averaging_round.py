"""A round of averaging as its leader sees it: the order, the reports, and what follows from them."""

from __future__ import annotations

from typing import Any

import pytest

from actors.steps.averaging_round import Round
from actors.steps.ballots import Prepared, Stuck
from actors.steps.context import Context
from actors.steps.survey import Survey
from tests.steps.builders import context_of, decision_of, prepared_of, report_of, survey_of, voters

MEMBERS = voters(a=0, b=0, c=1, d=1)


def table(**changes: Any) -> tuple[Context, Survey, Round]:
    """Stage 0 has dealt the four microbatches out; at stage 1 c has counted all."""
    context = context_of(decision_of(MEMBERS), **changes)
    held = {"a": (2, 0), "b": (1, 3), "c": (3, 2, 1, 0), "d": ()}
    survey = survey_of(context, **{peer: report_of(counted=indices) for peer, indices in held.items()})
    survey.ledger.among = frozenset("abcd")
    return context, survey, Round(context, survey)


def all_report(one: Round, **changes: dict[str, Any]) -> list[bool]:
    """Whether all are there after each report."""
    right: dict[str, dict[str, Any]] = {
        "a": {"counted": (0, 2), "average": "x", "squares": 9.0},
        "b": {"counted": (1, 3), "average": "x", "squares": 9.0},
        "c": {"counted": (0, 1, 2, 3), "average": "y", "squares": 16.0},
        "d": {"counted": (), "average": "y", "squares": 16.0},
    }
    return [one.take(peer, prepared_of(**{**given, **changes.get(peer, {})})) for peer, given in right.items()]


def test_the_order_names_who_averages_and_exactly_what_each_has_counted() -> None:
    _, _, one = table()
    order = one.begin(7)
    assert (order.slot, order.ballot, order.number, order.step) == (6, 0, 7, 3)
    assert order.groups == {0: ("a", "b"), 1: ("c", "d")}
    assert order.counted == {"a": (0, 2), "b": (1, 3), "c": (0, 1, 2, 3), "d": ()}
    assert one.members == {"a", "b", "c", "d"}
    assert one.expected("b") == {1, 3} and one.expected("d") == set() == one.expected("x")


def test_who_is_left_out_of_the_step_does_not_average() -> None:
    _, survey, one = table()
    survey.excluded.add("d")
    order = one.begin(7)
    assert order.groups == {0: ("a", "b"), 1: ("c",)} and "d" not in order.counted


def test_without_a_round_nothing_concerns_anybody() -> None:
    _, _, one = table()
    assert one.members == set() == one.expected("a") and one.late() == []
    assert not one.concerns("a", prepared_of())


@pytest.mark.parametrize(
    ("at", "concerns"), [((6, 0, 2), True), ((6, 0, 1), False), ((6, 3, 2), False), ((5, 0, 2), False)]
)
def test_a_report_is_about_the_round_of_its_slot_ballot_and_number(at: tuple[int, int, int], concerns: bool) -> None:
    _, _, one = table()
    one.begin(2)
    assert one.concerns("a", prepared_of(at=at)) is concerns
    assert one.concerns("a", Stuck(*at, ("b",))) is concerns
    assert not one.concerns("x", prepared_of(at=at)), "who does not average has nothing to report"
    one.stop()
    assert not one.concerns("a", prepared_of(at=at)) and one.members == set()


def test_the_round_is_over_when_every_member_has_reported() -> None:
    _, _, one = table()
    one.begin(2)
    assert all_report(one) == [False, False, False, True]
    one.begin(3)
    assert all_report(one) == [False, False, False, True], "a new round needs new reports"


def test_the_norm_is_over_all_stages_and_counts_each_stage_once() -> None:
    """Sums of squares 9 and 16, whichever replica says it: the root of 25 is 5, and 2 / 5 of the gradient is left."""
    _, _, one = table(clip=2.0)
    one.begin(2)
    all_report(one)
    decision = one.outcome([], closing=False).decision
    assert decision is not None and decision.record is not None
    assert decision.record.grad_norm == 5.0
    assert decision.clip_factor == decision.record.clip_factor == pytest.approx(0.4, rel=1e-5)


def test_the_commit_has_the_losses_of_the_ledger_and_the_corpus_of_those_who_work() -> None:
    context, survey, one = table()
    for index, loss in enumerate((1.0, 2.0, 3.0, 6.0)):
        for counted in survey.ledger.counted.values():
            if index in counted:
                counted[index] = loss
    survey.reports["b"] = report_of(counted=(1, 3), data_ok=False)
    context.now = 4.0
    one.begin(2)
    context.now = 9.0
    all_report(one)
    decision = one.outcome([2.0, 4.0], closing=False).decision
    assert decision is not None and decision.record is not None
    assert (decision.record.loss, decision.record.validation_loss) == (3.0, 3.0)
    assert decision.record.sources == ["A", "C", "D"]
    assert (decision.record.work_seconds, decision.record.seconds) == (4.0, 9.0), "averaging began at second 4"
    assert (decision.step, decision.averages, decision.holders) == (4, {0: "x", 1: "y"}, ("a", "b", "c", "d"))


def test_a_closing_round_has_no_losses() -> None:
    _, survey, one = table()
    survey.ledger.counted.clear()
    one.begin(2)
    all_report(one, **{peer: {"counted": (), "average": "", "squares": 0.0} for peer in "abcd"})
    decision = one.outcome([2.0], closing=True).decision
    assert decision is not None and decision.record is not None and decision.finished
    assert (decision.record.loss, decision.record.validation_loss, decision.record.tokens) == (None, 2.0, 0)


def test_who_holds_other_parameters_than_most_is_named_with_its_hash() -> None:
    context = context_of(decision_of(voters(a=0, b=0, c=0)), stages=1)
    survey = survey_of(context, a=report_of(counted=(0, 1, 2, 3)), b=report_of(), c=report_of())
    one = Round(context, survey)
    one.begin(2)
    for peer, hashed in (("a", "p"), ("b", "q"), ("c", "p")):
        one.take(peer, prepared_of((0, 1, 2, 3) if peer == "a" else (), parameters=hashed))
    outcome = one.outcome([], closing=False)
    assert outcome.odd == {"b": "q"} and outcome.decision is None and not outcome.wrong and not outcome.fatal


def test_several_are_named_in_the_order_of_identities() -> None:
    peers = voters(a=0, b=0, c=0, d=0, e=0, f=0, g=0)
    context = context_of(decision_of(peers), stages=1)
    one = Round(context, survey_of(context, **{m.peer_id: report_of() for m in peers}))
    one.begin(2)
    for peer in "gfedcba":
        one.take(peer, prepared_of(parameters="q" if peer in "bdf" else "p"))
    assert list(one.outcome([], closing=False).odd or {}) == ["b", "d", "f"]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"a": {"average": "z"}}, "different averages"),
        ({"a": {"counted": (0,)}}, "counted microbatch 2 0 times"),
        ({"a": {"squares": float("inf")}}, "the gradient norm is inf; lower optimizer.lr"),
        ({"c": {"squares": float("nan")}}, "the gradient norm is nan; lower optimizer.lr"),
        ({"a": {"parameters": "q"}}, "hold different parameters"),
    ],
    ids=["averages", "lost", "infinite", "no number", "one against one"],
)
def test_reports_that_do_not_fit_begin_the_average_again_twice_and_then_end_the_run(
    changes: dict[str, dict[str, Any]], why: str
) -> None:
    _, _, one = table()
    fatal = []
    for number in (2, 3, 4):
        one.begin(number)
        all_report(one, **changes)
        outcome = one.outcome([], closing=False)
        assert outcome.decision is None and not outcome.odd
        assert why in outcome.wrong
        fatal.append(outcome.fatal)
    assert fatal == [False, False, True]


def test_who_keeps_averaging_up_twice_is_named() -> None:
    _, _, one = table()
    one.begin(2)
    assert one.stuck("a", Stuck(6, 0, 2, ("b",))) == ""
    assert not one.hopeless("b")
    assert one.stuck("c", Stuck(6, 0, 2, ("d",))) == "", "another one, once"
    assert one.stuck("a", Stuck(6, 0, 2, ("b", "b"))) == "b"
    assert one.hopeless("b") and not one.hopeless("d")


def test_naming_somebody_twice_at_once_counts_once_and_naming_nobody_accuses_nobody() -> None:
    _, _, one = table()
    one.begin(2)
    assert one.stuck("a", Stuck(6, 0, 2, ("b", "b", "b"))) == ""
    fresh = table()[2]
    fresh.begin(2)
    assert fresh.stuck("a", Stuck(6, 0, 2, ())) == ""


def test_of_two_who_keep_it_up_as_often_the_first_in_order_is_named_whatever_the_order_of_the_report() -> None:
    for missing in (("b", "d"), ("d", "b")):
        _, _, one = table()
        one.begin(2)
        one.stuck("a", Stuck(6, 0, 2, missing))
        assert one.stuck("a", Stuck(6, 0, 2, missing)) == "b"


def test_who_does_not_report_in_time_is_hopeless_the_second_time() -> None:
    _, _, one = table()
    for number, hopeless in ((2, False), (3, True)):
        one.begin(number)
        report: Prepared = prepared_of((0, 2))
        one.take("a", report)
        one.take("c", report)
        assert one.late() == ["b", "d"]
        assert [one.hopeless(peer) for peer in "abcd"] == [False, hopeless, False, hopeless]
