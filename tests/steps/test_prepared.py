"""From a replica's gradient to its report: it holds exactly what the order says, or there is none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from actors.steps.ballots import Prepared
from actors.steps.chunks import average_digest
from actors.steps.effects import Discard, ExportGradient
from actors.steps.events import GradientExported
from actors.steps.messages import Phase, Slice
from tests.steps.ordered import EXPORTED, LEADER, SLOT, TRAFFIC, Follower, average
from tests.steps.parts import STEP, clear, mail, vector, wanted


def averaging() -> Follower:
    """s1a has counted 4, and is asked for exactly that."""
    one = Follower(4)
    one.follow(average(4))
    clear(one.context)
    return one


def prepared(one: Follower) -> list[Prepared]:
    assert {to for to, _ in mail(one.context, Prepared)} <= {LEADER}
    return [message for _, message in mail(one.context, Prepared)]


def test_a_report_says_which_average_is_here_and_of_what() -> None:
    one = averaging()
    one.hop.tokens_per_s = 50.0
    one.orders.exported(EXPORTED)
    assert prepared(one) == [
        Prepared(SLOT, 0, 2, average_digest(vector(1, 2), 1), 5.0, "parameters", (4,), 50.0, TRAFFIC)
    ]
    assert one.averaging.order is None, "it is told once"
    one.orders.report_average()
    assert len(prepared(one)) == 1


def test_what_was_counted_is_told_in_order() -> None:
    one = Follower(6, 4)
    one.follow(average(6, 4))
    one.orders.exported(replace(EXPORTED, counted=frozenset({4, 6})))
    assert [report.counted for report in prepared(one)] == [(4, 6)]


def test_where_others_average_too_the_report_waits_for_their_parts() -> None:
    one = Follower(4)
    one.follow(average(4, groups={1: ("s1a", "s1b")}))
    one.orders.exported(EXPORTED)
    one.averaging.slice("s1b", Slice(STEP, SLOT, 0, 2, Phase.SCATTER, 0), vector(10))
    one.orders.report_average()
    assert prepared(one) == []
    one.averaging.slice("s1b", Slice(STEP, SLOT, 0, 2, Phase.GATHER, 1), vector(3))
    one.orders.report_average()
    assert [(report.average_hash, report.sum_of_squares) for report in prepared(one)] == [
        (average_digest(vector(11, 3), 2), 130.0)
    ]


def test_a_complete_average_of_an_earlier_round_is_no_report_of_this_one() -> None:
    one = averaging()
    one.orders.exported(EXPORTED)
    clear(one.context)
    one.follow(average(4, number=3, groups={1: ("s1a", "s1b")}))
    one.orders.exported(replace(EXPORTED, number=2))
    assert one.averaging.prepared is not None
    one.orders.report_average()
    assert prepared(one) == []


@pytest.mark.parametrize(
    "event",
    [replace(EXPORTED, step=STEP - 1), replace(EXPORTED, number=0), replace(EXPORTED, number=2)],
    ids=["another step", "an earlier request", "a later request"],
)
def test_a_gradient_that_was_not_asked_for_now_changes_nothing(event: GradientExported) -> None:
    one = averaging()
    one.orders.exported(event)
    assert prepared(one) == [] and one.averaging.order is not None and one.hop.frozen
    one.orders.exported(EXPORTED)
    assert len(prepared(one)) == 1


def test_a_gradient_without_a_round_changes_nothing() -> None:
    one = Follower(4)
    one.orders.exported(EXPORTED)
    assert prepared(one) == [] and one.told == 0


def test_a_gradient_that_holds_more_than_the_order_says_ends_the_round() -> None:
    """One that was under way was counted between the order and the export."""
    one = averaging()
    one.hop.counted[6] = 0.5
    one.orders.exported(replace(EXPORTED, counted=frozenset({4, 6})))
    assert prepared(one) == [] and one.averaging.order is None
    assert not one.hop.frozen and one.told == 1
    assert set(one.hop.counted) == {4, 6} and Discard() not in one.context.out


def test_shards_that_hold_something_else_than_was_counted_are_emptied() -> None:
    one = averaging()
    one.orders.exported(replace(EXPORTED, counted=frozenset({6})))
    assert one.hop.counted == {} and Discard() in one.context.out
    assert prepared(one) == [] and not one.hop.frozen and one.told == 1
    assert wanted(one.context, ExportGradient) == []


def test_where_nothing_should_be_counted_emptied_shards_fit() -> None:
    one = Follower()
    one.follow(average())
    clear(one.context)
    one.orders.exported(replace(EXPORTED, counted=frozenset({6})))
    assert Discard() in one.context.out and one.told == 0
    (export,) = wanted(one.context, ExportGradient)
    one.orders.exported(replace(EXPORTED, number=export.number, counted=frozenset()))
    assert [report.counted for report in prepared(one)] == [()]


def test_a_closing_step_reports_without_an_average() -> None:
    """The run has three steps, 0 to 2: in step 3 there is nothing to average, whatever was counted."""
    one = Follower(4, steps=STEP)
    one.follow(average())
    assert prepared(one) == [Prepared(SLOT, 0, 2, "", 0.0, "parameters", (4,), 0.0, TRAFFIC)]
    assert wanted(one.context, ExportGradient) == []
    last = Follower(steps=STEP + 1)
    last.follow(average())
    assert prepared(last) == [] and len(wanted(last.context, ExportGradient)) == 1


def test_a_round_that_was_broken_off_reports_nothing() -> None:
    one = averaging()
    one.averaging.stop()
    one.orders.exported(EXPORTED)
    one.orders.report_average()
    assert prepared(one) == []
