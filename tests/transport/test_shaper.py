"""An emulated home connection on the loop's clock, in virtual time: what leaves and is read when.

8 Mbit/s on the wire carry a megabyte of ours in 1.04 s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from actors.transport.deadline import Deadline
from actors.transport.schema import Lane
from actors.transport.shaper import Shaper
from actors.transport.shaping import Shape
from tests.transport.virtual import now, passes, virtually


class Wire:
    """A connection with so many bytes to send."""

    def __init__(self, shaper: Shaper, lane: Lane = Lane.BULK, left: int = 0) -> None:
        self.shaper, self.shaped_lane, self.left = shaper, lane, left
        self.blocked = self.paused = False
        self.sent: list[tuple[float, int]] = []
        self.paced: list[tuple[float, bool]] = []

    def next_piece(self, limit: int) -> memoryview | None:
        count = min(limit, self.left)
        self.left -= count
        return memoryview(bytes(count)) if count else None

    def deliver(self, piece: memoryview) -> None:
        self.sent.append((now(), len(piece)))

    def pace(self, paused: bool) -> None:
        self.paused = paused
        self.paced.append((now(), paused))

    async def reads(self, nbytes: int, chunk: int) -> float:
        """Read so much, pausing when it is told to; returns when the last was read."""
        while nbytes > 0:
            while self.paused:
                await passes(0.0005)
            self.shaper.received(self, min(chunk, nbytes))
            nbytes -= chunk
        while self.paused:
            await passes(0.0005)
        return now()


def scene(play: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Run a coroutine test in virtual time."""

    def run() -> None:
        virtually(play)

    run.__name__, run.__doc__ = play.__name__, play.__doc__
    return run


async def sends(shaper: Shaper, *wires: Wire) -> float:
    """Offer all, and wait until nothing is left; returns when the last byte arrived."""
    for wire in wires:
        shaper.ready(wire)
    while any(wire.left for wire in wires):
        await passes(0.01)
    await shaper.drained(Deadline.never())
    return max(wire.sent[-1][0] for wire in wires)


# --- sending --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "seconds"),
    [
        (Shape(up_mbps=8), 0.104),
        (Shape(up_mbps=8, delay_ms=30), 0.134),
        (Shape(up_mbps=80, delay_ms=30), 0.0404),
        (Shape(delay_ms=30), 0.030),
        (Shape(up_mbps=8, down_mbps=1, delay_ms=30), 0.134),  # the downlink is for what comes
    ],
    ids=str,
)
def test_a_hundred_kilobytes_take_their_rate_and_the_delay(shape: Shape, seconds: float) -> None:
    async def run() -> None:
        shaper = Shaper(shape)
        wire, began = Wire(shaper, left=100_000), now()
        took = await sends(shaper, wire) - began
        assert took == pytest.approx(seconds, abs=0.002)
        assert sum(count for _, count in wire.sent) == 100_000
        assert [at for at, _ in wire.sent] == sorted(at for at, _ in wire.sent)

    virtually(run)


@scene
async def test_connections_share_the_uplink_and_control_goes_first() -> None:
    shaper = Shaper(Shape(up_mbps=8))
    wires = [Wire(shaper, left=100_000) for _ in range(2)]
    control, began = Wire(shaper, Lane.CONTROL, left=5_000), now()
    assert await sends(shaper, *wires, control) - began == pytest.approx(0.2132, abs=0.002)
    assert control.sent[-1][0] - began == pytest.approx(0.0052, abs=0.004)
    ends = [wire.sent[-1][0] - began for wire in wires]
    assert ends == pytest.approx([0.2132] * 2, abs=0.005), "both end together, at half the rate each"


@scene
async def test_one_that_is_ready_again_goes_on_without_waiting_for_the_delay() -> None:
    shaper = Shaper(Shape(up_mbps=8, delay_ms=500))
    wire, began = Wire(shaper, left=1000), now()
    shaper.ready(wire)
    await passes(0.1)
    assert wire.sent == [], "it is still on the line"
    wire.left = 1000
    shaper.ready(wire)
    await shaper.drained(Deadline.never())
    assert [at - began for at, _ in wire.sent] == pytest.approx([0.501, 0.601], abs=0.002)


@scene
async def test_nothing_is_delivered_after_the_close() -> None:
    shaper = Shaper(Shape(up_mbps=8, delay_ms=50))
    wire = Wire(shaper, left=10_000)
    shaper.ready(wire)
    await passes(0.03)
    shaper.close()
    await passes(1.0)
    assert wire.sent == []
    assert await asyncio.wait_for(shaper.drained(Deadline.never()), 0.1) is None


@scene
async def test_draining_ends_with_its_deadline() -> None:
    shaper = Shaper(Shape(delay_ms=60_000))
    wire, began = Wire(shaper, left=10), now()
    shaper.ready(wire)
    await passes(0.01)
    await shaper.drained(Deadline(0.0))
    assert now() - began < 1.0
    assert wire.sent == []


# --- reading --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mbps", "seconds"), [(8.0, 0.104), (80.0, 0.0104)])
def test_reading_pauses_until_the_downlink_has_passed_the_bytes(mbps: float, seconds: float) -> None:
    async def run() -> None:
        shaper = Shaper(Shape(down_mbps=mbps))
        wire, began = Wire(shaper), now()
        assert await wire.reads(100_000, shaper.read_chunk) - began == pytest.approx(seconds, abs=0.003)

    virtually(run)


@scene
async def test_an_unlimited_downlink_never_pauses() -> None:
    shaper = Shaper(Shape(up_mbps=1))
    wire = Wire(shaper)
    shaper.received(wire, 10_000_000)
    assert wire.paced == []


@scene
async def test_a_pause_too_short_for_a_timer_is_none() -> None:
    """At 8 Mbit/s 400 bytes take 0.4 ms, and 600 take 0.6 ms; half a millisecond is the bound."""
    shaper = Shaper(Shape(down_mbps=8))
    wire = Wire(shaper)
    shaper.received(wire, 400)
    assert not wire.paused
    await passes(1.0)
    shaper.received(wire, 600)
    assert wire.paused
    await passes(0.002)
    assert [paused for _, paused in wire.paced] == [True, False]


@scene
async def test_bulk_waits_for_control_that_came_meanwhile_and_control_not_for_bulk() -> None:
    """10,000 bytes of bulk pass in 10.4 ms, 5,000 of control in 5.2 ms more."""
    shaper = Shaper(Shape(down_mbps=8))
    bulk, control, began = Wire(shaper, Lane.BULK), Wire(shaper, Lane.CONTROL), now()
    shaper.received(bulk, 10_000)
    shaper.received(control, 5_000)
    await passes(0.1)
    assert [(round(at - began, 4), paused) for at, paused in control.paced] == [(0.0, True), (0.0052, False)]
    assert [(round(at - began, 4), paused) for at, paused in bulk.paced] == [(0.0, True), (0.0156, False)]


@scene
async def test_a_connection_that_is_gone_is_not_told_to_read_again() -> None:
    shaper = Shaper(Shape(down_mbps=8))
    gone, stays = Wire(shaper), Wire(shaper)
    shaper.received(gone, 5_000)
    shaper.received(stays, 5_000)
    shaper.forget(gone)
    await passes(0.1)
    assert [paused for _, paused in gone.paced] == [True]
    assert [paused for _, paused in stays.paced] == [True, False]


@scene
async def test_what_waited_for_the_end_of_a_pause_is_not_charged_for_its_lateness() -> None:
    """Two pieces of 10.4 ms each: the second is read 5 ms late, and the line was busy meanwhile."""
    shaper = Shaper(Shape(down_mbps=8))
    wire, began = Wire(shaper), now()
    shaper.received(wire, 10_000)
    await passes(0.0154)
    shaper.received(wire, 10_000)
    await passes(0.1)
    assert wire.paced[-1][0] - began == pytest.approx(0.0208, abs=1e-4)
    late = now()
    shaper.received(wire, 10_000)
    await passes(0.1)
    assert wire.paced[-1][0] - late == pytest.approx(0.0104, abs=1e-4), "an idle line has saved nothing"


# --- sizes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("up", "down", "nbytes"),
    [
        (20.0, 0.0, 50_000),  # 20 Mbit/s are 2.5 MB/s: 20 ms are 50 kB
        (0.0, 20.0, 50_000),
        (100.0, 20.0, 50_000),  # the slower one
        (20.0, 100.0, 50_000),
        (1.0, 0.0, 16 << 10),  # 2,500 bytes are too few
        (1000.0, 1000.0, 256 << 10),  # 2.5 MB are too many
        (0.0, 0.0, 256 << 10),
    ],
)
def test_a_socket_buffers_20_ms_of_the_slower_direction(up: float, down: float, nbytes: int) -> None:
    async def run() -> None:
        assert Shaper(Shape(up_mbps=up, down_mbps=down)).socket_buffer == nbytes

    virtually(run)


@scene
async def test_a_read_takes_two_milliseconds_of_the_downlink() -> None:
    assert Shaper(Shape(down_mbps=8.32)).read_chunk == 2000  # a megabyte a second
    assert Shaper(Shape()).read_chunk == 16 << 10
