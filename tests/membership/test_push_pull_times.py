"""When a push-pull begins, and with what. `lan`: every 30 s up to 32 members."""

from __future__ import annotations

import pytest

from actors.membership.events import Update
from actors.membership.messages import Ping, Sync
from tests.membership.helpers import LAN
from tests.membership.solo import Solo, pauses

OTHER = 1


def test_one_begins_with_the_own_record() -> None:
    solo = Solo(1, interval_s=1e6)
    solo.run(30.0)
    ((_, number, sync),) = solo.sent(Sync)
    assert (number, sync) == (1, Sync(solo.core.view_hash, False, (solo.core.record.wire,)))


def test_with_a_suspect_it_begins_with_what_the_suspect_has_to_refute() -> None:
    solo = Solo(5, interval_s=1e6, sync_s=1e6)
    solo.silent = {1, 2, 3, 4, 5}
    accusation = solo.accusation(OTHER, by=2)
    solo.tell(accusation, by=2)
    solo.run(2.1)
    solo.says(OTHER, Ping(9, 0))
    ((_, _, sync),) = solo.sent(Sync)
    assert sync.updates == (solo.core.record.wire, accusation)


def test_the_first_comes_after_a_fifth_of_the_time_at_the_earliest_and_all_of_it_at_the_latest() -> None:
    """So that members that began together do not go on together: 6 to 30 s, at random."""
    firsts = []
    for seed in range(100):
        solo = Solo(2, seed=seed, interval_s=1e6)
        solo.run(31.0)
        firsts.append(solo.sent(Sync)[0][0] - 100.0)
    assert 6.0 <= min(firsts) < 8.0
    assert 28.0 < max(firsts) <= 30.0


@pytest.mark.parametrize(("others", "most", "least"), [(31, 36.0, 24.0), (63, 72.0, 48.0)])
def test_they_come_every_half_minute_and_in_twice_as_large_a_mesh_half_as_often(
    others: int, most: float, least: float
) -> None:
    """30 s up to 32 members, 60 s for 64, a fifth earlier or later; the first after 6 to 30 s."""
    solo = Solo(others, interval_s=1e6)
    solo.run(1500.0)
    times = [at for at, _, _ in solo.sent(Sync)]
    assert 6.0 <= times[0] - 100.0 <= 30.0
    waits = pauses(times)
    assert least <= min(waits) < least * 1.15
    assert most * 0.9 < max(waits) <= most
    assert len({number for _, number, _ in solo.sent(Sync)}) > 10, "with a random member each time"


@pytest.mark.parametrize("whose", ["another's", "our own"])
def test_a_hash_that_stays_different_begins_one_once_news_had_time_to_spread(whose: str) -> None:
    """Ten rounds of gossip (2 s) after the last change, and at most one in each interval (0.5 s)."""
    solo = Solo(5, sync_s=1e6)
    solo.run(5.0)
    if whose == "our own":
        solo.give(Update({"stage": 3}))
    else:
        solo.tell(solo.record(2, 7).wire, by=3)
    other = solo.core.view_hash ^ 1
    solo.run(1.95)
    solo.says(OTHER, Ping(9, other))
    assert not solo.sent(Sync)
    solo.run(0.1)
    for _ in range(3):
        solo.says(OTHER, Ping(9, other))
    assert [number for _, number, _ in solo.sent(Sync)] == [OTHER]
    solo.run(LAN.interval_s)
    solo.says(OTHER, Ping(9, other))
    assert len(solo.sent(Sync)) == 2
    solo.run(LAN.interval_s)
    solo.says(OTHER, Ping(9, solo.core.view_hash))
    assert len(solo.sent(Sync)) == 2
