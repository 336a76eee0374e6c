"""From a failed probe to a verdict: who convicts, when, and what gives a suspect its time back.

`lan`: a probe has failed after 1 s; the time is 10.8 s without confirmation (3.6 * 3), 7.2 s with one
(3.6 * (3 - 2 * log 2 / log 4)), 5.094 s with two (3.6 * (3 - 2 * 0.792481)), 3.6 s with three; 1 s when all were
refused.
"""

from __future__ import annotations

import pytest

from actors.membership.events import Broken, Hint, Unreachable
from actors.membership.messages import Ack, Nack, Ping
from actors.membership.statements import Evidence
from tests.membership.helpers import LAN
from tests.membership.solo import Solo

SUBJECT = 4
BY = {0: 10.8, 1: 7.2, 2: 5.0941, 3: 3.6}


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


# --- when -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("confirmations", [0, 1, 2, 3])
def test_the_time_runs_from_the_first_accusation_and_shrinks_with_each_confirmation(confirmations: int) -> None:
    solo = suspecting()
    solo.run(1.0)
    for by in (1, 2, 3)[:confirmations]:
        solo.tell(solo.accusation(SUBJECT, by))
    solo.run(12)
    assert convicted(solo) == [pytest.approx(BY[confirmations], abs=1e-3)]


@pytest.mark.parametrize("by", [[1, 1, 1], [0, 1], [1, 1, 0, 0]], ids=str)
def test_the_same_accuser_counts_once_and_the_first_not_as_a_confirmation(by: list[int]) -> None:
    """Accusations of the member itself come back to it, and those of one other come again and again."""
    solo = suspecting()
    for one in by:
        solo.tell(solo.accusation(SUBJECT, one), by=2)
    solo.run(12)
    assert convicted(solo) == [pytest.approx(BY[1], abs=1e-3)]


def test_a_first_accuser_who_is_another_one_is_confirmed_by_our_own_probe() -> None:
    solo = Solo(6)
    solo.silent = {SUBJECT}
    for _ in range(3):
        solo.tell(solo.accusation(SUBJECT, 2))
    solo.run(12)
    assert convicted(solo) == [pytest.approx(BY[1], abs=1e-3)]


def test_a_hint_counts_as_one_confirmation() -> None:
    solo = Solo(6)
    solo.silent = {SUBJECT}
    solo.give(Broken(solo.peer(SUBJECT)))
    solo.run(12)
    assert convicted(solo) == [pytest.approx(BY[1], abs=1e-3)]


@pytest.mark.parametrize(("others", "seconds"), [(4, 10.8), (2, 10.8), (1, 3.6)])
def test_of_two_members_one_waits_the_shortest_time(others: int, seconds: float) -> None:
    solo = Solo(others)
    solo.silent = {others}
    solo.until(lambda: bool(solo.when("suspect", others)))
    solo.run(12)
    (dead,) = solo.when("dead", others)
    assert dead - solo.when("suspect", others)[0] == pytest.approx(seconds, abs=1e-3)


@pytest.mark.parametrize(("refused", "seconds"), [((1, 2, 3), 1.0), ((1, 2), 3.6)], ids=["all", "all but one"])
def test_when_all_were_refused_the_time_is_short(refused: tuple[int, ...], seconds: float) -> None:
    """The member's own dial was refused, and its helpers say so of theirs."""
    solo = Solo(6)
    solo.silent = {SUBJECT, 1, 2, 3, 5, 6}
    solo.give(Broken(solo.peer(SUBJECT)))
    solo.give(Unreachable(solo.peer(SUBJECT), refused=True))
    for helper in (1, 2, 3, 5, 6):
        solo.says(helper, Nack(1, refused=True))
    assert since(solo) == solo.now, "all helpers have said no, so there is nothing to wait for"
    for by in (1, 2, 3):
        evidence = Evidence.REFUSED if by in refused else Evidence.SILENT
        solo.tell(solo.accusation(SUBJECT, by, evidence=evidence))
    solo.run(3.7)
    assert convicted(solo) == [pytest.approx(seconds, abs=1e-3)]
    assert solo.core.gone[solo.peer(SUBJECT)].accusation is not None
    why = "its machine refuses connections (we judged, incarnation 1)"
    assert solo.notes("dead") == [f"n4 is dead: {why}"]


def test_whom_nobody_answers_takes_all_the_time_there_is() -> None:
    """Confirmations came, but nobody answered our own probes since: the broken link may be ours."""
    solo = suspecting()
    for by in (1, 2, 3):
        solo.tell(solo.accusation(SUBJECT, by))
    solo.silent = {1, 2, 3, 4, 5, 6}
    solo.lose_mail()
    solo.run(12)
    assert convicted(solo) == [pytest.approx(BY[0], abs=1e-3)]


# --- who ------------------------------------------------------------------------------------------------------------


def test_before_the_verdict_the_suspect_is_called_once_more() -> None:
    """Half a second before: the smaller of a timeout (0.5 s) and half the time after refusals (0.5 s)."""
    solo = suspecting()
    for by in (1, 2, 3):
        solo.tell(solo.accusation(SUBJECT, by))
    solo.run(5)
    calls = [(at - since(solo), ping) for at, _, ping in solo.sent(Ping, SUBJECT) if ping.seq == 0]
    assert [at for at, _ in calls] == [pytest.approx(3.6 - 0.5)]
    assert calls[0][1].updates, "it is told what to refute"


@pytest.mark.parametrize(
    ("timeout", "refused", "before"),
    [(0.5, 1.0, 0.5), (0.2, 1.0, 0.2), (0.5, 0.6, 0.3)],
    ids=["both alike", "the timeout is shorter", "half the time after refusals is shorter"],
)
def test_the_last_call_leaves_time_for_an_answer(timeout: float, refused: float, before: float) -> None:
    solo = Solo(6, interval_s=1000.0, timeout_s=timeout, refused_s=refused)
    solo.silent = {SUBJECT}
    solo.give(Hint(solo.peer(SUBJECT), "asked by the test"))
    solo.run(9.0)
    calls = [at - since(solo) for at, _, ping in solo.sent(Ping, SUBJECT) if ping.seq == 0]
    assert calls == [pytest.approx(7.2 - before)]


def test_each_of_several_suspects_is_called_at_its_own_time() -> None:
    """Suspected a second apart, and convicted a second apart; nobody confirms."""
    solo = Solo(6, interval_s=1000.0)
    solo.silent = {4}
    solo.give(Hint(solo.peer(4), "asked by the test"))
    solo.run(1.0)
    solo.silent = {4, 5}
    solo.give(Hint(solo.peer(5), "asked by the test"))
    solo.run(1.5)
    solo.give(Hint(solo.peer(1), "asked by the test"))  # which answers, so our own link is well
    solo.run(12.0)
    for subject, began in ((4, 101.0), (5, 102.0)):
        assert solo.when("suspect", subject) == [pytest.approx(began)]
        calls = [at - began for at, _, ping in solo.sent(Ping, subject) if ping.seq == 0]
        assert calls == [pytest.approx(7.2 - 0.5)], "a hint counts as one confirmation"
        assert solo.when("dead", subject) == [pytest.approx(began + 7.2)]


def test_who_answers_the_last_call_is_not_convicted() -> None:
    solo = suspecting()
    for by in (1, 2, 3):
        solo.tell(solo.accusation(SUBJECT, by))
    solo.run(3.3)
    solo.silent.clear()
    solo.says(SUBJECT, Ack(0, solo.core.view_hash))
    solo.run(60)
    assert convicted(solo) == [], "it answers all our probes, though its refutation never comes"
    assert solo.peer(SUBJECT) in solo.core.suspicions


def test_who_hears_accusations_of_others_convicts_only_after_an_own_failed_probe() -> None:
    solo = Solo(6)
    for by in (1, 2, 3, 5):
        solo.tell(solo.accusation(SUBJECT, by))
    solo.run(1.5)
    assert solo.peer(SUBJECT) in solo.core.suspicions
    solo.run(60)
    assert convicted(solo) == []
    solo.silent = {SUBJECT}
    gone_silent = solo.now
    solo.run(20)
    (dead,) = solo.when("dead", SUBJECT)
    failed = next(at for at, _, ping in solo.sent(Ping, SUBJECT, gone_silent) if ping.seq) + LAN.probe_s
    assert dead >= failed


def test_whose_time_was_over_is_convicted_as_soon_as_our_own_probe_has_failed() -> None:
    """Four others accuse; our first probe is answered after 1 ms, which gives 10.8 s; the next one, then, is not."""
    solo = Solo(6, interval_s=1000.0)
    for by in (1, 2, 3, 5):
        solo.tell(solo.accusation(SUBJECT, by))
    solo.run(3.0)
    solo.silent = {SUBJECT}
    solo.run(9)
    looked = [at - since(solo) for at, _, ping in solo.sent(Ping, SUBJECT) if ping.seq]
    assert looked == [0, pytest.approx(10.801), pytest.approx(11.301)], "the third is the second try of the second"
    assert convicted(solo) == [pytest.approx(10.801 + 1.0)]
