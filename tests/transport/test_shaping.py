"""The arithmetic of emulated home connections, on a clock that tests turn."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.transport.schema import Lane
from actors.transport.shaping import (
    CREDIT_S,
    MAX_CHUNK,
    OVERHEAD,
    Bucket,
    Departure,
    DownlinkMeter,
    Shape,
    UplinkSchedule,
)


@dataclass(eq=False)
class Pile:
    """A connection with so many bytes to send."""

    shaped_lane: Lane
    left: int
    blocked: bool = False
    sent: list[tuple[float, int]] = field(default_factory=list)

    def next_piece(self, limit: int) -> memoryview | None:
        count = min(limit, self.left)
        self.left -= count
        return memoryview(bytes(count)) if count else None


def run(schedule: UplinkSchedule[Pile], until: float, now: float = 0.0, lateness: float = 0.0) -> list[Departure[Pile]]:
    """Call `grant` whenever it is due (or so much later), as the shaper's timer would."""
    departures: list[Departure[Pile]] = []
    while now < until:
        granted = schedule.grant(now)
        departures += granted
        for departure in granted:
            departure.source.sent.append((departure.at, len(departure.piece)))
        due = schedule.due_at
        if due is None:
            break
        now = max(now + 1e-5, due + lateness)
    return departures


def last_arrival(pile: Pile) -> float:
    return pile.sent[-1][0]


@pytest.mark.parametrize("mbps", [1.0, 8.0, 80.0])
@pytest.mark.parametrize("lateness", [0.0, 0.004])
def test_uplink_takes_as_long_as_its_rate_says(mbps: float, lateness: float) -> None:
    size = int(mbps * 1e6 / 8 * 2)
    pile, schedule = Pile(Lane.BULK, size), UplinkSchedule[Pile](Shape(up_mbps=mbps, delay_ms=30))
    schedule.offer(pile)
    run(schedule, 100.0, lateness=lateness)
    assert sum(count for _, count in pile.sent) == size
    assert last_arrival(pile) == pytest.approx(2 * OVERHEAD + 0.030, rel=0.01)


def test_a_link_that_was_idle_has_saved_nothing() -> None:
    schedule = UplinkSchedule[Pile](Shape(up_mbps=8))
    for start in (0.0, 10.0, 20.0):
        pile = Pile(Lane.BULK, 1_000_000)
        schedule.offer(pile)
        run(schedule, start + 100, now=start)
        assert last_arrival(pile) - start == pytest.approx(1.0 * OVERHEAD, rel=0.01)


def test_connections_of_a_lane_share_evenly() -> None:
    schedule = UplinkSchedule[Pile](Shape(up_mbps=80))
    piles = [Pile(Lane.BULK, 10_000_000) for _ in range(3)]
    for pile in piles:
        schedule.offer(pile)
    run(schedule, 1.0)
    amounts = [sum(count for _, count in pile.sent) for pile in piles]
    assert max(amounts) - min(amounts) <= MAX_CHUNK
    assert sum(amounts) == pytest.approx(1e7 / OVERHEAD, rel=0.02)


def test_one_that_is_ready_twice_has_one_share() -> None:
    schedule = UplinkSchedule[Pile](Shape(up_mbps=80))
    piles = [Pile(Lane.BULK, 10_000_000) for _ in range(2)]
    for pile in (piles[0], piles[1], piles[0], piles[0]):
        schedule.offer(pile)
    run(schedule, 1.0)
    amounts = [sum(count for _, count in pile.sent) for pile in piles]
    assert max(amounts) - min(amounts) <= MAX_CHUNK


def test_an_unlimited_uplink_lets_others_have_a_turn_after_64_pieces() -> None:
    schedule = UplinkSchedule[Pile](Shape(delay_ms=5))
    schedule.offer(Pile(Lane.BULK, 100 * MAX_CHUNK))
    assert [len(schedule.grant(now)) for now in (0.0, 0.001, 0.002)] == [64, 36, 0]
    assert schedule.due_at is None


@pytest.mark.parametrize(
    ("shape", "changes"),
    [
        (Shape(), False),
        (Shape(seed=7), False),
        (Shape(up_mbps=1), True),
        (Shape(down_mbps=1), True),
        (Shape(delay_ms=1), True),
        (Shape(jitter_ms=1), True),
    ],
)
def test_a_shape_without_rates_and_delays_changes_nothing(shape: Shape, changes: bool) -> None:
    assert shape.changes_anything is changes


def test_control_goes_first() -> None:
    schedule = UplinkSchedule[Pile](Shape(up_mbps=8, delay_ms=20))
    bulk, control = Pile(Lane.BULK, 10_000_000), Pile(Lane.CONTROL, 500)
    schedule.offer(bulk)
    run(schedule, 1.0)
    schedule.offer(control)
    run(schedule, 1.1, now=1.0)
    assert last_arrival(control) - 1.0 < 0.020 + 0.006


def test_a_blocked_socket_stops_only_its_own_connection() -> None:
    schedule = UplinkSchedule[Pile](Shape(up_mbps=8))
    stuck, free = Pile(Lane.BULK, 1000, blocked=True), Pile(Lane.BULK, 100_000)
    schedule.offer(stuck)
    schedule.offer(free)
    run(schedule, 10.0)
    assert stuck.sent == []
    assert free.left == 0
    assert schedule.due_at is None
    stuck.blocked = False
    schedule.offer(stuck)
    run(schedule, 20.0, now=10.0)
    assert stuck.left == 0


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.floats(0, 100))
def test_jitter_keeps_order_and_is_a_function_of_the_seed(seed: int, jitter: float) -> None:
    arrivals = []
    for _ in range(2):
        pile = Pile(Lane.BULK, 300_000)
        schedule = UplinkSchedule[Pile](Shape(up_mbps=80, delay_ms=10, jitter_ms=jitter, seed=seed))
        schedule.offer(pile)
        run(schedule, 10.0)
        arrivals.append([at for at, _ in pile.sent])
    assert arrivals[0] == arrivals[1] == sorted(arrivals[0])
    assert all(0.010 <= at <= 0.010 + jitter / 1e3 + 0.031 + 0.002 for at in arrivals[0])


def test_delay_without_a_rate() -> None:
    pile, schedule = Pile(Lane.BULK, 1_000_000), UplinkSchedule[Pile](Shape(delay_ms=25))
    schedule.offer(pile)
    run(schedule, 1.0)
    assert pile.left == 0
    assert last_arrival(pile) == pytest.approx(0.025, abs=0.001)


@pytest.mark.parametrize(
    ("now", "free_at", "busy", "expected"),
    [
        (10.0, 0.0, False, 11.0),
        (10.0, 10.5, False, 11.5),
        (10.0, 9.99, True, 10.99),
        (10.0, 5.0, True, 11.0 - CREDIT_S),
        (10.0, 9.99, False, 11.0),
    ],
)
def test_bucket(now: float, free_at: float, busy: bool, expected: float) -> None:
    bucket = Bucket(8 * OVERHEAD)
    bucket.free_at = free_at
    assert bucket.charge(now, 1_000_000, busy=busy) == pytest.approx(expected)


@pytest.mark.parametrize(("mbps", "chunk"), [(0, MAX_CHUNK), (1, 1400), (8, 1923), (1000, MAX_CHUNK)])
def test_chunk_is_two_milliseconds_within_limits(mbps: float, chunk: int) -> None:
    assert Bucket(mbps).chunk == chunk


def test_downlink_paces_bulk_by_all_and_control_by_itself() -> None:
    meter = DownlinkMeter(8 * OVERHEAD)
    assert meter.read(0.0, 500_000, Lane.BULK, busy=False) == pytest.approx(0.5)
    assert meter.read(0.1, 1000, Lane.CONTROL, busy=False) == pytest.approx(0.101)
    assert meter.bulk_free_at == pytest.approx(0.501)
    assert math.isclose(meter.read(0.6, 100_000, Lane.BULK, busy=False), 0.7)
    assert not DownlinkMeter(0).limited
