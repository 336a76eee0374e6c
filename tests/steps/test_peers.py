"""Peers that come and go: what was with a peer that is gone goes to others, and who is back hears what it missed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from actors.steps.ballots import Decided, Dismiss, Fetch, Holding, Join, Lead, Plan, Promise, Report
from actors.steps.effects import ExportState, SavePart
from actors.steps.events import Computed, PartSaved, PeerLost, PeerUp, StateExported
from actors.steps.messages import Forward, Get, Offer, Part, Saved, Stored, Want
from tests.steps.giving import state_offer
from tests.steps.parts import STEP, forward, vector
from tests.steps.whole import Whole

ROUTE = ("s0a", "s1a")


def lost(peer: str, *, gone: bool = True, polite: bool = False) -> PeerLost:
    return PeerLost(peer, "its process died", gone, polite)


def test_who_is_up_can_be_worked_with_and_is_asked_what_happened_meanwhile() -> None:
    one = Whole()
    one.tell(lost("s1a"))
    assert "s1a" not in one.context.usable and one.context.gone == {"s1a": "its process died"}
    one.clear()
    one.tell(PeerUp("s1a"))
    assert "s1a" in one.context.usable and one.context.gone == {}
    assert one.mail(Fetch) == [("s1a", Fetch(one.context.decision.slot))]
    one.clear()
    assert one.tell(PeerUp("s1a")) == [], "it was there already"


def test_who_is_up_hears_of_the_newest_checkpoint() -> None:
    one = Whole()
    one.tell(lost("s1a"))
    one.context.stored = (0, STEP)
    one.tell(PeerUp("s1a"))
    assert one.mail(Stored) == [("s1a", Stored(0, STEP))]


def test_who_could_not_reach_a_member_tells_the_leader_when_it_goes_and_when_it_is_back() -> None:
    one = Whole()
    one.tell(lost("s1a", gone=False))
    assert [(to, word.report.unreachable) for to, word in one.mail(Holding)] == [("s1b", ("s1a",))]
    one.tell(PeerUp("s1a"))
    assert [word.report.unreachable for _, word in one.mail(Holding)] == [("s1a",), ()]
    one.clear()
    one.tell(PeerUp("stranger"))
    one.tell(lost("stranger"))
    assert one.mail(Holding) == [], "it is no member"


@pytest.mark.parametrize(
    ("event", "noted", "gone"),
    [
        (lost("s1a"), True, True),
        (lost("s1a", polite=True), False, True),  # it said goodbye
        (lost("s1a", gone=False), False, False),  # only its link broke
    ],
)
def test_a_death_is_noted_once(event: PeerLost, noted: bool, gone: bool) -> None:
    one = Whole()
    one.tell(event)
    one.tell(event)
    assert one.notes().count("lost") == noted
    assert ("s1a" in one.context.gone) is gone and "s1a" not in one.context.usable


def test_what_was_with_a_hop_that_is_lost_is_sent_to_another_one() -> None:
    one = Whole()
    one.plan(train={"s0b": (4,)})
    one.hear("s0b", forward(4, 0, ROUTE, origin="s0b", order=one.context.plan), "in")
    one.tell(Computed(one.jobs()[0], ("out",), 0.0, 1.0))
    one.clear()
    one.tell(lost("s1a"))
    assert [(to, message.retry) for to, message in one.mail(Forward)] == [("s1b", 1)]


def test_what_no_one_could_take_is_sent_when_a_replica_is_up() -> None:
    one = Whole()
    one.plan(train={"s0b": (4,)})
    one.hear("s0b", forward(4, 0, ROUTE, origin="s0b", order=one.context.plan), "in")
    one.tell(lost("s1a"))
    one.context.usable.discard("s1b")
    one.tell(Computed(one.jobs()[0], ("out",), 0.0, 1.0))
    assert one.mail(Forward) == []
    one.tell(PeerUp("s1a"))
    assert [to for to, _ in one.mail(Forward)] == ["s1a"]


def test_what_an_origin_sent_through_a_hop_that_is_lost_is_driven_again() -> None:
    one = Whole("s1a", layout=(2, 2))
    one.plan(train={"s1a": (4,)})
    ((first, _),) = one.mail(Forward)
    one.clear()
    one.tell(lost(first))
    (other,) = {"s0a", "s0b"} - {first}
    assert [(to, message.retry) for to, message in one.mail(Forward)] == [(other, 1000)]


def test_a_donor_that_is_lost_is_replaced_and_one_that_is_up_is_asked() -> None:
    one = Whole(layout=(3, 2), ready=False)
    one.hear("s0b", state_offer())
    one.hear("s0c", state_offer())
    assert [to for to, _ in one.mail(Get)] == ["s0b"] * 3
    one.clear()
    one.tell(lost("s0b"))
    assert [(to, get.chunk) for to, get in one.mail(Get)] == [("s0c", 0), ("s0c", 1), ("s0c", 2)]
    alone = Whole(layout=(2, 2), ready=False)
    alone.tell(lost("s0b"))
    alone.clear()
    alone.tell(PeerUp("s0b"))
    assert [to for to, _ in alone.mail(Want)] == ["s0b"]


def test_who_asked_for_the_state_and_is_lost_needs_nothing_and_asks_again_when_it_is_back() -> None:
    one = Whole()
    one.hear("s0b", Want(-1, 0))
    assert len(one.wanted(ExportState)) == 1
    one.tell(lost("s0b"))
    one.tell(PeerUp("s0b"))
    one.tell(StateExported(STEP, vector(1, 2), "hash"))
    assert one.mail(Offer) == []
    one.hear("s0b", Want(-1, 0))
    assert [(to, offer.part) for to, offer in one.mail(Offer)] == [("s0b", Part.STATE)]


def test_a_request_of_a_replica_that_is_not_up_yet_is_answered_when_it_is() -> None:
    one = Whole()
    one.tell(lost("s0b"))
    one.hear("s0b", Want(-1, 0))
    one.tell(StateExported(STEP, vector(1, 2), "hash"))
    assert one.mail(Offer) == []
    one.tell(PeerUp("s0b"))
    assert [to for to, _ in one.mail(Offer)] == ["s0b"]


def test_a_leader_that_is_held_dead_is_replaced_at_once_and_one_that_is_cut_off_is_waited_for() -> None:
    for gone in (True, False):
        one = Whole("s0a", leader="s1b")
        one.tell(lost("s1b", gone=gone))
        assert bool(one.mail(Lead)) is gone, "s0a is the next in turn"


def test_who_is_outside_asks_those_who_come_to_be_let_in() -> None:
    one = Whole("new", decided={"assigned": {"new": (0,)}})
    one.tell(lost("s1a"))
    one.clear()
    one.tell(PeerUp("s1a"))
    assert "s1a" in [to for to, _ in one.mail(Join)] and one.mail(Holding) == []


def test_the_part_of_a_writer_that_is_lost_is_written_by_another_one() -> None:
    one = Whole(save_every=1)
    one.commit()
    assert one.wanted(SavePart) == [SavePart(0, STEP + 1, 0, 2)]
    one.tell(lost("s0b"))
    assert one.wanted(SavePart)[1:] == [SavePart(0, STEP + 1, 1, 2)]


def test_who_is_up_hears_again_which_parts_are_in_the_store() -> None:
    one = Whole(save_every=1)
    one.commit()
    one.tell(PartSaved(0, STEP + 1, 0, b"mine"))
    one.tell(lost("s0b", gone=False))
    one.clear()
    one.tell(PeerUp("s0b"))
    assert one.mail(Saved) == [("s0b", Saved(0, STEP + 1, 0, 0, b"mine"))]


def test_a_leader_does_not_wait_for_who_is_lost() -> None:
    """It asks all what they hold; three of four have answered, and the fourth dies."""
    one = Whole(leader="s0a")
    report = Report(1, STEP, {}, (), 1.0, True, "same", parameter_hash="parameters")
    for peer in ("s0b", "s1a"):
        one.hear(peer, Promise(one.context.agreement.slot, 0, -1, None, report))
    assert one.mail(Plan) == []
    one.tell(lost("s1b", gone=False))
    assert {to for to, _ in one.mail(Plan)} == {"s0b", "s1a"}


def test_who_is_up_hears_whose_votes_the_owner_has_dismissed() -> None:
    one = Whole(layout=(3, 2))
    for peer in ("s0c", "s1a", "s1b"):
        one.tell(lost(peer, gone=False))
    word = Dismiss(1, {"s0c": 1, "s1a": 1}, "00")
    one.hear("s0b", word)
    one.clear()
    one.tell(PeerUp("s1b"))
    assert one.mail(Dismiss) == [("s1b", word)]


def test_who_is_outside_asks_nothing_when_a_peer_goes() -> None:
    one = Whole("new", decided={"assigned": {"new": (0,)}})
    one.tell(lost("s1a", gone=False))
    assert one.mail(Join) == []


def test_a_lost_majority_is_noted_and_so_is_its_return() -> None:
    one = Whole()
    one.tell(lost("s0b", gone=False))
    assert "paused" not in one.notes()
    one.tell(lost("s1a", gone=False))
    assert one.notes().count("paused") == 1 and one.core.paused
    one.tell(PeerUp("s0b"))
    assert one.notes().count("resumed") == 1 and not one.core.paused


def test_a_leader_asks_who_is_up_once_more_what_it_holds() -> None:
    one = Whole(leader="s0a")
    one.tell(lost("s1b", gone=False))
    one.clear()
    one.tell(PeerUp("s1b"))
    assert one.core.leads and [to for to, _ in one.mail(Lead)] == ["s1b"]


def test_after_the_end_only_who_is_there_is_known() -> None:
    one = Whole()
    one.hear("s1b", Decided(replace(one.newest, slot=99, finished=True)))
    assert one.core.finished
    one.clear()
    assert len(one.tell(lost("s1a"))) == 1 and one.notes() == ["lost"]
    assert "s1a" not in one.context.usable
    assert one.tell(PeerUp("s1a")) == [] and "s1a" in one.context.usable
