"""Whose turn it is to be probed, and when. `lan`: a probe every 0.5 s."""

from __future__ import annotations

from actors.membership.messages import Ping
from tests.membership.solo import Solo, pauses


def test_each_round_every_member_is_probed_once_in_a_new_random_order() -> None:
    solo = Solo(8)
    solo.run(40.0)
    order = [number for _, number, ping in solo.sent(Ping) if ping.seq]
    rounds = [order[at : at + 8] for at in range(0, 64, 8)]
    assert len(rounds[-1]) == 8
    assert all(sorted(one) == list(range(1, 9)) for one in rounds)
    assert len({tuple(one) for one in rounds}) >= 7


def test_probes_come_every_interval_a_tenth_earlier_or_later() -> None:
    solo = Solo(8)
    solo.run(100.0)
    times = [at for at, _, ping in solo.sent(Ping) if ping.seq]
    assert times[0] <= 100.5, "the first within the first interval"
    waits = pauses(times)
    assert 0.45 <= min(waits) < 0.47
    assert 0.53 < max(waits) <= 0.55
    assert 190 <= len(times) <= 210


def test_the_gone_are_passed_over_and_the_new_get_a_place_in_the_same_round() -> None:
    solo = Solo(8)
    solo.tell(solo.dead(8, by=1), solo.dead(7, by=1))
    solo.run(0.6)
    began = [number for _, number, ping in solo.sent(Ping) if ping.seq]
    solo.tell(solo.record(7, 2).wire, solo.dead(6, by=1))
    solo.run(3.0)
    order = [number for _, number, ping in solo.sent(Ping) if ping.seq]
    assert 8 not in order
    assert 6 not in order[len(began) :]
    rest = {1, 2, 3, 4, 5, 7} - set(began)
    assert rest <= set(order[: 6 + len(set(began) & {6})]), "the one who is back is probed in the round that runs"


def test_a_newcomer_is_mostly_probed_in_the_round_that_runs() -> None:
    """Seven others are in the round when it comes, after the first probe; its place among them is drawn."""
    at_once = 0
    for seed in range(30):
        solo = Solo(8, seed=seed)
        solo.tell(solo.dead(7, by=1))
        solo.until(lambda solo=solo: bool(solo.sent(Ping)))
        solo.tell(solo.record(7, 2).wire)
        solo.run(6.0)
        order = [number for _, number, ping in solo.sent(Ping) if ping.seq]
        at_once += 7 in order[:7]
    assert 15 <= at_once < 30


def test_with_nobody_in_the_view_nobody_is_probed() -> None:
    solo = Solo(1)
    solo.tell(solo.dead(1, by=1))
    solo.log.clear()
    solo.run(2.0)
    assert not solo.sent(Ping)
