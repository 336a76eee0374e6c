"""Leaving: nobody goes before it may, and not before those who stay know the decision that lets it go."""

from __future__ import annotations

from typing import Any

import pytest

from actors.steps import effects, events
from actors.steps.ballots import Decided, Decision, Depart, Fetch, Join, Plan, Propose
from tests.steps.builders import Desk, decision_of, lead, leading, notes, report_of, sent, voters

ABC = voters(a=0, b=0, c=1)
CHANGE = decision_of(ABC)
WITHOUT_B = decision_of(voters(a=0, c=1), slot=6, view=3)


def leaving(me: str = "b", decision: Decision = CHANGE, **changes: Any) -> Desk:
    """It wants to go, and has said so."""
    desk = Desk(me, decision, **changes)
    desk.begun = desk.give(events.Leave("its machine is needed"))
    return desk


def gone(done: list[effects.Effect]) -> bool:
    return any(isinstance(effect, effects.Departed) for effect in done)


def test_a_member_that_wants_to_go_tells_all_again_with_every_beat_and_works_on() -> None:
    desk = leading(decision_of(voters(a=0, b=0, c=0)), "bc", stages=1)
    done = desk.give(events.Leave("its machine is needed"))
    assert notes(done, "leaving") == ["A wants to go: its machine is needed"]
    assert sent(done, Depart) == [("b", Depart(5, 1)), ("c", Depart(5, 1))]
    member = leaving()
    assert not gone(member.begun) and not sent(member.begun, Join)
    assert len(sent(member.wait(2.0), Depart)) == 4, "two beats, two others"
    assert not notes(member.give(events.Leave("again")), "leaving"), "said once"


def test_the_leader_itself_may_go_like_any_other() -> None:
    desk = Desk("a", decision_of(voters(a=0, b=0, c=0)), held=-1, stages=1)
    desk.hear("b", Depart(5, 1))
    promises = {peer: report_of() for peer in "bc"}
    ((_, proposal), _) = sent(lead(desk, promises), Propose)
    assert [m.peer_id for m in proposal.decision.members] == ["a", "c"]


def parting(**changes: Any) -> Desk:
    """It knows the decision that lets it go."""
    desk = leaving(**changes)
    desk.begun = desk.hear("a", Decided(WITHOUT_B))
    return desk


def test_who_is_let_go_tells_those_who_stay_and_goes_when_all_have_said_that_they_know() -> None:
    desk = parting()
    assert not gone(desk.begun)
    assert sent(desk.begun, Decided) == [("a", Decided(WITHOUT_B)), ("c", Decided(WITHOUT_B))]
    assert sent(desk.begun, Fetch) == [("a", Fetch(5)), ("c", Fetch(5))], "what came after slot 5?"
    assert not sent(desk.begun, Join)
    assert not gone(desk.hear("a", Decided(WITHOUT_B)))
    assert gone(desk.hear("c", Decided(WITHOUT_B)))


def test_an_older_decision_does_not_say_that_its_sender_knows_and_a_newer_one_does() -> None:
    desk = parting()
    desk.hear("a", Decided(WITHOUT_B))
    assert not gone(desk.hear("c", Decided(CHANGE)))
    desk = parting()
    later = decision_of(voters(a=0, c=1), slot=7, view=3, step=4)
    assert not gone(desk.hear("c", Decided(later)))
    assert gone(desk.hear("a", Decided(later)))


def test_it_says_it_with_every_beat_to_those_who_have_not_answered() -> None:
    desk = parting()
    done = desk.wait(1.0)
    assert [to for to, _ in sent(done, Fetch)] == ["a", "c"]
    assert not sent(done, Depart), "it is let go already"
    desk.hear("a", Decided(WITHOUT_B))
    assert [to for to, _ in sent(desk.wait(2.0), Fetch)] == ["c", "c"]


def test_once_one_of_those_who_stay_knows_the_others_are_waited_for_until_the_fourth_beat() -> None:
    for beat_s in (1.0, 0.5):
        desk = parting(beat_s=beat_s)
        desk.hear("a", Decided(WITHOUT_B))
        assert not gone(desk.wait(3.9 * beat_s))
        assert gone(desk.wait(0.1 * beat_s))


def test_while_none_of_those_who_stay_has_said_that_it_knows_it_waits_for_a_floor_of_patience() -> None:
    """Ten seconds: they may all be gone for good."""
    desk = parting()
    assert not gone(desk.wait(9.9))
    assert gone(desk.wait(0.1))


def test_those_who_cannot_be_reached_need_not_know() -> None:
    desk = parting(up="a")
    assert sent(desk.begun, Fetch) == [("a", Fetch(5))]
    assert gone(desk.hear("a", Decided(WITHOUT_B)))


def test_who_has_gone_does_nothing_more() -> None:
    desk = parting()
    desk.hear("a", Decided(WITHOUT_B))
    desk.hear("c", Decided(WITHOUT_B))
    assert desk.core.next_deadline() is None
    later = decision_of(voters(a=0, c=1), slot=8, view=3, step=4)
    assert not gone(desk.hear("c", Decided(later))), "said once"
    assert desk.core.next_deadline() is None


def test_the_last_of_a_stage_does_not_go_although_it_lost_its_vote() -> None:
    """It is alone with stage 1: it asks to be let in again, and goes when another one is there."""
    desk = leaving("c")
    done = desk.hear("a", Decided(decision_of(ABC[:2], slot=6, view=3, assigned=CHANGE.assigned)))
    assert not gone(done) and sent(done, Join)
    log = {**CHANGE.assigned, "x": (1,)}
    done = desk.hear("a", Decided(decision_of(voters(a=0, b=0, x=1), slot=7, view=4, assigned=log)))
    assert not sent(done, Join)
    assert gone(desk.hear("b", Decided(desk.core.context.decision)) + desk.wait(4.0))


def test_who_is_let_in_again_stays_until_it_is_let_go_again() -> None:
    desk = parting()
    desk.hear("a", Decided(WITHOUT_B))
    desk.hear("a", Decided(decision_of(ABC, slot=7, view=4)))
    assert not gone(desk.wait(30.0))
    after = decision_of(voters(a=0, c=1), slot=8, view=5)
    assert not gone(desk.hear("a", Decided(after)) + desk.hear("c", Decided(after))), "a has to say it once more"
    assert gone(desk.hear("a", Decided(after)))


def test_who_has_no_vote_and_nothing_to_lose_goes_at_once_when_it_knows_nothing() -> None:
    desk = Desk("x", None, held=-1)
    assert gone(desk.give(events.Leave("never mind")))


def test_who_wants_to_go_and_has_no_vote_asks_for_none() -> None:
    desk = Desk("x", CHANGE, up="abc", held=-1, stage=0)
    done = desk.give(events.Leave("never mind"))
    assert not gone(done) and not sent(done + desk.wait(9.0), Join)
    assert gone(desk.wait(1.0)), "nobody has said that it knows: a floor of patience later"


@pytest.mark.parametrize(("log", "stage"), [((0,), None), ((0, 1), 1), ((1, 0), None)], ids=str)
def test_the_stage_is_the_newest_in_the_log(log: tuple[int, ...], stage: int | None) -> None:
    desk = Desk("b", CHANGE)
    done = desk.hear("a", Decided(decision_of(ABC, slot=6, assigned={**CHANGE.assigned, "b": log})))
    assert [effect.stage for effect in done if isinstance(effect, effects.Serve)] == ([] if stage is None else [stage])
    assert desk.core.context.me.stage == (0 if stage is None else stage)


def test_a_plan_is_no_reason_to_go() -> None:
    desk = leaving()
    assert not gone(desk.hear("a", Plan(6, 0, 1, 3, {}, {}, ("a", "b", "c"), {}, {}, ())))
