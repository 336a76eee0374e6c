"""Scenarios of the membership core, a few members each, every message carried by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from actors.membership.events import Broken, Hint, Leave, Received, Tick, Unreachable, Update
from actors.membership.messages import Ack, Gossip, Nack, Ping, PingRequest
from actors.membership.statements import Evidence, State, Verdict
from actors.membership.view import state_of
from tests.membership.helpers import LAN, Table


def test_a_silent_member_is_convicted_within_the_formula() -> None:
    table = Table(5)
    table.run(2)
    table.silent.add(4)
    bound = 5 * LAN.interval_s + LAN.probe_s + LAN.suspicion_s + 1
    table.run(bound)
    for number in range(4):
        assert table.heard(number, "dead") == ["n4"]
        assert state_of(table.cores[number], table.cores[4].record) == "dead"
    assert len({core.view_hash for core in table.cores[:4]}) == 1


def test_nobody_is_suspected_while_all_answer() -> None:
    table = Table(5)
    table.run(60)
    assert not table.changes
    assert all(core.health == 0 for core in table.cores)


def test_a_silent_member_comes_back_above_the_incarnation_of_its_verdict() -> None:
    table = Table(4)
    table.silent.add(3)
    table.run(20)
    buried = table.cores[0].gone[table.peer(3)].incarnation
    table.silent.clear()
    table.run(20)
    assert table.heard(0, "back") == ["n3"]
    assert table.cores[3].record.incarnation > buried
    assert len({core.view_hash for core in table.cores}) == 1


def test_a_broken_link_is_looked_into_at_once_and_convicts_nobody_who_answers() -> None:
    table = Table(4)
    sent = table.give(0, Broken(table.peer(1)))
    assert [type(message) for message in sent] == [Ping]
    table.run(10)
    assert not table.changes


def test_a_hint_is_noted_and_probes_at_once() -> None:
    table = Table(4)
    assert any(isinstance(message, Ping) for message in table.give(0, Hint(table.peer(1), "step 7 waited 9 s for it")))
    assert [note.kind for number, note in table.notes if number == 0] == ["hint"]
    table.run(10)
    assert not table.changes


def test_refusal_alone_by_one_machine_does_not_convict_whom_others_reach() -> None:
    """One member's dial is refused (a wrong address in between); everyone else reaches the subject."""
    table = Table(5)
    subject = table.peer(4)
    for _ in range(20):
        table.give(0, Broken(subject))
        table.give(0, Unreachable(subject, refused=True))
        table.run(0.5)
    assert table.heard(0, "dead") == []
    assert all(table.heard(number, "dead") == [] for number in range(5))


def test_one_that_only_hears_of_a_suspicion_never_convicts_by_itself() -> None:
    """Verdicts need an own failed probe: accusations of three others, and the subject answers us."""
    table = Table(6)
    subject = table.peer(5)
    for accuser in (1, 2, 3, 4):
        accusation = table.notary(accuser).accusation(subject, 1, Verdict.SUSPECT, Evidence.SILENT, table.peer(accuser))
        table.give(0, Received(table.peer(accuser), Gossip((accusation.wire,))))
    assert state_of(table.cores[0], table.cores[5].record) == "suspect"
    table.run(30)
    assert table.heard(0, "dead") == []
    assert "refuted" in {what for number, what, _ in table.changes if number == 0}


def _pause_everywhere() -> Table:
    """Pauses of many lengths that begin while a probe is under way; the timers come first, the unread answers later."""
    table = Table(4)
    for number in range(40):
        table.run(2.0)
        while not any(sender == 0 and isinstance(message, Ping) for sender, _, message in table._outbox):
            table.run(0.01)
        table.run(0.01 * (number % 3))
        table.unread[0] = []
        table.run((0.6, 1.2, 2.5, 4.0)[number % 4])
        unread = table.unread.pop(0)
        table.give(0, Tick())
        table.give(0, Tick())
        assert not table.cores[0].suspicions, f"pause {number}"
        for event in unread:
            table.give(0, event)
    return table


def test_a_member_that_did_not_run_blames_itself() -> None:
    table = _pause_everywhere()
    assert not [what for number, what, peer in table.changes if number == 0 and what in ("suspect", "dead")]
    assert all(table.heard(number, "dead") == [] for number in range(4))


def test_without_the_excuse_the_paused_accuse(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same pauses with the excuse taken out: the test above can fail."""
    from actors.membership.membership import Membership

    monkeypatch.setattr(Membership, "_stalled", lambda self, stall: None)
    with pytest.raises(AssertionError, match="pause"):
        _pause_everywhere()


def test_leaving_is_no_death() -> None:
    table = Table(5)
    table.give(4, Leave())
    table.run(LAN.leave_s + 1)
    assert table.cores[4].left
    for number in range(4):
        assert table.heard(number, "left") == ["n4"]
        assert table.heard(number, "dead") == []
        assert state_of(table.cores[number], table.cores[4].record) == "left"
    table.run(30)
    assert all(table.heard(number, "dead") == [] for number in range(4))


def test_news_of_the_own_record_reach_all_and_keep_the_process_life() -> None:
    table = Table(8)
    life = table.cores[0].record.life
    table.give(0, Update({"throughput": 12.5, "state": State.DRAINING}))
    table.run(2)
    for core in table.cores[1:]:
        record = core.records[table.peer(0)]
        assert (record.throughput, record.state, record.life) == (12.5, State.DRAINING, life)
        assert state_of(core, record) == "draining"
    assert len({core.view_hash for core in table.cores}) == 1


def test_lost_news_are_found_by_the_view_hash() -> None:
    """No gossip arrives at all: probes show the difference, push-pull removes it."""
    table = Table(4, replace(LAN, sync_s=1e6))
    table.give(0, Update({"throughput": 3.0}))
    table.run(10, carries=lambda message: not getattr(message, "updates", ()) or type(message).__name__ != "Gossip")
    assert len({core.view_hash for core in table.cores}) == 1


def test_the_dead_are_forgotten_in_the_end() -> None:
    table = Table(3, replace(LAN, reap_s=30.0))
    table.silent.add(2)
    table.run(130)
    assert table.heard(0, "dead") == ["n2"]
    assert table.peer(2) not in table.cores[0].records
    assert table.peer(2) not in table.cores[1].gone


def test_a_helper_answers_for_the_unreachable_and_nacks_once() -> None:
    table = Table(3)
    request = PingRequest(77, table.peer(2))
    (ping,) = table.give(1, Received(table.peer(0), request))
    assert isinstance(ping, Ping)
    (answer,) = table.give(1, Received(table.peer(2), Ack(ping.seq, 0)))
    assert answer == Ack(77, table.cores[1].view_hash)
    (ping,) = table.give(1, Received(table.peer(0), request))
    sent = table.give(1, Unreachable(table.peer(2), refused=True))
    assert Nack(77, refused=True) in sent


def test_a_twin_of_the_own_identity_ends_in_one_record_above_both() -> None:
    """Two processes with one key: others see one member whose incarnation rises, slowly."""
    table = Table(3)
    twin = table.notary(0).record(replace(table.cores[0]._card, throughput=9.0), 500, 500)
    table.give(0, Received(table.peer(1), Gossip((twin.wire,))))
    assert table.cores[0].record.incarnation == 501
    assert ("incarnation") in [note.kind for number, note in table.notes if number == 0]
    again = table.notary(0).record(replace(table.cores[0]._card, throughput=8.0), 600, 600)
    table.give(0, Received(table.peer(1), Gossip((again.wire,))))
    assert table.cores[0].record.incarnation == 501, "at most once a second"


def test_statements_that_must_change_nothing() -> None:
    table = Table(4)
    core, victim = table.cores[0], table.peer(1)
    good = table.notary(1).record(table.cores[1]._card, 1, 9)
    other_run = type(table.notary(1))("another-run", table.notary(1)._crypto, table.notary(1)._credential)
    flipped = bytearray(good.wire)
    flipped[40] ^= 1
    forged = table.notary(2).accusation(victim, 1, Verdict.DEAD, Evidence.SILENT, table.peer(3))
    stale = table.notary(1).record(table.cores[1]._card, 1, 0)
    wires = [bytes(flipped), good.wire[:-1], other_run.record(table.cores[1]._card, 1, 9).wire]
    wires += [forged.wire, stale.wire, b"", b"\xc1", b"\x93" + b"\xff" * 100, bytes(5000)]
    before = (core.view_hash, dict(core.records), dict(core.gone), dict(core.suspicions))
    table.give(0, Received(table.peer(2), Gossip(tuple(wires))))
    assert (core.view_hash, dict(core.records), dict(core.gone), dict(core.suspicions)) == before
    assert not table.changes
    assert core.refused["bad-signature"] >= 3
    assert core.refused["malformed"] >= 3
    assert core.refused["oversized"] == 1
    table.give(0, Received(table.peer(2), Gossip((good.wire,))))
    assert core.records[victim].incarnation == 9


def test_half_of_a_mesh_falling_silent_is_shown_as_a_partition_and_its_end() -> None:
    table = Table(8)
    table.silent |= {4, 5, 6, 7}
    table.run(25)
    kinds = [note.kind for number, note in table.notes if number == 0]
    assert "partition" in kinds
    assert len(table.cores[0].beyond) == 4
    table.silent.clear()
    table.run(30)
    assert "healed" in [note.kind for number, note in table.notes if number == 0]
    assert len({core.view_hash for core in table.cores}) == 1
    assert not table.cores[0].beyond


def test_old_verdicts_do_not_silence_the_refutation_that_they_need() -> None:
    """Copies of what a refutation overcomes are no sign that the refutation is well known."""
    table = Table(6)
    subject = table.peer(5)
    refutation = table.notary(5).record(table.cores[5]._card, 1, 9)
    verdict = table.notary(2).accusation(subject, 1, Verdict.DEAD, Evidence.SILENT, table.peer(2))
    table.give(0, Received(table.peer(1), Gossip((refutation.wire,))))
    for _ in range(3 * LAN.least_told):
        table.give(0, Received(table.peer(2), Gossip((verdict.wire,))))
    (answer,) = table.give(0, Received(table.peer(3), Ping(1, 0)))
    assert isinstance(answer, Ack)
    assert refutation.wire in answer.updates


def test_what_everybody_tells_us_is_told_no_further() -> None:
    table = Table(6)
    record = table.notary(5).record(table.cores[5]._card, 1, 9)
    for _ in range(1 + LAN.least_told):
        table.give(0, Received(table.peer(1), Gossip((record.wire,))))
    (answer,) = table.give(0, Received(table.peer(3), Ping(1, 0)))
    assert isinstance(answer, Ack)
    assert record.wire not in answer.updates
