"""A stage that nobody holds any more: what is really lost, and the commit that the run returns to."""

from __future__ import annotations

from typing import Any

import pytest

from actors.steps.ballots import Decision, Report
from actors.steps.context import Context
from actors.steps.returning import kept_commits, lost_stages, return_decision, rollback_decision
from actors.steps.survey import Survey
from actors.steps.view import Voter
from actors.steps.waiting_room import WaitingRoom
from tests.steps.builders import (
    context_of,
    decision_of,
    join_of,
    report_of,
    survey_of,
    voters,
    waiting_of,
)

MEMBERS = voters(a=0, b=0, c=1, d=1)
LOG = {**{m.peer_id: (m.stage,) for m in MEMBERS}, "x": (1,), "y": (1,)}


class Table:
    """Step 17 is under way in era 0; stage 1 has c and d. x and y were given stage 1 and have no vote."""

    def __init__(self, decided: dict[str, Any] | None = None, usable: str = "abcdxy", **setup: Any) -> None:
        values: dict[str, Any] = {"assigned": LOG, "step": 17, **(decided or {})}
        self.context: Context = context_of(decision_of(MEMBERS, **values), usable=usable, **setup)
        self.survey: Survey = survey_of(self.context)
        self.waiting: WaitingRoom = waiting_of(self.context)

    def reports(self, **reports: Report) -> Table:
        """What members have said."""
        self.survey.reports.update(reports)
        return self

    def joins(self, peer: str, **changes: Any) -> Table:
        """Somebody without a vote asks to be let in to stage 1."""
        values: dict[str, Any] = {"held": -1, **changes}
        self.waiting.receive(peer, join_of(values.pop("name", peer), 1, **values))
        return self

    def returns(self) -> tuple[Decision | None, str]:
        """The return to what is kept."""
        return return_decision(self.context, self.survey, self.waiting, [1])

    def goes_back(self) -> Decision:
        """It is possible."""
        decision, _ = self.returns()
        assert decision is not None
        return decision

    def rolls_back(self) -> tuple[Decision | None, str]:
        """The return to a checkpoint."""
        return rollback_decision(self.context, self.survey, self.waiting, [1])


def kept(*commits: int, held: int = -1, **changes: Any) -> Report:
    return report_of(held=held, kept=commits, **changes)


@pytest.mark.parametrize(
    ("usable", "gone", "d", "lost"),
    [
        ("abcd", "", report_of(held=16), True),
        ("abcd", "", report_of(held=-1), True),
        ("abcd", "", report_of(held=17), False),
        ("abcd", "", report_of(held=-1, kept=(12, 17)), False),
        ("abcd", "", report_of(held=-1, kept=(12, 15)), True),
        ("abcd", "", report_of(held=-1, restoring=True), False),
        ("abcd", "", None, False),
        ("abc", "", report_of(held=-1), False),
        ("abc", "d", report_of(held=17), True),
    ],
    ids=[
        "behind",
        "empty",
        "holds it",
        "on its disk",
        "an earlier one",
        "on its way",
        "says nothing",
        "cut off",
        "dead",
    ],
)
def test_a_stage_is_lost_when_each_member_is_dead_or_says_that_it_has_the_commit_nowhere(
    usable: str, gone: str, d: Report | None, lost: bool
) -> None:
    table = Table(usable=usable).reports(c=report_of(held=-1))
    if d is not None:
        table.reports(d=d)
    table.context.gone = dict.fromkeys(gone, "dead")
    assert lost_stages(table.context, table.survey, [1]) == ([1] if lost else [])
    assert lost_stages(table.context, table.survey, []) == []


def test_who_is_here_can_return_to_what_it_kept_with_a_vote_or_without() -> None:
    table = Table(usable="abdxy").reports(a=kept(15, 12), c=kept(12), d=kept(12, 9)).joins("x", kept=(15,))
    assert kept_commits(table.context, table.survey, table.waiting) == {
        0: {15: {"a"}, 12: {"a"}},
        1: {12: {"d"}, 9: {"d"}, 15: {"x"}},
    }, "c cannot be reached"


@pytest.mark.parametrize(
    ("stage_0", "stage_1", "commit"),
    [
        ([(15, 12, 9)], [(15, 12)], 15),
        ([(15, 12, 9)], [(12, 9)], 12),
        ([(15,), (12,)], [(12,)], 12),
        ([(18, 12)], [(18, 12)], 12),
        ([(17, 12)], [(17, 12)], 17),
        ([(15,)], [(12,)], None),
        ([()], [(12,)], None),
        ([(0,)], [(3, 0)], 0),
    ],
    ids=["the newest", "not all have it", "by any replica", "beyond the step", "the step itself", "none in common",
         "none", "the beginning"],
)  # fmt: skip
def test_the_run_returns_to_the_newest_commit_that_every_stage_has_kept(
    stage_0: list[tuple[int, ...]], stage_1: list[tuple[int, ...]], commit: int | None
) -> None:
    table = Table()
    for stage, peers in ((stage_0, "ab"), (stage_1, "cd")):
        table.reports(**{peer: kept(*commits) for peer, commits in zip(peers, stage, strict=False)})
    decision, _ = table.returns()
    assert (decision.step if decision is not None else None) == commit


def test_what_has_to_come_back_is_named() -> None:
    assert Table().returns() == (None, "nobody who is here has kept a state of stage 0, 1")
    assert Table().reports(a=kept(12)).returns() == (None, "nobody who is here has kept a state of stage 1")
    why = "there is no commit that participants of every stage have kept"
    assert Table().reports(a=kept(12), c=kept(9)).returns() == (None, why)


def test_the_decision_says_what_is_given_up_and_needs_no_average() -> None:
    decided: dict[str, Any] = {
        "averages": {0: "x"}, "holders": ("a",), "spares": ("b",), "returns": ((9, 6),), "clip_factor": 0.5
    }  # fmt: skip
    table = Table(decided).reports(a=kept(12), c=kept(12))
    table.context.stored = (1, 9)
    decision, text = table.returns()
    assert decision is not None
    assert (decision.slot, decision.step, decision.returns) == (6, 12, ((9, 6), (17, 12)))
    assert (decision.view_number, decision.members) == (2, MEMBERS), "nobody has come"
    assert (decision.record, decision.averages, decision.holders) == (None, {}, ())
    assert (decision.source, decision.stored) == ((-1, -1), (1, 9))
    assert (decision.assigned, decision.spares) == (LOG, ("b",))
    assert text == "nobody holds stage 1 any more; 5 steps are trained again"


@pytest.mark.parametrize(("stored", "left"), [((0, 12), (0, 12)), ((0, 13), (-1, -1)), ((0, 9), (0, 9))])
def test_a_checkpoint_of_what_is_given_up_is_none(stored: tuple[int, int], left: tuple[int, int]) -> None:
    table = Table().reports(a=kept(12), c=kept(12))
    table.context.stored = stored
    assert table.goes_back().stored == left


def test_those_without_a_vote_who_kept_the_commit_are_let_in_to_the_lost_stage() -> None:
    table = Table().reports(a=kept(12, 9)).joins("x", kept=(12,), life=4).joins("y", kept=(9,))
    decision = table.goes_back()
    assert (decision.view_number, decision.members) == (3, (*MEMBERS, Voter("x", 4, "X", 1)))


def test_of_two_of_one_name_one_is_let_in() -> None:
    table = Table().reports(a=kept(12)).joins("y", name="n", kept=(12,)).joins("x", name="n", kept=(12,))
    assert table.goes_back().members == (*MEMBERS, Voter("x", 1, "N", 1)), "the first in order"
    member = Table().reports(a=kept(12)).joins("x", name="c", kept=(12,))
    assert member.goes_back().members == MEMBERS


@pytest.mark.parametrize(
    ("joins", "table"),
    [
        ({"era": 1}, Table()),
        ({}, Table({"assigned": {**LOG, "x": (1, 0)}})),
        ({}, Table({"assigned": {**LOG, "x": (0, 1)}}, max_share=0.5)),
        ({}, Table(usable="abcd")),
    ],
    ids=["another era", "was given another stage", "beyond the share", "cannot be reached"],
)
def test_who_may_not_take_the_stage_up_is_not_counted_on(joins: dict[str, Any], table: Table) -> None:
    table.reports(a=kept(12)).joins("x", kept=(12,), **joins)
    assert table.returns() == (None, "nobody who is here has kept a state of stage 1")


def test_the_dead_and_those_with_a_vote_are_not_let_in_again() -> None:
    table = Table().reports(a=kept(12)).joins("x", kept=(12,)).joins("c", kept=(12,))
    table.context.gone["x"] = "dead"
    assert table.returns()[0] is None
