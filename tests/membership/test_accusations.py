"""Accusations that come from others: which ones count, how far they spread, and about whom they say nothing."""

from __future__ import annotations

import pytest

from actors.membership.events import Leave
from actors.membership.messages import Ack, Gossip, Ping
from actors.membership.statements import Evidence, Notary, State, Verdict
from orchestrator.simulation.stub_crypto import StubCrypto, credential_of
from tests.membership.helpers import LAN, RUN
from tests.membership.solo import Solo, messages

SUBJECT = 4
REFUSED = Evidence.REFUSED


def unchanged(solo: Solo, *wires: bytes) -> None:
    """These change no belief."""
    core = solo.core
    before = (core.view_hash, dict(core.records), dict(core.gone), dict(core.suspicions), core.record)
    solo.tell(*wires)
    assert (core.view_hash, dict(core.records), dict(core.gone), dict(core.suspicions), core.record) == before


def told(solo: Solo) -> tuple[bytes, ...]:
    """What rides on the answer to a ping of a member that is not suspected."""
    (answer,) = messages(solo.says(6, Ping(1, solo.core.view_hash)))
    assert isinstance(answer, Ack)
    return answer.updates


# --- about whom -----------------------------------------------------------------------------------------------------


def stranger() -> tuple[str, Notary]:
    """A certified member of the run of whom nobody has heard."""
    peer = "5a" * 32
    return peer, Notary(RUN, StubCrypto({peer: b"secret"}, peer), credential_of(peer))


@pytest.mark.parametrize("verdict", list(Verdict))
def test_an_accusation_of_or_by_an_unknown_member_is_counted_and_nothing_else(verdict: Verdict) -> None:
    solo = Solo(6)
    peer, notary = stranger()
    solo._table.secrets[peer] = b"secret"
    by_it = notary.accusation(solo.peer(SUBJECT), 1, verdict, Evidence.SILENT, peer).wire
    of_it = solo._table.notary(2).accusation(peer, 1, verdict, Evidence.SILENT, solo.peer(2)).wire
    unchanged(solo, by_it, of_it)
    assert solo.core.refused == {"unknown-member": 2}


@pytest.mark.parametrize("verdict", list(Verdict))
@pytest.mark.parametrize(("accused", "raised_to"), [(0, None), (4, None), (5, 6), (9, 10)])
def test_an_accusation_of_oneself_is_refuted_above_it_unless_it_is_an_old_one(
    verdict: Verdict, accused: int, raised_to: int | None
) -> None:
    """The member is at incarnation 5."""
    solo = Solo(6)
    for incarnation in (1, 2, 3, 4):
        solo.tell(solo.accusation(0, by=1, incarnation=incarnation))
    assert solo.core.record.incarnation == 5
    solo.log.clear()
    solo.tell(solo.accusation(0, by=2, incarnation=accused, verdict=verdict), by=3)
    assert solo.core.record.incarnation == (raised_to or 5)
    word = "suspect" if verdict is Verdict.SUSPECT else "dead"
    assert solo.notes("refuted") == ([] if raised_to is None else [f"n2 held us {word}; we are here"])
    assert solo.core.record.life == 1, "the process is the same"
    solo.run(0.0)
    told_at_once = {number for _, number, gossip in solo.sent(Gossip) if solo.core.record.wire in gossip.updates}
    assert len(told_at_once) == (0 if raised_to is None else LAN.fanout)
    assert not solo.core.suspicions


def test_one_who_left_or_is_dead_or_has_refuted_is_accused_in_vain() -> None:
    solo = Solo(6)
    solo.tell(solo.record(2, 5, state=State.LEFT).wire, solo.dead(3, by=1), solo.record(SUBJECT, 7).wire)
    unchanged(solo, solo.accusation(2, by=1, incarnation=5), solo.dead(2, by=1, incarnation=9))
    unchanged(solo, solo.accusation(3, by=1))
    unchanged(solo, solo.accusation(SUBJECT, by=1, incarnation=6), solo.dead(SUBJECT, by=1, incarnation=6))
    assert solo.peer(2) in solo.core.gone
    assert solo.peer(SUBJECT) in solo.core.live


def test_one_that_leaves_refutes_nothing_and_accuses_nobody() -> None:
    solo = Solo(6, leave_s=5.0)
    solo.silent = {SUBJECT}
    solo.give(Leave())
    before = solo.core.record
    solo.tell(solo.accusation(0, by=1, incarnation=before.incarnation), solo.record(0, 99, life=99).wire)
    assert solo.core.record is before
    solo.run(4.9)
    assert not solo.core.suspicions


@pytest.mark.parametrize(("incarnation", "suspected"), [(6, False), (7, True), (8, True)])
def test_an_accusation_counts_from_the_incarnation_that_is_known_on(incarnation: int, suspected: bool) -> None:
    solo = Solo(6)
    solo.tell(solo.record(SUBJECT, 7).wire)
    solo.tell(solo.accusation(SUBJECT, by=1, incarnation=incarnation))
    assert (solo.peer(SUBJECT) in solo.core.suspicions) is suspected
    assert solo.core.refused == ({} if suspected else {"stale": 1})


@pytest.mark.parametrize(("incarnation", "buried"), [(6, False), (7, True), (8, True)])
def test_a_verdict_counts_from_the_incarnation_that_is_known_on(incarnation: int, buried: bool) -> None:
    solo = Solo(6)
    solo.tell(solo.record(SUBJECT, 7).wire)
    solo.tell(solo.dead(SUBJECT, by=1, incarnation=incarnation))
    assert (solo.peer(SUBJECT) in solo.core.gone) is buried
    assert solo.core.refused == ({} if buried else {"stale": 1})


# --- who looks ------------------------------------------------------------------------------------------------------


def test_in_a_small_mesh_everyone_who_hears_an_accusation_looks_itself_once() -> None:
    solo = Solo(6, interval_s=1000.0)
    solo.tell(solo.accusation(SUBJECT, by=1))
    solo.run(0.2)
    solo.tell(solo.accusation(SUBJECT, by=2), solo.accusation(SUBJECT, by=1))
    solo.run(0.2)
    assert len(solo.sent(Ping, SUBJECT)) == 1


def test_in_a_large_mesh_about_twelve_look() -> None:
    """One of 96 hears of 94 others twenty times: with a chance of 12 / 96 it looks 235 times, give or take 45."""
    solo = Solo(95, interval_s=1e6, sync_s=1e6)
    looked = 0
    for incarnation in range(1, 21):
        for subject in range(2, 96):
            effects = solo.tell(solo.accusation(subject, by=1, incarnation=incarnation))
            pings = [one for one in messages(effects) if isinstance(one, Ping) and one.seq]
            looked += len(pings)
            for ping in pings:
                solo.says(subject, Ack(ping.seq, solo.core.view_hash))
        solo.tell(*(solo.record(subject, incarnation + 1).wire for subject in range(2, 96)))
        assert not solo.core.suspicions
    assert 190 <= looked <= 280


# --- how far it spreads ---------------------------------------------------------------------------------------------


def test_the_first_accusation_is_told_until_it_was_heard_four_times_and_confirmations_twice() -> None:
    """Half and a quarter of the 8 times after which other news are well known."""
    solo = Solo(6, interval_s=1000.0)
    first, second = solo.accusation(SUBJECT, by=1), solo.accusation(SUBJECT, by=2)
    solo.tell(first, second)
    for _ in range(3):
        solo.tell(first)
    solo.tell(second)
    assert set(told(solo)) == {first, second}
    solo.tell(second)
    assert told(solo) == (first,)
    solo.tell(first)
    assert told(solo) == ()


@pytest.mark.parametrize(("evidence", "most"), [(Evidence.SILENT, 4), (REFUSED, 8)])
def test_accusations_beyond_those_that_count_are_not_passed_on(evidence: Evidence, most: int) -> None:
    """The first and three confirmations; of refusals, which shorten the time only when all are, twice as many."""
    solo = Solo(14, interval_s=1000.0)
    accusers = [1, 2, 3, 5, 7, 8, 9, 10, 11, 12]
    wires = [solo.accusation(SUBJECT, by, evidence=evidence) for by in accusers]
    for wire in wires:
        solo.tell(wire)
    assert {*told(solo), *told(solo)} == set(wires[:most]), "two answers, since not all fit into one"
    known = solo.core.suspicions[solo.peer(SUBJECT)].accusers
    assert len(known) == (4 if evidence is Evidence.SILENT else 10)


def test_our_own_accusation_is_passed_on_and_counted_even_when_four_others_accuse() -> None:
    solo = Solo(8)
    solo.silent = {SUBJECT}
    for by in (1, 2, 3, 5):
        solo.tell(solo.accusation(SUBJECT, by))
    solo.run(1.1)
    suspicion = solo.core.suspicions[solo.peer(SUBJECT)]
    assert suspicion.mine
    assert solo.core.record.peer_id in suspicion.accusers


def test_a_verdict_that_is_told_back_to_us_is_told_no_further_after_eight_times() -> None:
    solo = Solo(6)
    verdict = solo.dead(SUBJECT, by=1)
    for _ in range(1 + LAN.least_told - 1):
        solo.tell(verdict)
    assert told(solo) == (verdict,)
    solo.tell(verdict)
    assert told(solo) == ()


def test_the_suspected_and_the_dead_are_told_only_what_is_said_of_them() -> None:
    solo = Solo(6, interval_s=1000.0)
    accusation, verdict, news = solo.accusation(SUBJECT, by=1), solo.dead(3, by=1), solo.record(2, 9).wire
    solo.tell(accusation, verdict, news)
    for number, about in ((SUBJECT, accusation), (3, verdict)):
        answers = [one for one in messages(solo.says(number, Ping(1, 0))) if isinstance(one, Ack)]
        assert [one.updates for one in answers] == [(about,)]
    assert set(told(solo)) == {accusation, verdict, news}


def test_an_accusation_is_signed_by_who_accuses() -> None:
    """The same words under another name, of another run, changed, and too long change nothing."""
    solo = Solo(6)
    victim, notary = solo.peer(SUBJECT), solo._table.notary(2)
    as_another = notary.accusation(victim, 1, Verdict.DEAD, Evidence.SILENT, solo.peer(3)).wire
    other_run = Notary("another", notary._crypto, notary._credential)
    of_another_run = other_run.accusation(victim, 1, Verdict.DEAD, Evidence.SILENT, solo.peer(2)).wire
    changed = bytearray(solo.dead(SUBJECT, by=2))
    changed[-1] ^= 1
    unchanged(solo, as_another, of_another_run, bytes(changed), bytes(4097))
    assert solo.core.refused == {"bad-signature": 3, "oversized": 1}
