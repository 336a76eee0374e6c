"""A leader that cannot go on: it pauses, says why, resigns where another one may do better; the first and last step."""

from __future__ import annotations

import pytest

from actors.steps import ballots, events
from actors.steps.ballots import Average, Beat, Holding, Plan, Promise, Propose
from actors.steps.messages import Abort, Done, Purpose, Stored
from tests.steps.builders import (
    Desk,
    decision_of,
    enlist_of,
    join_of,
    lead,
    leading,
    notes,
    prepared_of,
    report_of,
    sent,
    voters,
)

ABCD = voters(a=0, b=0, c=0, d=0)
CHANGE = decision_of(ABCD, slot=7)
"""Slot 8 is a's: 8 modulo 4. It has no shards; b, c and d work."""


def desk_of() -> Desk:
    return leading(CHANGE, "bcd", stages=1)


def test_without_a_majority_the_run_pauses_and_every_beat_asks_what_is_held() -> None:
    desk = desk_of()
    desk.lose("b", gone=False)
    effects = desk.lose("c", gone=False)
    assert "2 of 4 votes can be had, and 3 must agree (B, C cannot be reached)" in notes(effects, "paused")[0]
    assert desk.core.paused and not sent(effects, Plan)
    ((_, beat),) = sent(desk.wait(1.0), Beat)
    assert (beat.asks, beat.resigns) == (True, False)
    desk.give(events.PeerUp("b"))
    effects = desk.hear("b", Holding(8, 0, report_of()))
    assert sent(effects, Plan)[0][1].workers == ("b", "d") and not desk.core.paused


def test_nobody_is_let_go_and_nobody_moves_once_the_step_is_planned() -> None:
    desk = desk_of()
    assert sent(desk.begun, Plan)
    assert not sent(desk.hear("d", ballots.Depart(7, 1)), Propose), "d goes before the next step is planned"


def test_what_is_proposed_is_said() -> None:
    desk = desk_of()
    desk.give(events.PeerUp("x"))
    effects = desk.hear("x", enlist_of("x", slot=7))
    assert sent(effects, Propose)[0][1].decision.assigned["x"] == (0,)
    assert notes(effects, "assigned") == ["X is given stage 0, which limits the run"]


def test_while_it_pauses_nothing_is_averaged_whatever_still_comes_through() -> None:
    desk = desk_of()
    desk.lose("b", gone=False)
    desk.lose("c", gone=False)
    for index in range(4):
        assert not sent(desk.hear("d", Done(3, index, Purpose.TRAIN, 1.0, ("d",))), Average)
    assert sent(desk.give(events.PeerUp("b")), Average), "but it is not forgotten"


def test_replicas_that_do_not_reach_each_other_are_not_both_in_the_first_plan() -> None:
    desk = Desk("a", CHANGE, held=-1, stages=1)
    effects = lead(desk, {"b": report_of(unreachable=("d",)), "c": report_of(), "d": report_of()})
    assert sent(effects, Plan)[0][1].workers == ("b", "c")


def test_a_leader_that_cannot_reach_somebody_it_needs_resigns_after_four_beats() -> None:
    members = voters(a=0, b=0, c=0, d=1)
    desk = leading(decision_of(members, slot=7), "bcd")
    desk.wait(1.0)
    effects = desk.lose("d", gone=False)
    assert "nobody who can be reached holds commit 3 of stage 1" in notes(effects, "paused")[0]
    beats = [beat.resigns for to, beat in sent(desk.wait(4.0), Beat) if to == "b"]
    assert beats == [False, False, False, True]
    assert not sent(desk.wait(3.0), Beat), "and leads no more"


def test_another_leader_waits_a_floor_of_patience_of_its_own_before_it_gives_a_stage_up() -> None:
    """d is here and has only commit 2; a leads until second 6, then d, and then a again, with ballot 4."""
    desk = leading(decision_of(voters(a=0, b=0, c=0, d=1), slot=7), "bc")
    reports = {"b": report_of(kept=(2,)), "c": report_of(), "d": report_of(2, kept=(2,))}
    desk.hear("d", Promise(8, 0, -1, None, reports["d"]))
    assert not sent(desk.wait(6.0), Propose)
    desk.hear("d", Beat(8, 3, 0, asks=False))
    desk.hear("d", Beat(8, 3, 0, asks=True, resigns=True))
    assert notes(lead(desk, reports), "paused")
    during = desk.wait(9.9)
    assert not sent(during, Propose)
    assert {(beat.ballot, beat.number) for _, beat in sent(during, Beat)} == {(4, 0)}, "it has given no order"
    ((_, proposal), *_) = sent(desk.wait(0.1), Propose)
    assert (proposal.ballot, proposal.decision.step) == (4, 2)


def test_a_leader_that_goes_on_without_somebody_does_not_resign() -> None:
    desk = desk_of()
    desk.lose("d", gone=False)
    beats = [beat for _, beat in sent(desk.wait(8.0), Beat)]
    assert len(beats) == 16 and not any(beat.asks or beat.resigns for beat in beats)


def test_what_changes_while_it_pauses_is_considered_at_once() -> None:
    """Nothing was kept of stage 1 when the floor of patience was over; then d finds commit 2 on its disk."""
    desk = leading(decision_of(voters(a=0, b=0, c=0, d=1), slot=7), "bc")
    desk.hear("d", Promise(8, 0, -1, None, report_of(2)))
    desk.hear("b", Holding(8, 0, report_of(kept=(2,))))
    assert not sent(desk.wait(20.0), Propose)
    ((_, proposal), *_) = sent(desk.hear("d", Holding(8, 0, report_of(2, kept=(2,)))), Propose)
    assert proposal.decision.returns == ((3, 2),)


def test_a_leader_does_not_resign_where_nobody_can_be_there() -> None:
    members = voters(a=0, b=0, c=0, d=1)
    desk = leading(decision_of(members, slot=7), "bc")
    desk.hear("d", Promise(8, 0, -1, None, report_of(2)))
    beats = [beat.resigns for _, beat in sent(desk.wait(8.0), Beat)]
    assert beats and not any(beats), "d is here, and has not got the commit"


def test_a_late_promise_is_a_report() -> None:
    desk = Desk("a", CHANGE, held=-1, stages=1)
    lead(desk, {"b": report_of(), "c": report_of()})
    desk.wait(2.0)
    ((_, plan), *_) = sent(desk.hear("d", Promise(8, 0, -1, None, report_of())), Plan)
    assert plan.workers == ("b", "c", "d")


def test_without_the_corpus_nothing_is_planned() -> None:
    desk = Desk("a", decision_of(voters(a=0, b=0, c=1), slot=5), held=-1, stages=2)
    effects = lead(desk, {"b": report_of(data_ok=False), "c": report_of(data_ok=False)})
    assert not sent(effects, Plan)
    assert "holds commit 3 of stage 1" in notes(effects, "paused")[0], "c cannot compute a loss"


# The first and the last step


def test_in_the_first_step_all_get_six_floors_of_time_to_build_their_stage() -> None:
    begins = decision_of(ABCD, slot=7, step=0, view=2)
    desk = Desk("a", begins, held=-1, stages=1)
    effects = lead(desk, {"b": report_of(0), "c": report_of(0), "d": report_of(-1)})
    assert not sent(effects, Plan) and not notes(effects, "paused") and not desk.core.paused
    assert not sent(desk.wait(59.0), Plan)
    effects = desk.wait(2.0)
    assert sent(effects, Plan)[0][1].workers == ("b", "c")
    assert not notes(effects, "resumed"), "that was no pause"


def test_once_all_who_can_be_reached_have_built_their_stage_the_first_step_begins() -> None:
    begins = decision_of(ABCD, slot=7, step=0, view=2)
    desk = Desk("a", begins, stages=1, up="bc")
    effects = lead(desk, {"b": report_of(0), "c": report_of(0)})
    assert sent(effects, Plan)[0][1].workers == ("a", "b", "c"), "d cannot be reached"


def test_members_with_another_config_end_the_run_at_its_beginning() -> None:
    begins = decision_of(ABCD, slot=7, step=0, view=1)
    desk = Desk("a", begins, held=-1, stages=1)
    effects = lead(desk, {"b": report_of(0), "c": report_of(0, config_hash="other"), "d": report_of(0)})
    assert "C (stage 0) was started with another run config than A" in desk.core.failed
    assert {to for to, _ in sent(effects, Abort)} == {"b", "c", "d"}


def test_at_the_end_only_a_report_is_asked_for() -> None:
    desk = leading(decision_of(ABCD, slot=7, step=10), "bcd", stages=1, steps=10)
    assert sent(desk.begun, Average)[0][1].counted == {"b": (), "c": (), "d": ()}
    for peer in "bc":
        desk.hear(peer, prepared_of((), average="", at=(8, 0, 1)))
    ((_, proposal), *_) = sent(desk.hear("d", prepared_of((), average="", at=(8, 0, 1))), Propose)
    assert proposal.decision.finished and proposal.decision.step == 10


def test_a_newcomer_is_let_in_as_soon_as_it_is_vouched_for() -> None:
    decision = decision_of(ABCD, slot=7, assigned={**CHANGE.assigned, "x": (0,)})
    desk = leading(decision, "bcd", stages=1)
    desk.give(events.PeerUp("x"))
    assert not sent(desk.hear("x", join_of("x", 0, slot=7)), Propose)
    assert not sent(desk.hear("x", ballots.Vouch(8, 0, "x", 1, 3)), Propose), "it cannot vouch for itself"
    ((_, proposal), *_) = sent(desk.hear("b", ballots.Vouch(8, 0, "x", 1, 3)), Propose)
    assert [m.peer_id for m in proposal.decision.members] == ["a", "b", "c", "d", "x"]


@pytest.mark.parametrize("stored", [True, False])
def test_the_end_waits_for_the_last_checkpoint_but_not_for_ever(stored: bool) -> None:
    """Thirty floors of ten seconds after the last commit."""
    desk = leading(decision_of(ABCD, slot=7, step=10), "bcd", stages=1, steps=10, save_every=5)
    assert not sent(desk.begun, Average)
    if stored:
        effects = desk.hear("b", Stored(0, 10))
    else:
        assert not sent(desk.wait(299.0), Average)
        effects = desk.wait(1.0)
    assert sent(effects, Average)
