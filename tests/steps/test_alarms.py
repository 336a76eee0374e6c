"""What happens when a wait is over: doubt at half of the patience, then the way on for each wait."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from actors.steps.ballots import Depart, Fetch, Join, Lead, Stuck
from actors.steps.effects import Departed, Doubt, ExportGradient, ExportState, RestartShards
from actors.steps.events import Computed, GradientExported, Leave, StateExported, Tick
from actors.steps.messages import Forward, Get, Gone, Part, Want
from tests.steps.giving import update
from tests.steps.ordered import average
from tests.steps.parts import STEP, forward, vector
from tests.steps.whole import Whole

ROUTE = ("s0a", "s1a")
BEAT, FLOOR = 1.0, 2.0


def at(one: Whole, seconds: float, stalled: float = 0.0) -> list[Any]:
    """Time has passed; returns what follows."""
    one.now = seconds
    return one.tell(Tick(stalled))


def sent_on(**changes: Any) -> Whole:
    """s0a has sent microbatch 4 of the origin s0b on to s1a, for which it has the patience of two: 24 s."""
    one = Whole(**changes)
    one.plan(train={"s0b": (4,)})
    one.hear("s0b", forward(4, 0, ROUTE, origin="s0b", order=one.context.plan), "in")
    one.tell(Computed(one.jobs()[0], ("out",), 0.0, 1.0))
    one.clear()
    return one


def quiet(one: Whole) -> None:
    """The leader says nothing, and that is not the matter here."""
    one.context.waits.cancel(("leader",))


def test_a_peer_that_keeps_us_waiting_for_half_of_the_patience_is_doubted_and_the_work_goes_on() -> None:
    one = sent_on()
    quiet(one)
    assert at(one, 11.9) == []
    (doubt,) = at(one, 12.0)
    assert isinstance(doubt, Doubt) and doubt.peer == "s1a"
    assert "got no gradient back (waited 12 s)" in doubt.reason
    assert at(one, 13.0) == []


def test_no_participant_doubts_itself() -> None:
    """The first hop of an own microbatch may be the participant itself; its patience is that of three."""
    one = Whole()
    one.plan(train={"s0a": (4,)})
    quiet(one)
    one.context.waits.cancel(("shard", one.jobs()[0].number))
    one.clear()
    assert at(one, 18.0) == []
    assert one.context.waits.next_deadline() == 36.0


def test_a_hop_that_is_overdue_is_replaced() -> None:
    one = sent_on()
    quiet(one)
    at(one, 24.0)
    assert [(to, message.retry) for to, message in one.mail(Forward)] == [("s1b", 1)]
    assert {"overdue", "replaced"} <= set(one.notes())


def test_a_microbatch_that_is_overdue_is_driven_again() -> None:
    one = Whole("s1a")
    one.plan(train={"s1a": (4,)})
    quiet(one)
    one.clear()
    at(one, 36.0)
    assert [message.retry for _, message in one.mail(Forward)] == [1000]
    assert one.notes() == ["overdue"]


@pytest.mark.parametrize("kind", ["shard", "export", "apply", "load", "fetch"])
def test_shards_that_do_not_answer_are_built_again_if_others_hold_the_stage(kind: str) -> None:
    one = Whole()
    quiet(one)
    one.context.waits.after(0.0, (kind, 7), 5.0, f"no {kind}")
    assert at(one, 5.0) == [RestartShards(f"no {kind} (waited 5 s)")]


@pytest.mark.parametrize("kind", ["shard", "export", "apply", "load"])
def test_shards_that_alone_hold_the_stage_are_waited_for(kind: str) -> None:
    one = Whole(layout=(1, 2))
    quiet(one)
    one.context.waits.after(0.0, (kind, 7), 5.0, f"no {kind}")
    at(one, 5.0)
    assert one.wanted(RestartShards) == [] and one.notes() == ["slow"]
    assert one.context.waits.waiting((kind, 7))
    assert one.context.waits.next_deadline() == 5.0 + FLOOR


def test_a_checkpoint_that_does_not_come_is_not_waited_for_though_no_other_holds_the_stage() -> None:
    one = Whole(layout=(1, 2))
    quiet(one)
    one.context.waits.after(0.0, ("fetch",), 5.0, "no checkpoint")
    assert at(one, 5.0) == [RestartShards("no checkpoint (waited 5 s)")]


def test_a_round_that_is_over_is_not_stuck() -> None:
    one = Whole()
    quiet(one)
    one.context.waits.after(0.0, ("reduce",), 5.0, "stuck")
    assert at(one, 5.0) == []


def test_a_leader_asks_again_with_every_beat_who_has_not_answered() -> None:
    one = Whole(leader="s0a")
    at(one, BEAT)
    assert [to for to, _ in one.mail(Lead)] == ["s0b", "s1a", "s1b"]


def test_who_goes_says_goodbye_until_others_know() -> None:
    one = Whole("new", decided={"assigned": {"new": (0,)}})
    one.context.held = -1
    one.tell(Leave("tired"))
    assert len(one.mail(Fetch)) == 4
    at(one, BEAT)
    assert len(one.mail(Fetch)) == 8
    at(one, 2 * BEAT)
    assert len(one.wanted(Departed)) == 1, "after a floor of patience without an answer"


def lose(*peers: str) -> Any:
    def change(one: Whole) -> None:
        one.context.usable -= set(peers)

    return change


def held(commit: int) -> Any:
    def change(one: Whole) -> None:
        one.context.held = commit

    return change


def others(*, work: bool = False, hold: bool = False) -> Any:
    """Whether s0b works, and whether it held the newest average."""

    def change(one: Whole) -> None:
        one.context.workers = frozenset({"s0a", "s1a", *(["s0b"] if work else [])})
        holders = ("s0a", "s1b", *(["s0b"] if hold else []))
        one.context.agreement.decision = replace(one.context.decision, holders=holders)

    return change


def applying(one: Whole) -> None:
    one.context.held, one.context.applying = STEP - 1, update(STEP)


@pytest.mark.parametrize(
    ("changes", "alone"),
    [
        ([], False),
        ([lose("s0b")], True),
        ([lose("s1a", "s1b")], False),
        ([others()], True),
        ([others(work=True)], False),
        ([others(hold=True)], False),
        ([lose("s0b"), applying], True),
        ([lose("s0b"), held(STEP - 1)], False),  # what it holds is of no use to the step
        ([lose("s0b"), held(-1)], False),
        ([held(STEP - 1)], False),
    ],
)
def test_who_alone_holds_a_stage(changes: list[Any], alone: bool) -> None:
    one = Whole()
    quiet(one)
    for change in changes:
        change(one)
    one.context.waits.after(0.0, ("shard", 7), 5.0, "no answer")
    at(one, 5.0)
    assert len(one.wanted(RestartShards)) == (0 if alone else 1)


def test_a_round_that_is_stuck_is_told_to_the_leader() -> None:
    one = Whole()
    slot = one.context.agreement.slot
    one.hear("s1b", average(number=2, slot=slot, groups={0: ("s0a", "s0b")}))
    one.tell(GradientExported(STEP, one.wanted(ExportGradient)[0].number, vector(1, 2), frozenset()))
    quiet(one)
    at(one, 12.0)
    assert one.mail(Stuck) == [("s1b", Stuck(slot, 0, 2, ("s0b",)))]


def test_a_leader_that_says_nothing_for_ten_beats_is_replaced_by_the_next_in_turn() -> None:
    one = Whole("s0a", leader="s1b")
    assert one.context.waits.next_deadline() is not None
    at(one, 9.9)
    assert one.context.agreement.candidacy is None
    at(one, 10.0)
    assert one.context.agreement.candidacy is not None, "after s1b comes s0a"


def test_what_was_asked_for_and_did_not_come_is_asked_for_again() -> None:
    one = Whole(ready=False)
    quiet(one)
    assert one.context.waits.next_deadline() == 5.0
    at(one, 5.0)
    assert [to for to, _ in one.mail(Want)] == ["s0b"]


def test_a_snapshot_that_no_one_fetches_is_forgotten() -> None:
    one = Whole()
    quiet(one)
    one.hear("s0b", Want(-1, 0))
    assert len(one.wanted(ExportState)) == 1
    one.tell(StateExported(STEP, vector(1, 2), "hash"))
    at(one, 12.0)
    one.hear("s0b", Get(Part.STATE, STEP, 0))
    assert one.mail(Gone) == [("s0b", Gone(Part.STATE, STEP))]


def test_who_is_outside_asks_every_beat_to_be_let_in() -> None:
    one = Whole("new", decided={"assigned": {"new": (0,)}})
    at(one, BEAT)
    assert len(one.mail(Join)) == 4
    at(one, 2 * BEAT)
    assert len(one.mail(Join)) == 8


def test_who_wants_to_go_says_so_every_beat() -> None:
    one = Whole()
    quiet(one)
    one.tell(Leave("tired"))
    assert len(one.mail(Depart)) == 3
    at(one, BEAT)
    assert len(one.mail(Depart)) == 6


def test_a_pause_of_our_own_excuses_others_and_asks_what_was_missed() -> None:
    one = sent_on()
    quiet(one)
    out = at(one, 30.0, stalled=30.0)
    assert [(effect.to, effect.message) for effect in out] == [
        (peer, Fetch(one.context.decision.slot)) for peer in ("s0b", "s1a", "s1b")
    ]
    assert one.context.waits.next_deadline() == 42.0
