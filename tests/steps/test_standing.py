"""What a participant tells of itself: what it holds, that it wants a vote or a stage, and for whom it vouches."""

from __future__ import annotations

from typing import Any

import pytest

from actors.steps import events
from actors.steps.ballots import (
    Beat,
    Decided,
    Decision,
    Enlist,
    Fetch,
    Holding,
    Join,
    Lead,
    Plan,
    Promise,
    Report,
    Vouch,
)
from actors.steps.messages import Denied, Differs
from tests.steps.builders import CONFIG, Desk, decision_of, join_of, notes, sent, voters

ABC = voters(a=0, b=0, c=1)
LOG = {"a": (0,), "b": (0,), "c": (1,), "x": (0,)}
CHANGE = decision_of(ABC, assigned=LOG)
"""Slot 6 is a's; b is the one who tells."""


def report_in(desk: Desk) -> Report:
    """What it answers to a, who wants to lead."""
    ((_, promise),) = sent(desk.hear("a", Lead(6, 0, 2)), Promise)
    return promise.report


def test_a_member_says_what_it_holds() -> None:
    desk = Desk("b", CHANGE)
    assert report_in(desk) == Report(1, 3, {}, (), 0.0, True, CONFIG, 0, (), "p")


def test_it_says_what_it_has_counted_drives_and_reaches() -> None:
    """One stage of three replicas: b drives and counts 1, and has followed order 4; c cannot be reached."""
    decision = decision_of(voters(a=0, b=0, c=0))
    desk = Desk("b", decision, stages=1, works=True, in_flight=1)
    desk.lose("c", gone=False)
    desk.hear("a", Plan(6, 0, 4, 3, {"b": (1,), "a": (2,)}, {}, ("a", "b"), {}, {}, ()))
    report = report_in(desk)
    assert report.counted == {1: 1.0} and report.driving == ()
    assert (report.number, report.unreachable, report.tokens_per_s) == (4, ("c",), 100.0)
    assert report.routes == {1: (1,)}, "by numbers of members"
    slow = Desk("b", decision, stages=1, in_flight=1)
    slow.hear("a", Plan(6, 0, 4, 3, {"b": (1, 2)}, {}, ("a", "b"), {}, {}, ()))
    assert report_in(slow).driving == (1, 2), "in flight and waiting"


def test_an_order_of_another_ballot_was_not_followed() -> None:
    desk = Desk("b", CHANGE)
    desk.hear("a", Plan(6, 0, 4, 3, {}, {}, ("a", "b"), {}, {}, ()))
    assert report_in(desk).number == 4
    desk.hear("c", Lead(6, 2, 2))
    ((_, told),) = sent(desk.hear("c", Beat(6, 2, 0, asks=True)), Holding)
    assert (told.ballot, told.report.number) == (2, -1)


def test_what_is_not_of_this_step_is_told_as_such() -> None:
    desk = Desk("b", CHANGE, held=2)
    report = report_in(desk)
    assert (report.held, report.counted, report.routes) == (2, {}, {})
    none = report_in(Desk("b", CHANGE, held=-1))
    assert (none.held, none.parameter_hash, none.data_ok) == (-1, "", False)
    lost = Desk("b", CHANGE)
    lost.give(events.ShardsLost("killed"))
    assert (report_in(lost).held, report_in(lost).parameter_hash) == (-1, "")
    assert report_in(Desk("b", decision_of(ABC, step=0))).parameter_hash == "p", "of commit 0, too"


def test_it_says_to_which_commits_and_checkpoints_it_could_return_and_to_which_not() -> None:
    desk = Desk("b", CHANGE, held=2)
    desk.give(events.Kept(frozenset({(0, 2), (0, 1), (1, 1)})))
    desk.core.context.stored = (0, 2)
    for commit in range(20):
        desk.give(events.FetchFailed(0, commit, "damaged"))
    report = report_in(desk)
    assert (report.kept, report.stored, report.era, report.restoring) == ((1, 2), (0, 2), 0, False)
    assert list(report.unusable) == [f"0/{commit}" for commit in range(4, 20)], "the newest sixteen"
    assert not report.spare and report_in(Desk("b", CHANGE, spare=True)).spare


# Telling


def test_what_changes_is_told_to_the_leader() -> None:
    desk = Desk("b", CHANGE)
    ((to, message),) = sent(desk.lose("c", gone=False), Holding)
    assert (to, message.slot, message.ballot, message.report.unreachable) == ("a", 6, 0, ("c",))
    ((to, message),) = sent(desk.give(events.ShardsLost("killed")), Holding)
    assert (to, message.report.held) == ("a", -1)


def test_a_leader_that_asks_or_misjudges_is_told() -> None:
    desk = Desk("b", CHANGE)
    assert [to for to, _ in sent(desk.hear("a", Beat(6, 0, 0, asks=True)), Holding)] == ["a"]
    assert sent(desk.hear("a", Plan(6, 0, 1, 3, {}, {}, ("a", "c"), {}, {}, ())), Holding), "b could work, too"
    assert not sent(desk.hear("a", Plan(6, 0, 2, 3, {}, {}, ("a", "b", "c"), {}, {}, ())), Holding)


def test_the_last_stage_does_not_offer_itself_without_the_corpus() -> None:
    desk = Desk("c", CHANGE, held=-1)
    desk.give(events.LocalReady("p", 1, False, 4, 5))
    desk.core.context.held = 3
    assert not sent(desk.hear("a", Beat(6, 0, 0, asks=False)), Holding)
    first = Desk("b", CHANGE, held=-1)
    first.give(events.LocalReady("p", 1, False, 4, 5))
    first.core.context.held = 3
    assert sent(first.hear("a", Beat(6, 0, 0, asks=False)), Holding)


# Asking


def outsider(decision: Decision = CHANGE, **changes: Any) -> Desk:
    """x has no vote; all members can be reached."""
    return Desk("x", decision, up="abc", **{"stage": 0, **changes})


def test_who_has_no_vote_asks_all_for_one_again_with_every_beat() -> None:
    desk = outsider()
    joins = sent(desk.begun, Join)
    assert [to for to, _ in joins] == ["a", "b", "c"]
    assert (joins[0][1].slot, joins[0][1].name, joins[0][1].stage) == (5, "X", 0)
    assert (joins[0][1].report.held, joins[0][1].report.parameter_hash) == (3, "p")
    assert len(sent(desk.wait(2.0), Join)) == 6


def test_it_asks_no_more_once_it_is_in_or_the_run_is_over() -> None:
    desk = outsider()
    inside = decision_of(voters(a=0, b=0, c=1, x=0), slot=6, view=3, assigned=LOG)
    assert not sent(desk.hear("a", Decided(inside)), Join)
    assert not sent(desk.wait(5.0), Join)
    over = outsider()
    over.hear("a", Decided(decision_of(ABC, slot=6, finished=True, assigned=LOG)))
    assert not sent(over.wait(5.0), Join)


def test_who_was_given_no_stage_asks_all_for_one_and_says_what_it_has() -> None:
    log = {peer: stages for peer, stages in LOG.items() if peer != "x"}
    desk = outsider(decision_of(ABC, assigned=log), stage=1, held=-1, spare=True)
    desk.core.context.memory = 500
    effects = desk.wait(1.0)
    assert sent(effects, Enlist) == [(to, Enlist(5, 1, "X", 1, 500, CONFIG, spare=True)) for to in "abc"]
    assert not sent(effects, Join)


def test_in_the_first_step_too() -> None:
    desk = outsider(decision_of(ABC, step=0), held=-1)
    assert sent(desk.begun, Enlist) and not sent(desk.begun, Join)


def test_who_knows_nothing_of_the_run_asks_what_was_decided() -> None:
    desk = Desk("x", None, up="abc", held=-1)
    assert {to for to, _ in sent(desk.wait(1.0), Fetch)} == {"a", "b", "c"}
    assert not sent(desk.wait(1.0), Enlist)


def test_what_is_denied_is_said_once() -> None:
    desk = outsider()
    assert notes(desk.hear("a", Denied("no stage fits")), "denied") == ["A (stage 0) says: no stage fits"]
    assert notes(desk.hear("b", Denied("no stage fits")), "denied") == []
    assert notes(desk.hear("b", Denied("too large")), "denied") == ["B (stage 0) says: too large"]


# Vouching


def asked(desk: Desk, **changes: Any) -> list[Any]:
    values: dict[str, Any] = {"stage": 0, **changes}
    return desk.hear("x", join_of("x", values.pop("stage"), **values))


def member(**changes: Any) -> Desk:
    desk = Desk("b", CHANGE, **changes)
    desk.give(events.PeerUp("x"))
    return desk


def test_a_replica_vouches_for_a_joiner_with_the_very_same_parameters() -> None:
    assert sent(asked(member(), life=4), Vouch) == [("a", Vouch(6, 0, "x", 4, 3))]


def test_who_holds_other_parameters_of_the_commit_is_told_so() -> None:
    desk = member()
    desk.core.context.parameter_hash = "q"
    effects = asked(desk)
    assert sent(effects, Differs) == [("x", Differs(3, "p"))] and not sent(effects, Vouch)


@pytest.mark.parametrize("changes", [{"held": 2}, {"stage": 1}, {"held": 4}], ids=["behind", "another stage", "ahead"])
def test_nothing_is_said_of_a_joiner_of_another_commit_or_stage(changes: dict[str, Any]) -> None:
    effects = asked(member(), **changes)
    assert not sent(effects, Vouch) and not sent(effects, Differs)


def test_a_replica_that_does_not_hold_the_commit_or_has_no_vote_does_not_vouch() -> None:
    assert not sent(asked(member(held=2)), Vouch)
    assert not sent(asked(member(held=2), held=2), Vouch), "not even for commit 2"
    assert not sent(asked(member(life=2)), Vouch)
    assert not sent(asked(Desk("c", CHANGE)), Vouch)


def test_a_joiner_that_is_ahead_is_compared_when_its_commit_is_held_here() -> None:
    desk = member()
    asked(desk, held=4)
    desk.core.context.held = 4
    effects = desk.hear("a", Decided(decision_of(ABC, slot=7, step=4, assigned=LOG)))
    assert sent(effects, Vouch) == [("c", Vouch(8, 0, "x", 1, 4))], "to the leader of slot 8"
