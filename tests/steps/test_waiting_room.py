"""Who asks for a vote, a stage, or to go: kept until it is given, refused where the config differs."""

from __future__ import annotations

import pytest

from actors.steps.ballots import Depart
from actors.steps.messages import Abort, Denied
from actors.steps.view import Voter
from tests.steps.builders import (
    context_of,
    decision_of,
    enlist_of,
    join_of,
    report_of,
    sent,
    voters,
    vouch_for,
    waiting_of,
)

MEMBERS = voters(a=0, b=1)


def test_what_is_asked_is_kept_and_the_newest_word_counts() -> None:
    context = context_of(decision_of(MEMBERS))
    waiting = waiting_of(context, x=join_of("x", 0, held=2))
    assert waiting.receive("x", join_of("x", 1))
    assert waiting.receive("y", enlist_of("y", wish=1))
    assert waiting.receive("b", Depart(5, 1))
    vouch_for(waiting, "x", commit=3)
    assert waiting.joiners == {"x": join_of("x", 1)}
    assert waiting.enlisted == {"y": enlist_of("y", wish=1)}
    assert waiting.leaving == {"b": 1}
    assert waiting.vouched == {"x": (1, 3)}
    assert not context.out


@pytest.mark.parametrize(
    "message", [join_of("x", 0, config_hash="other"), enlist_of("x", config_hash="other")], ids=["join", "enlist"]
)
def test_who_has_another_config_is_told_so_and_not_kept(message: object) -> None:
    context = context_of(decision_of(MEMBERS))
    waiting = waiting_of(context)
    assert not waiting.receive("x", message)  # type: ignore[arg-type]
    assert not waiting.joiners and not waiting.enlisted and not waiting.patient()
    ((to, abort),) = sent(context.out, Abort)
    assert to == "x" and "another config" in abort.reason and not abort.stopped


@pytest.mark.parametrize(
    ("join", "enlist", "newest"), [(None, None, -1), (4, None, 4), (None, 7, 7), (4, 7, 7), (8, 7, 8)], ids=str
)
def test_the_newest_life_of_a_peer_is_that_of_whatever_it_asked_for(
    join: int | None, enlist: int | None, newest: int
) -> None:
    waiting = waiting_of(context_of(decision_of(MEMBERS)))
    if join is not None:
        waiting.receive("x", join_of("x", 0, life=join))
    if enlist is not None:
        waiting.receive("x", enlist_of("x", life=enlist))
    assert waiting.newest_life("x") == newest


def test_who_is_denied_a_stage_is_told_why_and_may_ask_again() -> None:
    context = context_of(decision_of(MEMBERS))
    waiting = waiting_of(context, x=enlist_of("x"))
    waiting.deny("x", "no stage fits")
    assert sent(context.out, Denied) == [("x", Denied("no stage fits"))]
    assert not waiting.enlisted
    assert waiting.receive("x", enlist_of("x")) and waiting.enlisted


def test_ten_beats_after_its_first_request_a_joiner_is_patient() -> None:
    context = context_of(decision_of(MEMBERS), now=100.0, beat_s=2.0)
    waiting = waiting_of(context, x=join_of("x", 0))
    context.now = 119.9
    waiting.receive("x", join_of("x", 1))
    assert waiting.patient() == set()
    context.now = 120.0
    assert waiting.patient() == {"x"}, "it asked first at second 100"


def test_another_process_of_the_joiner_waits_from_its_own_first_request() -> None:
    context = context_of(decision_of(MEMBERS), now=100.0)
    waiting = waiting_of(context, x=join_of("x", 0))
    context.now = 105.0
    waiting.receive("x", join_of("x", 0, life=2))
    waiting.begin_slot()
    context.now = 110.0
    assert waiting.patient() == set(), "the first process is forgotten"
    context.now = 115.0
    assert waiting.patient() == {"x"}


def test_in_the_next_slot_only_those_wait_who_have_not_got_what_they_asked_for() -> None:
    """x was let in; the life of y that was let in is an older one; z was given a stage; b has gone."""
    context = context_of(decision_of(MEMBERS))
    waiting = waiting_of(
        context, x=join_of("x", 0), y=join_of("y", 0, life=2), w=join_of("w", 0), z=enlist_of("z"), v=enlist_of("v")
    )
    for peer, life in (("a", 1), ("b", 1), ("x", 1)):
        waiting.receive(peer, Depart(5, life))
    for peer in "xyw":
        vouch_for(waiting, peer)
    members = (MEMBERS[0], Voter("x", 1, "X", 0), Voter("y", 1, "Y", 0))
    context.agreement.decided(decision_of(members, slot=6, assigned={"z": (0,)}))
    waiting.begin_slot()
    assert waiting.joiners.keys() == {"y", "w"}
    assert waiting.vouched.keys() == {"y", "w"}
    assert waiting.enlisted.keys() == {"v"}
    assert waiting.leaving == {"a": 1, "x": 1}
    context.now = 10.0
    assert waiting.patient() == {"y", "w"}


def test_a_process_that_has_lost_its_vote_need_not_leave() -> None:
    context = context_of(decision_of(MEMBERS))
    waiting = waiting_of(context)
    waiting.receive("b", Depart(5, 2))
    waiting.begin_slot()
    assert waiting.leaving == {}


def test_reports_are_kept_as_they_came() -> None:
    waiting = waiting_of(context_of(decision_of(MEMBERS)), x=join_of("x", 0, kept=(2,), spare=True))
    assert waiting.joiners["x"].report == report_of(kept=(2,), spare=True, parameter_hash="p")
