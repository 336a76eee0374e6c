"""One probe: whom it asks, what counts as an answer, and when it has failed.

`lan`: others are asked after 0.5 s, and it has failed after 1 s.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from actors.membership.events import Broken, Event, Hint, Tick, Unreachable, Update
from actors.membership.messages import Ack, Nack, Ping, PingRequest
from actors.membership.statements import Evidence
from tests.membership.helpers import LAN
from tests.membership.solo import Solo, messages

SUBJECT = 4


def alone(others: int = 6, seed: int = 1) -> Solo:
    """A member that begins no probe by itself, and whom nobody answers unless the test says so."""
    solo = Solo(others, seed=seed, interval_s=1000.0)
    solo.silent = set(range(1, others + 1))
    return solo


def probing(others: int = 6) -> Solo:
    """A probe of the subject is under way, with number 1."""
    solo = alone(others)
    solo.give(Hint(solo.peer(SUBJECT), "asked by the test"))
    assert [(number, ping.seq) for _, number, ping in solo.sent(Ping)] == [(SUBJECT, 1)]
    return solo


def asked(solo: Solo) -> list[int]:
    return [number for _, number, _ in solo.sent(PingRequest)]


def test_a_probe_goes_direct_then_through_three_others_and_once_more_direct() -> None:
    solo = probing()
    began = solo.now
    solo.run(0.49)
    assert asked(solo) == []
    solo.run(0.02)
    (first, *_), helpers = solo.sent(PingRequest), asked(solo)
    assert first[0] == pytest.approx(began + 0.5)
    assert len(set(helpers)) == 3
    assert SUBJECT not in helpers
    assert all((one.seq, one.target) == (1, solo.peer(SUBJECT)) for _, _, one in solo.sent(PingRequest))
    assert [round(at - began, 3) for at, _, ping in solo.sent(Ping, SUBJECT) if ping.seq == 1] == [0.0, 0.5]
    solo.run(0.48)
    assert not solo.when("suspect", SUBJECT)
    solo.run(0.02)
    assert solo.when("suspect", SUBJECT) == [pytest.approx(began + 1.0)]


def test_helpers_in_a_large_mesh_are_three_others_each_time() -> None:
    solo = alone(others=40)
    for subject in [*range(1, 41)] * 4:
        solo.log.clear()
        solo.give(Hint(solo.peer(subject), "asked by the test"))
        ((_, _, ping),) = solo.sent(Ping)
        solo.give(Unreachable(solo.peer(subject), refused=False))
        assert len(set(asked(solo))) == 3
        assert subject not in asked(solo)
        solo.says(subject, Ack(ping.seq, solo.core.view_hash))


def test_every_ping_shows_the_hash_of_the_view() -> None:
    solo = probing()
    assert [ping.view for _, _, ping in solo.sent(Ping)] == [solo.core.view_hash]


@pytest.mark.parametrize("who", ["subject", "helper", "helper that was not asked", "subject, another number"])
def test_an_answer_comes_from_the_subject_or_from_one_who_was_asked(who: str) -> None:
    solo = probing()
    solo.run(0.6)
    other = next(number for number in range(1, 7) if number not in (*asked(solo), SUBJECT))
    sender = {"subject": SUBJECT, "helper": asked(solo)[1], "helper that was not asked": other}.get(who, SUBJECT)
    seq = 2 if "number" in who else 1
    solo.says(sender, Ack(seq, solo.core.view_hash))
    solo.run(10.0)
    answered = who in ("subject", "helper")
    assert bool(solo.when("suspect", SUBJECT)) is not answered


def test_the_subject_that_answers_late_is_still_heard_by_the_same_probe() -> None:
    """Its answer to the first ping may come after others were asked."""
    solo = probing()
    solo.run(0.99)
    solo.says(SUBJECT, Ack(1, solo.core.view_hash))
    solo.run(5.0)
    assert not solo.when("suspect", SUBJECT)


def test_a_second_reason_to_look_begins_no_second_probe_but_counts_as_a_hint() -> None:
    solo = Solo(6)
    solo.silent = {SUBJECT}
    solo.until(lambda: bool(solo.sent(Ping, SUBJECT)))
    assert not solo.notes("hint")
    solo.give(Hint(solo.peer(SUBJECT), "step 7 waited 9 s for it"))
    assert len(solo.sent(Ping, SUBJECT)) == 1
    assert not solo.notes("hint"), "only one that begins a probe is worth a line"
    solo.run(1.0)
    assert solo.core.suspicions[solo.peer(SUBJECT)].hinted


@pytest.mark.parametrize(
    "event",
    [Broken, lambda peer: Unreachable(peer, True), lambda peer: Hint(peer, "why")],
    ids=["a link broke", "a dial was refused", "a hint"],
)
def test_what_breaks_is_looked_into_at_once_and_as_a_hint(event: Callable[[str], Event]) -> None:
    solo = alone()
    solo.give(event(solo.peer(SUBJECT)))
    assert [number for _, number, ping in solo.sent(Ping) if ping.seq] == [SUBJECT]
    solo.run(1.0)
    assert solo.core.suspicions[solo.peer(SUBJECT)].hinted


def test_a_dial_that_failed_without_a_refusal_begins_no_probe() -> None:
    solo = alone()
    assert messages(solo.give(Unreachable(solo.peer(SUBJECT), refused=False))) == []
    gone = solo.peer(3)
    solo.tell(solo.dead(3, by=1))
    for event in (Broken(gone), Unreachable(gone, refused=True), Hint(gone, "why")):
        assert messages(solo.give(event)) == []


def test_a_refused_dial_to_one_that_we_accuse_already_begins_no_probe() -> None:
    """It is dialled for the last call, for gossip and for push-pull, too; each refusal would begin another probe."""
    solo = probing()
    solo.run(1.0)
    assert solo.core.suspicions[solo.peer(SUBJECT)].mine
    solo.log.clear()
    solo.give(Unreachable(solo.peer(SUBJECT), refused=True))
    assert not [ping for _, _, ping in solo.sent(Ping) if ping.seq]


def test_a_failed_dial_asks_others_at_once_and_a_refused_one_dials_no_more() -> None:
    for refused in (False, True):
        solo = probing()
        solo.give(Unreachable(solo.peer(SUBJECT), refused=refused))
        solo.give(Unreachable(solo.peer(SUBJECT), refused=refused))
        assert len(asked(solo)) == 3
        assert len(solo.sent(Ping, SUBJECT)) == (1 if refused else 2)
        solo.run(0.6)
        assert len(asked(solo)) == 3, "they are asked once"


@pytest.mark.parametrize(
    ("refused", "nacks", "failed_after"),
    [(True, 3, 0.0), (True, 2, 1.0), (False, 3, 1.0)],
    ids=["refused, all say no", "refused, one says nothing", "not refused"],
)
def test_a_refused_probe_has_failed_as_soon_as_all_helpers_have_said_no(
    refused: bool, nacks: int, failed_after: float
) -> None:
    solo = probing()
    began = solo.now
    solo.give(Unreachable(solo.peer(SUBJECT), refused=refused))
    for helper in asked(solo)[:nacks]:
        solo.says(helper, Nack(1, refused=False))
        solo.says(helper, Nack(1, refused=False))
    other = next(number for number in range(1, 7) if number not in (*asked(solo), SUBJECT))
    solo.says(other, Nack(1, refused=False))  # who was not asked
    solo.run(1.0)
    assert solo.when("suspect", SUBJECT) == [pytest.approx(began + failed_after)]
    evidence = solo.core.suspicions[solo.peer(SUBJECT)].accusation.evidence
    assert evidence is (Evidence.REFUSED if refused else Evidence.SILENT)


def test_a_refused_probe_without_any_helper_has_failed_at_once() -> None:
    solo = Solo(1, interval_s=1000.0)
    solo.silent = {1}
    solo.give(Unreachable(solo.peer(1), refused=True))
    assert solo.when("suspect", 1) == [solo.now]


def test_a_probe_without_any_helper_has_failed_after_its_time() -> None:
    solo = Solo(1, interval_s=1000.0)
    solo.silent = {1}
    began = solo.now
    solo.give(Hint(solo.peer(1), "asked by the test"))
    solo.run(5.0)
    assert solo.when("suspect", 1) == [pytest.approx(began + 1.0)]


def test_silent_helpers_of_a_refused_probe_say_nothing_about_our_own_links() -> None:
    solo = probing()
    solo.give(Unreachable(solo.peer(SUBJECT), refused=True))
    solo.run(1.0)
    assert solo.core.health == 0


def test_probes_of_one_who_is_gone_end() -> None:
    solo = probing()
    solo.give(Hint(solo.peer(3), "asked by the test"))
    solo.tell(solo.dead(SUBJECT, by=1))
    solo.run(0.4)
    assert not asked(solo)
    solo.says(3, Ack(2, solo.core.view_hash))
    solo.run(2.0)
    assert list(solo.core.round_trips) == [solo.peer(3)], "the other probe goes on"
    assert not solo.when("suspect", SUBJECT)
    assert solo.core.health == 0
    assert not asked(solo)


def test_a_pause_of_our_own_moves_the_end_of_a_probe() -> None:
    """A timer that comes 3 s late: answers may wait unread, so the probe gets 3 s and half a timeout more."""
    solo = probing()
    began = solo.now
    solo.now = began + 0.5 + 3.0
    solo.give(Tick())
    assert asked(solo) == []
    solo.run(0.24)
    assert asked(solo) == []
    solo.run(0.02)
    assert len(asked(solo)) == 3
    solo.run(1.0)
    assert solo.when("suspect", SUBJECT) == [pytest.approx(began + 1.0 + 3.25)]


def test_round_trips_are_smoothed_by_an_eighth_and_measured_by_direct_answers_only() -> None:
    solo = alone()
    for number, seconds in enumerate((0.1, 0.3), start=1):
        solo.give(Hint(solo.peer(SUBJECT), "asked by the test"))
        solo.run(seconds)
        solo.says(SUBJECT, Ack(number, solo.core.view_hash))
    # 0.1, and an eighth of the way from there to 0.3
    assert solo.core.round_trips == {solo.peer(SUBJECT): pytest.approx(0.1 + 0.2 / 8)}
    solo.give(Hint(solo.peer(SUBJECT), "asked by the test"))
    solo.run(0.6)
    solo.says(asked(solo)[0], Ack(3, solo.core.view_hash))
    assert list(solo.core.round_trips) == [solo.peer(SUBJECT)]
    assert solo.core.round_trips[solo.peer(SUBJECT)] == pytest.approx(0.125)
    solo.tell(solo.dead(SUBJECT, by=1))
    assert solo.core.round_trips == {}


def test_a_change_of_its_own_is_no_reason_to_probe() -> None:
    solo = alone()
    assert not [one for one in messages(solo.give(Update({"stage": 2}))) if isinstance(one, Ping)]
    assert LAN.relays == 3
