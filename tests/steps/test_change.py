"""The change of view or of assignments that is due: who goes, who comes, who is given a stage, who moves."""

from __future__ import annotations

from typing import Any

import pytest

from actors.steps.ballots import Decision
from actors.steps.change import Change, describe_change, next_view
from actors.steps.context import Context
from actors.steps.survey import Survey
from actors.steps.view import Voter
from actors.steps.waiting_room import WaitingRoom
from tests.steps.builders import (
    context_of,
    decision_of,
    enlist_of,
    join_of,
    report_of,
    survey_of,
    voters,
    vouch_for,
    waiting_of,
)

MEMBERS = voters(a=0, b=0, c=1, d=1)
LOG = {**{m.peer_id: (m.stage,) for m in MEMBERS}, "x": (1,), "y": (0,)}


class Table:
    """Two stages of two; x was given stage 1 and y stage 0, and both can be reached. All members hold commit 3."""

    def __init__(self, decided: dict[str, Any] | None = None, **changes: Any) -> None:
        self.before = decision_of(MEMBERS, **{"assigned": LOG, **(decided or {})})
        self.context: Context = context_of(self.before, usable="abcdxyz", **changes)
        self.survey: Survey = survey_of(self.context, **{peer: report_of() for peer in "abcd"})
        self.waiting: WaitingRoom = waiting_of(self.context)

    def joins(self, peer: str, stage: int, vouched: bool = True, **changes: Any) -> None:
        """Somebody asks to be let in; a replica has compared parameters."""
        self.waiting.receive(peer, join_of(peer, stage, **changes))
        if vouched:
            vouch_for(self.waiting, peer, life=changes.get("life", 1))

    def change(self, *, idle: bool = True, spent: bool = False) -> Change:
        """What is due."""
        return next_view(self.context, self.waiting, self.survey, idle=idle, spent=spent)

    def after(self, **given: bool) -> Decision:
        """The decision that is due."""
        decision = self.change(**given).decision
        assert decision is not None
        return decision

    def view(self, **given: bool) -> str:
        """Members of the view that is due."""
        return "".join(member.peer_id for member in self.after(**given).members)


def test_nothing_is_due_where_nothing_has_changed() -> None:
    assert Table().change() == Change(None)


def test_a_change_keeps_what_the_decision_before_it_says() -> None:
    """Who missed the last commit needs its averages, holders and clip factor still."""
    kept: dict[str, Any] = {
        "averages": {0: "x"}, "holders": ("a", "c"), "clip_factor": 0.5, "source": (0, 2), "returns": ((9, 3),)
    }  # fmt: skip
    table = Table(kept)
    table.context.stored = (1, 3)
    table.context.gone["d"] = "dead"
    after = table.after()
    assert (after.slot, after.view_number, after.step, after.record) == (6, 3, 3, None)
    assert after.members == MEMBERS[:3]
    assert {name: getattr(after, name) for name in kept} == kept
    assert (after.stored, after.assigned, after.spares, after.finished) == ((1, 3), LOG, (), False)


# Who goes


def test_who_is_held_dead_goes_at_once_also_while_averaging_is_under_way() -> None:
    table = Table()
    table.context.gone["d"] = "dead"
    assert table.view(idle=False, spent=True) == "abc"


def test_who_merely_cannot_be_reached_stays() -> None:
    table = Table()
    table.context.usable.discard("d")
    assert table.change().decision is None


def test_the_leader_does_not_put_itself_out() -> None:
    table = Table()
    table.context.gone["a"] = "dead"
    assert table.change().decision is None


@pytest.mark.parametrize("what", ["join", "enlist"])
def test_a_newer_process_of_a_member_proves_that_the_old_one_is_gone(what: str) -> None:
    table = Table()
    message = join_of("d", 1, life=2) if what == "join" else enlist_of("d", life=2)
    table.waiting.receive("d", message)
    assert table.view() == "abc"
    same = Table()
    same.waiting.receive("d", join_of("d", 1))
    assert same.change().decision is None, "its own process proves nothing"


def test_a_newer_process_takes_the_place_of_the_old_one_in_one_change() -> None:
    table = Table()
    table.joins("d", 1, life=2)
    assert table.after().members == (*MEMBERS[:3], Voter("d", 2, "D", 1))


# Who comes


def test_who_holds_the_parameters_and_was_vouched_for_is_let_in_by_a_new_view() -> None:
    table = Table()
    table.joins("x", 1)
    after = table.after()
    assert (after.view_number, after.members) == (3, (*MEMBERS, Voter("x", 1, "X", 1)))
    assert after.spares == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"vouched": False},
        {"held": 2},
        {"held": 4},
        {"era": 1},
        {"unreachable": ("c",)},
        {"unreachable": ("a",)},
        {"stage": 0},
        {"stage": 2},
    ],
    ids=["no voucher", "behind", "ahead", "another era", "cannot average", "cannot be reached by the leader",
         "a stage that it was not given", "no such stage"],
)  # fmt: skip
def test_who_cannot_work_at_once_is_not_let_in(changes: dict[str, Any]) -> None:
    table = Table()
    values: dict[str, Any] = {"stage": 1, **changes}
    table.joins("x", values.pop("stage"), **values)
    assert table.change().decision is None


def test_who_asks_as_of_an_era_that_was_given_up_is_not_let_in() -> None:
    """The run has returned twice since: commit 3 of era 1 is not the commit 3 of era 2."""
    table = Table({"returns": ((9, 2), (8, 2))})
    table.joins("x", 1, era=1)
    table.joins("y", 0, era=2)
    assert table.view() == "abcdy"


def test_the_voucher_must_be_about_this_commit_and_this_process() -> None:
    for commit, life in ((2, 1), (3, 2)):
        table = Table()
        table.joins("x", 1, vouched=False)
        vouch_for(table.waiting, "x", commit=commit, life=life)
        assert table.change().decision is None


def test_where_no_replica_is_left_to_vouch_none_is_needed() -> None:
    table = Table()
    for peer in "cd":
        table.survey.reports[peer] = report_of(held=2)
    table.joins("x", 1, vouched=False)
    assert table.view() == "abcdx"


def test_a_stage_that_was_once_held_is_not_taken_up_again_without_a_new_assignment() -> None:
    table = Table({"assigned": {**LOG, "x": (1, 0)}})
    table.joins("x", 1)
    assert table.change().decision is None
    table.joins("x", 0)
    assert table.view() == "abcdx"


def test_nobody_is_let_in_beyond_its_share() -> None:
    table = Table({"assigned": {**LOG, "x": (0, 1)}}, max_share=0.5)
    table.joins("x", 1)
    assert table.change().decision is None


@pytest.mark.parametrize(("usable", "gone"), [("abcdy", ""), ("abcdxy", "x")], ids=["cannot be reached", "dead"])
def test_who_is_not_there_is_not_let_in(usable: str, gone: str) -> None:
    table = Table()
    table.joins("x", 1)
    table.context.usable = set(usable)
    table.context.gone = dict.fromkeys(gone, "dead")
    assert table.change().decision is None


def test_a_joiner_that_does_not_reach_another_stage_is_let_in_after_ten_beats() -> None:
    table = Table()
    table.joins("x", 1, unreachable=("a",))
    table.context.now = 10.0
    assert table.view() == "abcdx"
    own = Table()
    own.joins("x", 1, unreachable=("c",))
    own.context.now = 10.0
    assert own.change().decision is None, "with those of its stage it has to average"


def test_whom_the_leader_cannot_reach_either_no_joiner_needs_to_reach() -> None:
    table = Table()
    table.context.usable.discard("b")
    table.joins("x", 1, unreachable=("b",))
    assert table.view() == "abcdx"


def test_a_joiner_does_not_take_the_name_of_a_member() -> None:
    table = Table()
    table.waiting.receive("x", join_of("b", 1))
    vouch_for(table.waiting, "x")
    assert table.change().decision is None


def test_two_joiners_of_one_name_do_not_come_in_together() -> None:
    """The record of a step is by names: of two that share one, the work of only one would be in it."""
    table = Table()
    for peer in ("x", "y"):
        table.waiting.receive(peer, join_of("n", LOG[peer][0]))
        vouch_for(table.waiting, peer)
    assert len({member.name for member in table.after().members}) == len(table.after().members) == 5


def test_nobody_comes_while_averaging_is_under_way() -> None:
    table = Table()
    table.joins("x", 1)
    table.waiting.receive("z", enlist_of("z"))
    assert table.change(idle=False, spent=True).decision is None
    assert table.view(spent=True) == "abcdx", "that something was counted holds no joiner up"


def test_a_spare_that_is_let_in_is_written_down_and_one_that_works_again_is_not() -> None:
    table = Table({"spares": ("y",)})
    table.joins("x", 1, spare=True)
    table.joins("y", 0)
    assert table.after().spares == ("x",)


def test_who_came_and_who_went_is_said_by_name() -> None:
    assert describe_change(MEMBERS, voters(a=0, b=0, c=1, x=1)) == "without D and with X"
    assert describe_change(MEMBERS, MEMBERS) == "unchanged"
    assert describe_change(MEMBERS[:2], MEMBERS) == "with C, D"
