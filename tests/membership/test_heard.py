"""What gives a suspect its time back, and what ends a suspicion.

`lan`: the time is 10.8 s without confirmation and 3.6 s with three.
"""

from __future__ import annotations

import math

import pytest

from actors.membership.events import Hint, Tick
from actors.membership.messages import Ack, Gossip, Nack, Ping, PingRequest
from actors.membership.statements import Verdict
from tests.membership.helpers import LAN
from tests.membership.solo import Solo

SUBJECT = 4


def suspecting(others: int = 6, seed: int = 1) -> Solo:
    """A member whose own probe of a silent one has just failed, in its turn."""
    solo = Solo(others, seed=seed)
    solo.silent = {SUBJECT}
    solo.until(lambda: bool(solo.when("suspect", SUBJECT)))
    return solo


def since(solo: Solo) -> float:
    return solo.when("suspect", SUBJECT)[0]


def convicted(solo: Solo) -> list[float]:
    """Seconds from the suspicion to each verdict."""
    return [at - since(solo) for at in solo.when("dead", SUBJECT)]


@pytest.mark.parametrize("message", [Gossip(()), Nack(99, refused=False), Ping(5, 0), Ack(7, 0)], ids=str)
def test_any_message_of_a_suspect_takes_our_own_accusation_back(message: Gossip | Nack | Ping | Ack) -> None:
    solo = suspecting()
    for by in (1, 2, 3):
        solo.tell(solo.accusation(SUBJECT, by))
    solo.run(3.5)
    solo.says(SUBJECT, message)
    suspicion = solo.core.suspicions[solo.peer(SUBJECT)]
    assert not suspicion.mine
    assert suspicion.deadline == pytest.approx(solo.now + 10.8)
    heard = solo.now - since(solo)
    solo.run(20)
    (dead,) = convicted(solo)
    assert dead == pytest.approx(heard + 3.6), "the time ran from the message on"
    again = next(at for at, _, ping in solo.sent(Ping, SUBJECT, since(solo) + heard) if ping.seq) - since(solo)
    assert dead > again + LAN.probe_s, "and only our next failed probe made us a judge again"


def test_a_suspect_that_is_heard_is_told_what_to_refute_but_not_at_every_message() -> None:
    solo = suspecting()
    for _ in range(5):
        solo.says(SUBJECT, Gossip(()))
    told = solo.sent(Gossip, SUBJECT)
    assert [message.updates for _, _, message in told] == [(solo.accusation(SUBJECT, by=0),)]
    solo.run(0.51)
    solo.says(SUBJECT, Gossip(()))
    assert len(solo.sent(Gossip, SUBJECT)) == 2


def test_a_newer_record_ends_the_suspicion_and_one_that_is_not_newer_does_not() -> None:
    solo = suspecting()
    solo.tell(solo.record(SUBJECT, 1).wire)
    assert solo.peer(SUBJECT) in solo.core.suspicions
    solo.tell(solo.record(SUBJECT, 2).wire)
    assert solo.peer(SUBJECT) not in solo.core.suspicions
    assert len(solo.when("refuted", SUBJECT)) == 1
    assert solo.core.next_deadline() < math.inf


def test_a_record_that_is_the_accused_one_itself_ends_nothing() -> None:
    """The accusation came first: it is about the record of incarnation 2, which we did not know yet."""
    solo = suspecting()
    solo.tell(solo.accusation(SUBJECT, 2, incarnation=2))
    solo.tell(solo.record(SUBJECT, 2).wire)
    assert solo.core.records[solo.peer(SUBJECT)].incarnation == 2
    assert solo.peer(SUBJECT) in solo.core.suspicions
    solo.tell(solo.record(SUBJECT, 3).wire)
    assert solo.peer(SUBJECT) not in solo.core.suspicions


def test_an_answer_that_a_helper_passes_on_counts_as_one_of_the_suspect() -> None:
    solo = suspecting()
    solo.run(0.1)
    solo.give(Hint(solo.peer(SUBJECT), "asked by the test"))
    (*_, (_, _, ping)) = solo.sent(Ping, SUBJECT)
    solo.run(0.6)
    helper = solo.sent(PingRequest)[-1][1]
    assert solo.core.suspicions[solo.peer(SUBJECT)].mine
    solo.says(helper, Ack(ping.seq, solo.core.view_hash))
    assert not solo.core.suspicions[solo.peer(SUBJECT)].mine


def test_the_suspicion_of_a_newer_incarnation_begins_from_nothing() -> None:
    solo = suspecting()
    for by in (1, 2, 3):
        solo.tell(solo.accusation(SUBJECT, by))
    solo.tell(solo.accusation(SUBJECT, 5, incarnation=2))
    suspicion = solo.core.suspicions[solo.peer(SUBJECT)]
    assert (suspicion.incarnation, list(suspicion.accusers), suspicion.mine) == (2, [solo.peer(5)], False)


def test_who_did_not_run_gives_every_suspect_the_time_of_the_pause() -> None:
    solo = suspecting()
    before = solo.core.suspicions[solo.peer(SUBJECT)].deadline
    solo.now = solo.core.next_deadline() + 4.0
    solo.give(Tick())
    suspicion = solo.core.suspicions[solo.peer(SUBJECT)]
    assert suspicion.deadline == pytest.approx(before + 4.25), "4 s, and half a timeout for answers that wait unread"
    assert suspicion.since == pytest.approx(since(solo) + 4.25)


def test_a_verdict_of_another_is_taken_at_once() -> None:
    solo = suspecting()
    solo.tell(solo.dead(SUBJECT, by=2))
    assert convicted(solo) == [0.0]
    assert solo.peer(SUBJECT) not in solo.core.suspicions
    verdict = solo.core.gone[solo.peer(SUBJECT)].accusation
    assert verdict is not None
    assert (verdict.verdict, verdict.accuser) == (Verdict.DEAD, solo.peer(2))
    assert solo.notes("dead") == ["n4 is dead: it is silent (n2 judged, incarnation 1)"]
