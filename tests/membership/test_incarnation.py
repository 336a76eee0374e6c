"""Of two statements about one member the one with the higher incarnation holds."""

from __future__ import annotations

import dataclasses
import random

import pytest

from actors.membership import membership
from actors.membership.events import Changed, Update
from actors.membership.membership import Membership
from actors.membership.messages import Ack, Ping
from actors.membership.statements import Card, Notary, Record, State
from orchestrator.simulation.stub_crypto import StubCrypto, credential_of
from tests.membership.helpers import LAN, RUN
from tests.membership.solo import Solo, messages

SUBJECT = 4


def changes(solo: Solo) -> list[tuple[str, int]]:
    return [(one.what, solo.number(one.peer)) for _, one in solo.log if isinstance(one, Changed)]


def news(solo: Solo) -> tuple[bytes, ...]:
    """What it would tell another one."""
    (answer,) = [one for one in messages(solo.says(6, Ping(1, solo.core.view_hash))) if isinstance(one, Ack)]
    return answer.updates


@pytest.mark.parametrize(
    ("incarnation", "holds"),
    [(4, False), (5, False), (6, True), (60, True)],
    ids=["older", "same", "newer", "far newer"],
)
def test_a_record_holds_when_its_incarnation_is_higher(incarnation: int, holds: bool) -> None:
    solo = Solo(6)
    known = solo.record(SUBJECT, 5)
    solo.tell(known.wire)
    solo.log.clear()
    came = solo.record(SUBJECT, incarnation)
    solo.tell(came.wire)
    assert solo.core.records[solo.peer(SUBJECT)].wire == (came if holds else known).wire
    assert changes(solo) == ([("updated", SUBJECT)] if holds else [])
    assert solo.core.refused == ({"stale": 1} if incarnation < 5 else {})


def test_of_two_records_of_one_incarnation_all_keep_the_same_one() -> None:
    """Two processes with one key: the order of arrival must not decide."""
    one, other = Solo(6), Solo(6)
    twins = [one.record(SUBJECT, 5, throughput=rate).wire for rate in (1.0, 2.0)]
    for wire in twins:
        one.tell(wire)
    for wire in reversed(twins):
        other.tell(wire)
    assert one.core.records[one.peer(SUBJECT)] == other.core.records[one.peer(SUBJECT)]
    assert one.core.view_hash == other.core.view_hash
    assert sorted([one.core.refused["twin"], other.core.refused["twin"]]) == [0, 1]
    higher = max((one.record(SUBJECT, 5, throughput=rate) for rate in (1.0, 2.0)), key=lambda each: each.digest)
    assert one.core.records[one.peer(SUBJECT)] == higher


@pytest.mark.parametrize(("incarnation", "back"), [(4, False), (5, False), (6, True)])
def test_the_dead_come_back_only_above_the_incarnation_of_their_verdict(incarnation: int, back: bool) -> None:
    """Of one incarnation the verdict holds."""
    solo = Solo(6)
    solo.tell(solo.dead(SUBJECT, by=2, incarnation=5))
    solo.tell(solo.record(SUBJECT, incarnation).wire)
    assert (solo.peer(SUBJECT) in solo.core.live) is back
    assert len(solo.when("back", SUBJECT)) == back
    assert solo.notes("joined") == ([f"n4 is back, incarnation {incarnation}"] if back else [])
    assert solo.core.refused == ({"stale": 1} if incarnation < 5 else {})


def test_a_record_above_the_verdict_cannot_be_buried_by_that_verdict_again() -> None:
    solo = Solo(6)
    verdict = solo.dead(SUBJECT, by=2, incarnation=5)
    solo.tell(verdict, solo.record(SUBJECT, 6).wire, verdict)
    assert solo.peer(SUBJECT) in solo.core.live


@pytest.mark.parametrize(("incarnation", "back"), [(6, False), (7, False), (8, True)])
def test_one_who_left_comes_back_only_above_its_goodbye(incarnation: int, back: bool) -> None:
    solo = Solo(6)
    solo.tell(solo.record(SUBJECT, 7, state=State.LEFT).wire)
    assert solo.when("left", SUBJECT)
    assert solo.notes("left") == ["n4 left"]
    solo.tell(solo.record(SUBJECT, incarnation).wire)
    assert (solo.peer(SUBJECT) in solo.core.live) is back


def test_a_goodbye_is_told_no_further_once_it_was_heard_eight_times() -> None:
    solo = Solo(6, interval_s=1e6)
    goodbye = solo.record(SUBJECT, 7, state=State.LEFT).wire
    for _ in range(1 + LAN.least_told - 1):
        solo.tell(goodbye)
    assert news(solo) == (goodbye,)
    solo.tell(goodbye)
    assert news(solo) == ()


def test_the_goodbye_of_an_unknown_one_makes_it_no_member() -> None:
    solo = Solo(6)
    peer = "5a" * 32
    solo._table.secrets[peer] = b"secret"
    notary = Notary(RUN, StubCrypto(solo._table.secrets, peer), credential_of(peer))
    solo.tell(notary.record(Card(peer, "stray", state=State.LEFT), 1, 1).wire)
    assert peer not in solo.core.records
    solo.tell(notary.record(Card(peer, "stray", state=State.JOINING), 1, 1).wire)
    assert peer in solo.core.live
    assert changes_of(solo, peer) == ["joined"]
    assert solo.notes("joined") == ["stray joined"]
    assert notary.record(Card(peer, "stray", state=State.JOINING), 1, 1).wire in news(solo)


def changes_of(solo: Solo, peer: str) -> list[str]:
    return [one.what for _, one in solo.log if isinstance(one, Changed) and one.peer == peer]


def test_more_members_than_a_table_holds_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(membership, "MOST", 7)
    solo = Solo(6)
    peer = "5a" * 32
    solo._table.secrets[peer] = b"secret"
    notary = Notary(RUN, StubCrypto(solo._table.secrets, peer), credential_of(peer))
    solo.tell(notary.record(Card(peer, "stray"), 1, 1).wire)
    assert peer not in solo.core.records
    assert solo.core.refused == {"too-many-members": 1}
    monkeypatch.setattr(membership, "MOST", 8)
    solo.tell(notary.record(Card(peer, "stray"), 1, 1).wire)
    assert peer in solo.core.live


# --- our own --------------------------------------------------------------------------------------------------------


def test_each_change_of_our_own_raises_the_incarnation_and_keeps_the_life() -> None:
    solo = Solo(6)
    for number, change in enumerate(({"stage": 3}, {"throughput": 5.0}), start=2):
        solo.give(Update(change))
        assert (solo.core.record.incarnation, solo.core.record.life) == (number, 1)
    assert (solo.core.record.stage, solo.core.record.throughput) == (3, 5.0)
    assert news(solo) == (solo.core.record.wire,), "the older one is told no more"


def own(life: int, incarnation: int, **card: object) -> Record:
    solo = Solo(6)
    return solo.record(0, incarnation, life, **card)


@pytest.mark.parametrize(
    ("life", "incarnation", "now_life", "now_incarnation"),
    [
        (900, 950, 951, 951),  # an earlier process whose folder is lost: this one goes on above it
        (1, 40, 1, 41),  # our own life, of which we forgot the newest record
    ],
)
def test_what_others_remember_of_us_is_exceeded(
    life: int, incarnation: int, now_life: int, now_incarnation: int
) -> None:
    solo = Solo(6)
    solo.tell(own(life, incarnation, throughput=9.0).wire)
    assert (solo.core.record.life, solo.core.record.incarnation) == (now_life, now_incarnation)
    assert solo.core.record.throughput == 0.0, "what we say now, and not what was said then"
    assert solo.notes("incarnation") == [f"others knew incarnation {incarnation} of us, so we go on above it"]
    solo.give(Update({"stage": 1}))
    assert (solo.core.record.life, solo.core.record.incarnation) == (now_life, now_incarnation + 1)


def test_our_own_record_and_older_ones_of_ours_change_nothing() -> None:
    solo = Solo(6)
    first = solo.core.record
    solo.give(Update({"stage": 3}))
    solo.tell(first.wire, solo.core.record.wire)
    assert solo.core.record.incarnation == 2
    assert not solo.notes("incarnation")
    assert solo.core.refused == {"stale": 1}


def test_a_twin_is_exceeded_at_most_once_a_second() -> None:
    solo = Solo(6)
    solo.tell(own(1, 1, throughput=9.0).wire)
    assert solo.core.record.incarnation == 2, "the same incarnation, but not our words"
    solo.run(0.9)
    solo.tell(own(1, 9, throughput=9.0).wire)
    assert solo.core.record.incarnation == 2
    solo.run(0.2)
    solo.tell(own(1, 9, throughput=9.0).wire)
    assert solo.core.record.incarnation == 10


def test_a_restart_is_above_the_process_before_it() -> None:
    """Its life is the Unix time of its start; what others know of the one before is below."""
    solo = Solo(6)
    before = solo.core.records[solo.peer(SUBJECT)]
    again = solo.record(SUBJECT, 1_700_000_000, life=1_700_000_000)
    solo.tell(solo.dead(SUBJECT, by=2), again.wire)
    known = solo.core.records[solo.peer(SUBJECT)]
    assert known.life == known.incarnation == 1_700_000_000 > before.incarnation
    assert solo.when("back", SUBJECT)


def test_a_core_begins_with_its_life_as_incarnation_and_alone() -> None:
    solo = Solo(1)
    card = dataclasses.replace(solo._table.cores[1]._card, name="fresh")
    core = Membership(card, solo._table.notary(1), LAN, random.Random(1), 50.0, 77)
    assert (core.record.life, core.record.incarnation, core.record.name) == (77, 77, "fresh")
    assert (core.live, dict(core.gone), core.left, core.health) == ([], {}, False, 0)
    assert core.next_deadline() == 50.0
