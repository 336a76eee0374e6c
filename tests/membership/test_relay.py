"""Probing on behalf of others: a helper passes on the answer, or says in time that there was none.

`lan`: a helper waits for 0.8 * (1 - 0.5) = 0.4 s.
"""

from __future__ import annotations

import pytest

from actors.membership import probe
from actors.membership.events import Effect, Send, Tick, Unreachable
from actors.membership.messages import Ack, Message, Nack, Ping, PingRequest
from tests.membership.solo import Solo

ASKER, TARGET = 1, 2


def helper() -> Solo:
    """A member that begins no probe by itself, and whom nobody answers."""
    solo = Solo(4, interval_s=1000.0)
    solo.silent = {1, 2, 3, 4}
    return solo


def to(solo: Solo, number: int, effects: list[Effect]) -> list[Message]:
    """Pings and answers to one; what our own probes ask of it is left out."""
    sent = [one.message for one in effects if isinstance(one, Send) and solo.number(one.peer) == number]
    return [message for message in sent if not isinstance(message, PingRequest)]


def ask(solo: Solo, seq: int = 77, asker: int = ASKER) -> Ping:
    """Somebody asks; returns the ping that goes to the target."""
    effects = solo.says(asker, PingRequest(seq, solo.peer(TARGET)))
    assert to(solo, asker, effects) == []
    (ping,) = to(solo, TARGET, effects)
    assert isinstance(ping, Ping)
    assert ping.seq > 0, "it waits for the answer"
    return ping


def test_the_answer_is_passed_on_once_under_the_number_of_the_asker() -> None:
    solo = helper()
    ping = ask(solo)
    answer = Ack(ping.seq, 5)
    assert to(solo, ASKER, solo.says(TARGET, answer)) == [Ack(77, solo.core.view_hash)]
    assert to(solo, ASKER, solo.says(TARGET, answer)) == []
    solo.log.clear()
    solo.run(2.0)
    assert not solo.sent(Nack)


def test_only_the_target_can_answer() -> None:
    solo = helper()
    ping = ask(solo)
    assert to(solo, ASKER, solo.says(3, Ack(ping.seq, 5))) == []
    assert to(solo, ASKER, solo.says(TARGET, Ack(ping.seq + 1, 5))) == []
    assert to(solo, ASKER, solo.says(TARGET, Ack(ping.seq, 5))) == [Ack(77, solo.core.view_hash)]


def test_no_answer_is_said_in_time() -> None:
    solo = helper()
    began = solo.now
    ping = ask(solo)
    solo.run(0.1)
    ask(solo, seq=78, asker=3)
    solo.run(1.0)
    assert [(round(at - began, 6), number, nack) for at, number, nack in solo.sent(Nack)] == [
        (0.4, ASKER, Nack(77, refused=False)),
        (0.5, 3, Nack(78, refused=False)),
    ]
    assert to(solo, ASKER, solo.says(TARGET, Ack(ping.seq, 5))) == [], "it is too late to take it back"


def test_a_failed_dial_is_told_at_once_with_what_the_machine_said() -> None:
    for refused in (False, True):
        solo = helper()
        ask(solo)
        ask(solo, seq=78, asker=3)
        effects = solo.give(Unreachable(solo.peer(TARGET), refused=refused))
        assert to(solo, ASKER, effects) == [Nack(77, refused)]
        assert to(solo, 3, effects) == [Nack(78, refused)]
        assert to(solo, ASKER, solo.give(Unreachable(solo.peer(TARGET), refused=refused))) == []


def test_a_failed_dial_to_another_says_nothing_about_the_target() -> None:
    solo = helper()
    ask(solo)
    assert to(solo, ASKER, solo.give(Unreachable(solo.peer(4), refused=True))) == []


def test_a_pause_of_our_own_moves_the_time_for_saying_no() -> None:
    solo = helper()
    ask(solo)
    solo.now += 0.4 + 2.0
    solo.give(Tick())
    assert not solo.sent(Nack)
    solo.run(0.26)  # half a timeout more, for an answer that waits unread
    assert [nack for _, _, nack in solo.sent(Nack)] == [Nack(77, refused=False)]


def test_who_is_asked_about_itself_answers_and_about_an_unknown_one_says_no() -> None:
    solo = helper()
    effects = solo.says(ASKER, PingRequest(5, solo.core.record.peer_id))
    assert to(solo, ASKER, effects) == [Ack(5, solo.core.view_hash)]
    assert to(solo, ASKER, solo.says(ASKER, PingRequest(6, "5a" * 32))) == [Nack(6, refused=False)]
    assert not solo.sent(Ping)


def test_it_also_looks_for_one_whom_it_holds_dead() -> None:
    """The asker may know better."""
    solo = helper()
    solo.tell(solo.dead(TARGET, by=3))
    ping = ask(solo)
    assert ping.updates == (solo.dead(TARGET, by=3),), "which is told what to refute"


def test_probes_under_way_for_others_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "MOST_RELAYS", 3)
    solo = helper()
    for seq in range(3):
        ask(solo, seq)
    assert to(solo, TARGET, solo.says(ASKER, PingRequest(3, solo.peer(TARGET)))) == []
    solo.run(0.5)
    assert [nack.seq for _, _, nack in solo.sent(Nack)] == [0, 1, 2]
    ask(solo, 4)


def test_an_answer_for_another_says_nothing_about_our_own_probes() -> None:
    solo = helper()
    ping = ask(solo)
    solo.says(TARGET, Ack(ping.seq, solo.core.view_hash))
    assert solo.core.round_trips == {}
    assert solo.core.health == 0
