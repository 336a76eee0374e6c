"""One participant as a whole: what it says of itself, peers that come and go, waits that are over, how a run ends."""

from __future__ import annotations

from typing import Any

import pytest

from actors.records import Traffic
from actors.steps import effects, events
from actors.steps.ballots import Beat, Decided, Dismiss, Fetch, Holding, Join, Lead, Plan, Promise, Propose, Vouch
from actors.steps.context import LostStage
from actors.steps.messages import Abort, Forward, Purpose, Stored
from actors.steps.participant import Participant
from tests.steps.builders import (
    Desk,
    commit_of,
    commit_record,
    decision_of,
    leading,
    notes,
    report_of,
    sent,
    step_setup,
    voters,
)

ABC = voters(a=0, b=0, c=0)
CHANGE = decision_of(ABC)
"""Slot 6: ballot 0 is a's."""


def desk_of(me: str = "b", **changes: Any) -> Desk:
    return Desk(me, CHANGE, **{"stages": 1, **changes})


def failed(done: list[effects.Effect]) -> list[effects.Failed]:
    return [effect for effect in done if isinstance(effect, effects.Failed)]


# What it says of itself


def test_a_member_knows_whether_it_leads_and_what_it_holds() -> None:
    leader, member = desk_of("a").core, desk_of("b").core
    assert (leader.inside, leader.leads, leader.started, leader.finished) == (True, True, True, False)
    assert (member.inside, member.leads, member.step, member.commit) == (True, False, 3, 3)


def test_another_life_is_outside_and_leads_nothing() -> None:
    one = desk_of("a", life=2).core
    assert (one.inside, one.leads) == (False, False)


def test_a_process_that_knows_nothing_is_in_step_0_of_a_run_that_has_not_begun() -> None:
    one = Desk("x", None, held=-1).core
    assert (one.inside, one.started, one.step, one.commit, one.paused) == (False, False, 0, -1, False)
    first = decision_of(ABC, slot=0, step=0, view=0)
    assert not Desk("b", first, held=-1, stages=1).core.started


def test_why_it_pauses_is_the_lost_majority_before_anything_else() -> None:
    desk = leading(CHANGE, "bc", stages=1)
    assert desk.core.why_paused == ""
    desk.lose("b", gone=False)
    assert desk.core.why_paused == ""
    desk.lose("c", gone=False)
    assert desk.core.why_paused.startswith("1 of 3 votes can be had") and desk.core.paused
    assert desk_of("b").core.why_paused == ""


def test_waiting_for_stages_to_be_built_is_no_pause() -> None:
    begins = decision_of(ABC, step=0)
    assert not leading(begins, "", stages=1).core.paused


# Peers


def test_a_peer_that_comes_is_asked_what_was_decided_and_told_once() -> None:
    desk = desk_of(up="a")
    done = desk.give(events.PeerUp("c"))
    assert sent(done, Fetch) == [("c", Fetch(5))]
    assert [to for to, _ in sent(done, Holding)] == ["a"], "b reaches c now"
    assert desk.give(events.PeerUp("c")) == [], "that is known"


def test_a_stranger_that_comes_changes_nothing_for_the_leader() -> None:
    done = desk_of().give(events.PeerUp("x"))
    assert sent(done, Fetch) and not sent(done, Holding)


def test_who_has_no_vote_asks_for_one_as_soon_as_somebody_comes() -> None:
    log = {**CHANGE.assigned, "x": (0,)}
    desk = Desk("x", decision_of(ABC, assigned=log), up="", stage=0, stages=1)
    assert not sent(desk.begun, Join)
    assert [to for to, _ in sent(desk.give(events.PeerUp("a")), Join)] == ["a"]


def test_who_was_held_dead_and_comes_back_is_not_dead() -> None:
    desk = desk_of()
    assert notes(desk.lose("c"), "lost") == ["C (stage 0): it does not answer"]
    assert desk.core.context.gone == {"c": "it does not answer"}
    assert not notes(desk.lose("c"), "lost"), "said once"
    desk.give(events.PeerUp("c"))
    assert desk.core.context.gone == {} and "c" in desk.core.context.usable


def test_who_said_goodbye_is_gone_without_a_word_and_who_is_out_of_reach_is_not_gone() -> None:
    desk = desk_of()
    assert not notes(desk.lose("c", polite=True), "lost") and "c" in desk.core.context.gone
    other = desk_of()
    done = other.lose("c", gone=False)
    assert not notes(done, "lost") and other.core.context.gone == {}
    assert [message.report.unreachable for _, message in sent(done, Holding)] == [("c",)]


def test_a_new_peer_is_told_the_owners_word_and_the_newest_checkpoint() -> None:
    desk = desk_of(up="")
    desk.core.context.stored = (0, 3)
    desk.hear("b", Dismiss(2, {"a": 1, "c": 1}, "00"))
    done = desk.give(events.PeerUp("x"))
    assert [to for to, _ in sent(done, Dismiss)] == ["x"]
    assert sent(done, Stored) == [("x", Stored(0, 3))]


def test_after_a_dismissal_the_next_in_turn_of_those_who_are_left_leads() -> None:
    desk = desk_of(up="")
    done = desk.hear("b", Dismiss(2, {"a": 1, "c": 1}, "00"))
    assert notes(done, "resumed") and not desk.core.paused
    assert notes(done, "leader") == ["B leads step 3 from now on (ballot 1)"]


def test_votes_stay_dismissed_over_decisions_that_keep_their_owners_in_the_view() -> None:
    desk = desk_of(up="")
    desk.hear("b", Dismiss(2, {"a": 1, "c": 1}, "00"))
    desk.hear("x", Decided(decision_of(ABC, slot=6)))
    assert not desk.core.paused and desk.core.context.view.dismissed == {"a", "c"}


# Time


def test_a_process_that_was_stopped_blames_nobody_and_asks_what_it_missed() -> None:
    desk = desk_of()
    desk.wait(5.0)
    desk.now += 100.0
    done = desk.give(events.Tick(100.0))
    assert [to for to, _ in sent(done, Fetch)] == ["a", "c"]
    assert not sent(done, Lead) and not any(isinstance(effect, effects.Doubt) for effect in done)
    assert not sent(desk.wait(4.9), Lead)
    assert sent(desk.wait(0.1), Lead), "ten beats in which it ran"


def test_a_peer_that_keeps_us_waiting_is_doubted_after_half_of_the_patience_and_we_never_are() -> None:
    desk = desk_of()
    assert not any(isinstance(effect, effects.Doubt) for effect in desk.wait(4.9))
    doubts = [effect for effect in desk.wait(0.1) if isinstance(effect, effects.Doubt)]
    assert [doubt.peer for doubt in doubts] == ["a"]
    assert "step 3: its leader A (stage 0) says nothing (waited 5 s)" in doubts[0].reason
    own = desk_of(works=False, in_flight=1)
    own.hear("a", Plan(6, 0, 1, 3, {"b": (1,)}, {}, ("b",), {}, {}, ()))
    done = own.wait(119.0)
    assert not [effect for effect in done if isinstance(effect, effects.Doubt) and effect.peer == "b"]


def forward(desk: Desk) -> list[effects.Effect]:
    """It gets something to compute, which its shards never finish."""
    return desk.hear("a", Forward(3, 1, Purpose.TRAIN, 0, "a", 0, ("b",), (6, 0, 1)))


def beating(desk: Desk, seconds: int) -> list[effects.Effect]:
    """Time passes, and the leader is there."""
    done: list[effects.Effect] = []
    for _ in range(seconds):
        done += desk.hear("a", Beat(6, 0, 0, asks=False)) + desk.wait(1.0)
    return done


@pytest.mark.parametrize(("workers", "restarts"), [("bc", True), ("b", False)])
def test_shards_that_do_not_answer_are_built_again_unless_they_alone_hold_the_stage(
    workers: str, restarts: bool
) -> None:
    """Six floors of ten seconds, for each of two jobs."""
    desk = desk_of()
    desk.hear("a", Plan(6, 0, 1, 3, {"a": (1,)}, {}, tuple(workers), {}, {}, ()))
    forward(desk)
    assert not [effect for effect in beating(desk, 119) if isinstance(effect, effects.RestartShards)]
    done = beating(desk, 2)
    assert bool([effect for effect in done if isinstance(effect, effects.RestartShards)]) is restarts
    assert bool(notes(done, "slow")) is not restarts


# The end


def test_a_process_counts_its_time_from_its_own_beginning() -> None:
    one = Participant(step_setup(), ABC[0], ABC, Traffic, 1000.0)
    assert one.context.decided_at == 1000.0


def test_a_person_ends_the_run_for_everybody() -> None:
    desk = desk_of()
    done = desk.give(events.Stop("enough"))
    assert sent(done, Abort) == [(to, Abort("enough", stopped=True)) for to in "ac"]
    assert failed(done) == [effects.Failed("enough", stopped=True)] and done[-1] == failed(done)[0]
    assert desk.core.failed == "enough" and desk.core.next_deadline() is None
    assert desk.give(events.Stop("again")) == [] and desk.hear("a", Lead(6, 0, 2)) == []


def test_after_the_word_that_the_run_ends_nothing_else_is_done() -> None:
    """It begins without anybody that has the corpus, which its leader sees while the first slot begins."""
    begins = commit_of(ABC, step=0, view=1, record=commit_record(-1, sources=[]))
    done = Desk("a", begins, stages=1, keep_every=1).begun
    assert isinstance(done[-1], effects.Failed) and "nobody can originate microbatches" in done[-1].reason


def test_what_the_store_has_is_news_to_the_leader_and_what_it_does_not_take_is_said() -> None:
    desk = leading(decision_of(voters(a=0, b=0, c=0, d=1), slot=7), "bc", lost_stage=LostStage.ROLLBACK)
    desk.hear("d", Promise(8, 0, -1, None, report_of(2)))
    assert any(isinstance(effect, effects.ListCheckpoints) for effect in desk.wait(10.0))
    ((_, proposal), *_) = sent(desk.give(events.CheckpointsListed(((0, 2),))), Propose)
    assert proposal.decision.source == (0, 2)
    assert notes(desk.give(events.SaveFailed(0, 2, "full")), "checkpoint") == ["that of commit 2 fails here: full"]


def test_who_is_told_that_the_run_has_ended_tells_it_to_nobody() -> None:
    done = desk_of().hear("a", Abort("enough", stopped=True))
    assert done == [effects.Failed("enough", stopped=True)]


def test_a_failure_of_our_own_ends_the_run_for_everybody_too() -> None:
    done = desk_of().give(events.LocalFailure("no device"))
    assert [to for to, _ in sent(done, Abort)] == ["a", "c"]
    assert failed(done) == [effects.Failed("no device")]


def test_after_the_end_only_peers_and_questions_matter() -> None:
    desk = desk_of()
    desk.hear("a", Decided(decision_of(ABC, slot=6, finished=True)))
    assert desk.give(events.ShardsLost("killed")) == [] and desk.give(events.Tick()) == []
    assert desk.hear("c", Stored(0, 3)) == [] and forward(desk) == []
    assert desk.lose("c", gone=False) == [] and desk.give(events.PeerUp("c")) == []
    assert [to for to, _ in sent(desk.hear("c", Fetch(5)), Decided)] == ["c"]


def test_messages_to_itself_are_handled_within_the_event() -> None:
    desk = leading(decision_of(voters(a=0)), "", stages=1)
    assert not sent(desk.begun, Lead)
    assert "a" not in {to for event in desk.performed for to, _ in sent(event, object)}


def test_a_word_about_checkpoints_counts_from_members_only() -> None:
    desk = desk_of()
    desk.hear("x", Stored(0, 3))
    assert desk.core.context.stored == (-1, -1)
    desk.hear("c", Stored(0, 3))
    assert desk.core.context.stored == (0, 3)


def test_a_vouch_is_for_the_leader_only() -> None:
    assert desk_of().hear("c", Vouch(6, 0, "x", 1, 3)) == []
