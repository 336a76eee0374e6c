"""What a change does to stages: newcomers are given one, leavers go in turn, a replica of a rich stage moves."""

from __future__ import annotations

from typing import Any

import pytest

from actors.steps.ballots import Depart
from tests.steps.builders import enlist_of, report_of, voters
from tests.steps.test_change import LOG, MEMBERS, Table

ALONE: dict[str, Any] = {"assigned": {m.peer_id: (m.stage,) for m in MEMBERS}}
"""Nobody is on the way."""


def speeds(table: Table, **given: float) -> Table:
    table.context.router.learn(given)
    return table


# Assignments


def test_who_has_no_stage_is_given_the_one_that_limits_the_run() -> None:
    """Stage 0 does 3 + 3, and 2 more on the way; stage 1 does 2 + 2, and 2 on the way."""
    table = speeds(Table(), a=3.0, b=3.0, c=2.0, d=2.0, x=2.0, y=2.0)
    table.waiting.receive("z", enlist_of("z"))
    change = table.change()
    assert change.decision is not None
    assert change.decision.assigned == {**LOG, "z": (1,)}
    assert (change.decision.view_number, change.decision.members) == (2, MEMBERS), "no voter has come or gone"
    assert change.notes == (("assigned", "Z is given stage 1, which limits the run"),)
    assert change.denied == ()


def test_several_at_once_are_spread_as_each_counts_for_the_next() -> None:
    """All do one token/s: 2 and 2, so the first goes to stage 0, the second to stage 1."""
    table = Table(ALONE)
    table.waiting.receive("y", enlist_of("y"))
    table.waiting.receive("z", enlist_of("z"))
    table.waiting.receive("x", enlist_of("x"))
    assert table.after().assigned == {**ALONE["assigned"], "y": (0,), "z": (1,), "x": (0,)}


def test_those_who_leave_do_not_strengthen_their_stage() -> None:
    table = Table(ALONE)
    table.waiting.receive("d", Depart(5, 1))
    table.waiting.receive("z", enlist_of("z"))
    assert table.after(spent=True).assigned["z"] == (1,)


def test_spares_are_spread_over_stages_by_themselves() -> None:
    """Stage 0 has a spare, y; so z stands by at stage 1, however slow stage 0 is."""
    table = speeds(Table({"spares": ("y",)}), a=0.1, b=0.1, c=9.0, d=9.0)
    table.waiting.receive("z", enlist_of("z", spare=True))
    after = table.after()
    assert (after.assigned["z"], after.spares) == ((1,), ("y", "z"))
    assert table.change().notes == (("assigned", "Z is given stage 1 as a spare"),)


def test_two_spares_at_once_do_not_stand_by_at_the_same_stage() -> None:
    table = Table(ALONE)
    for peer in "yzx":
        table.waiting.receive(peer, enlist_of(peer, spare=True))
    after = table.after()
    assert (after.assigned["y"], after.assigned["z"]) == ((0,), (1,))
    assert after.spares == ("x", "y", "z"), "in order"


@pytest.mark.parametrize(("usable", "gone"), [("abcdxy", ""), ("abcdxyz", "z")], ids=["cannot be reached", "dead"])
def test_who_is_not_there_is_given_no_stage(usable: str, gone: str) -> None:
    table = Table()
    table.waiting.receive("z", enlist_of("z"))
    table.context.usable, table.context.gone = set(usable), dict.fromkeys(gone, "dead")
    assert table.change().decision is None


def test_who_was_given_a_stage_is_given_no_other_by_asking_again() -> None:
    table = Table()
    table.waiting.receive("x", enlist_of("x", wish=0))
    assert table.change().decision is None


def test_who_can_be_given_no_stage_is_named_and_others_are_given_theirs() -> None:
    table = Table(ALONE, stage_bytes=(100, 200))
    table.waiting.receive("y", enlist_of("y", memory=50))
    table.waiting.receive("z", enlist_of("z", memory=150))
    change = table.change()
    assert change.denied == ("y",)
    assert change.decision is not None and change.decision.assigned == {**ALONE["assigned"], "z": (0,)}
    alone = Table(ALONE, stage_bytes=(100, 200))
    alone.waiting.receive("y", enlist_of("y", memory=50))
    assert (alone.change().decision, alone.change().denied) == (None, ("y",))


def test_a_wish_is_granted() -> None:
    table = Table(ALONE)
    table.waiting.receive("z", enlist_of("z", wish=1))
    assert table.after().assigned["z"] == (1,)


# Leaving


def leaving(table: Table, **lives: int) -> Table:
    for peer, life in lives.items():
        table.waiting.receive(peer, Depart(5, life))
    return table


def test_who_wants_to_go_is_let_go_before_anything_is_counted() -> None:
    assert leaving(Table(), d=1).view() == "abc"


def test_nobody_is_let_go_while_something_is_counted_or_averaged() -> None:
    assert leaving(Table(), d=1).change(spent=True).decision is None
    assert leaving(Table(), d=1).change(idle=False).decision is None


def test_of_two_replicas_that_want_to_go_one_stays() -> None:
    assert leaving(Table(), c=1, d=1).view() == "abd"
    assert leaving(Table(), d=1, c=1).view() == "abc", "the first who asked goes"
    assert leaving(Table(), a=1, d=1).view() == "bc", "of two stages one each may go"


def test_the_last_of_a_stage_stays_whoever_else_cannot_serve_it() -> None:
    table = leaving(Table(), d=1)
    table.survey.reports["c"] = report_of(held=2)
    assert table.change().decision is None, "c does not hold the parameters"
    table.survey.reports["c"] = report_of(data_ok=False)
    assert table.change().decision is None, "c has no corpus for the labels"


def test_only_the_process_that_has_the_vote_can_give_it_up() -> None:
    assert leaving(Table(), d=2).change().decision is None
    assert leaving(Table(), z=1).change().decision is None, "z has none"


# Moving


def rich(**changes: Any) -> Table:
    """Stage 0 has a, b and two more of one token/s, stage 1 only e; all has been quiet for long."""
    members = voters(a=0, b=0, c=0, d=0, e=1)
    table = Table(ALONE, moves=True)
    log: dict[str, tuple[int, ...]] = {m.peer_id: (m.stage,) for m in members}
    table.before = type(table.before)(6, 3, members, 30, assigned=log, **changes)
    table.context.agreement.decided(table.before)
    table.context.usable |= {"e"}
    table.context.now = 100.0
    for peer in "abcde":
        table.survey.reports[peer] = report_of(held=30)
    return table


def test_a_replica_of_a_rich_stage_moves_out_of_the_view_and_to_the_poor_one_in_the_log() -> None:
    table = rich()
    change = table.change()
    assert change.decision is not None
    assert "".join(m.peer_id for m in change.decision.members) == "bcde"
    assert change.decision.view_number == 4
    assert change.decision.assigned == {**table.before.assigned, "a": (0, 1)}
    detail = "A (stage 0) moves to stage 1: the slowest stage does 1 tokens/s, and should do 2 afterwards"
    assert change.notes == (("moves", detail),)


def test_nobody_moves_once_something_is_counted_or_averaged() -> None:
    assert rich().change(spent=True).decision is None
    assert rich().change(idle=False).decision is None


def test_nobody_moves_while_somebody_wants_to_go_or_the_view_changes() -> None:
    wanting = rich()
    wanting.waiting.receive("e", Depart(5, 1))
    assert wanting.change().decision is None, "the last of stage 1 may not go, and a successor is given the stage"
    dying = rich()
    dying.context.gone["d"] = "dead"
    assert dying.after().assigned == dying.before.assigned


def test_nobody_moves_while_somebody_does_not_work() -> None:
    table = rich()
    table.survey.reports["e"] = report_of(held=29)
    assert table.change().decision is None
