"""When a member wants to be called, and what it does when the call comes late."""

from __future__ import annotations

import pytest

from actors.membership.events import Changed, Hint, Received, Send, Tick, Unreachable, Update
from actors.membership.messages import Ack, Gossip, Ping, PingRequest
from tests.membership.helpers import LAN
from tests.membership.solo import Solo, messages


def quiet(others: int = 4) -> Solo:
    return Solo(others, interval_s=1e6, sync_s=1e6)


def test_nothing_is_due_before_the_deadline_and_something_is_at_it() -> None:
    solo = Solo(4)
    for _ in range(50):
        due = solo.core.next_deadline()
        solo.now = (solo.now + due) / 2
        assert solo.give(Tick()) == []
        assert solo.core.next_deadline() == due
        solo.run(due - solo.now)


def test_there_is_always_a_next_deadline_until_the_end() -> None:
    solo = Solo(4)
    for _ in range(200):
        assert solo.now <= solo.core.next_deadline() <= solo.now + 60.0
        solo.run(solo.core.next_deadline() - solo.now + 1e-9)


def test_a_message_that_comes_when_a_timer_is_due_rings_the_timer_too() -> None:
    solo = quiet()
    solo.silent = {1, 2, 3, 4}
    solo.give(Hint(solo.peer(4), "asked by the test"))
    solo.now += 0.5
    effects = solo.says(1, Gossip(()))
    assert [one for one in messages(effects) if isinstance(one, PingRequest)]


def test_a_message_before_a_timer_is_due_leaves_the_timer_alone() -> None:
    solo = quiet()
    solo.silent = {1, 2, 3, 4}
    solo.give(Hint(solo.peer(4), "asked by the test"))
    solo.now += 0.4
    assert not [one for one in messages(solo.says(1, Gossip(()))) if isinstance(one, PingRequest)]


def test_our_own_messages_come_back_in_vain() -> None:
    solo = quiet()
    assert solo.give(Received(solo.core.record.peer_id, Ping(1, 2))) == []


def test_an_answer_has_the_number_of_its_question_and_our_hash() -> None:
    solo = quiet()
    (answer,) = messages(solo.says(2, Ping(41, solo.core.view_hash)))
    assert answer == Ack(41, solo.core.view_hash)


def test_news_on_a_ping_an_answer_and_a_request_are_all_taken() -> None:
    solo = quiet()
    wires = [solo.record(number, 2).wire for number in (1, 2, 3)]
    solo.says(4, Ping(1, 0, (wires[0],)))
    solo.says(4, Ack(1, 0, (wires[1],)))
    solo.says(4, PingRequest(1, solo.core.record.peer_id, (wires[2],)))
    assert [solo.core.records[solo.peer(number)].incarnation for number in (1, 2, 3)] == [2, 2, 2]


def test_one_bad_statement_does_not_keep_the_next_from_being_read() -> None:
    solo = quiet()
    solo.tell(b"nonsense", solo.record(1, 2).wire)
    assert solo.core.records[solo.peer(1)].incarnation == 2
    assert solo.core.refused == {"malformed": 1}


def test_a_message_goes_to_all_known_addresses_of_its_peer() -> None:
    solo = quiet()
    solo.tell(solo.record(2, 2, addresses=("tcp:a:1", "tcp:b:2")).wire)
    (effect,) = [one for one in solo.says(2, Ping(1, solo.core.view_hash)) if isinstance(one, Send)]
    assert (effect.peer, effect.addresses) == (solo.peer(2), ("tcp:a:1", "tcp:b:2"))


@pytest.mark.parametrize(
    ("late", "moved"),
    [(0.12, 0.0), (0.13, 0.13 + 0.25), (3.0, 3.25)],
    ids=["a busy moment", "more than a quarter of a timeout", "a pause"],
)
def test_a_late_timer_moves_what_is_awaited_by_the_delay_and_half_a_timeout(late: float, moved: float) -> None:
    """A probe under way would ask others at 0.5 s; the timer comes at 0.5 s and so much."""
    solo = quiet()
    solo.silent = {1, 2, 3, 4}
    began = solo.now
    solo.give(Hint(solo.peer(4), "asked by the test"))
    solo.now = began + 0.5 + late
    solo.give(Tick())
    solo.run(4.0)
    asked = solo.sent(PingRequest)[0][0] - began
    assert asked == pytest.approx(0.5 + (moved or late))


def test_a_change_of_our_own_is_told_at_once_and_needs_no_effect_of_the_view() -> None:
    solo = quiet()
    effects = solo.give(Update({"stage": 7}))
    told = [one.message for one in effects if isinstance(one, Send)]
    assert len(told) == LAN.fanout
    assert all(one == Gossip((solo.core.record.wire,)) for one in told)
    assert not [one for one in effects if isinstance(one, Changed)]


def test_a_failed_dial_to_an_address_alone_concerns_nobody() -> None:
    solo = quiet()
    assert solo.give(Unreachable("", refused=True)) == []


def test_messages_to_and_from_strangers_do_no_harm() -> None:
    solo = quiet()
    stranger = "5a" * 32
    effects = solo.core.handle(solo.now, Received(stranger, Ping(3, 9)))
    (answer,) = [one for one in effects if isinstance(one, Send)]
    assert (answer.peer, answer.addresses, answer.message) == (stranger, (), Ack(3, solo.core.view_hash))
    assert solo.core.views == {}
