"""Background messages give way to what other links of the same transport send: the decision, on a turned clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.transport.deadline import Deadline
from actors.transport.frame import Frame, build
from actors.transport.outbox import Outbox
from actors.transport.schema import Lane
from actors.transport.shaping import Shape, UplinkSchedule
from actors.transport.uplink import PATIENCE_S, Uplink
from tests.transport.helpers import PATIENCE_S as TEST_PATIENCE_S
from tests.transport.helpers import REGISTRY, Bulk, Spare


@dataclass(eq=False)
class Alarm:
    when: float
    callback: Callable[[], object]
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


class TurnedClock:
    """Time passes when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0
        self._alarms: list[Alarm] = []

    @property
    def set(self) -> list[float]:
        """When it will call."""
        return sorted(alarm.when for alarm in self._alarms if not alarm.cancelled)

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], object]) -> Alarm:
        alarm = Alarm(when, callback)
        self._alarms.append(alarm)
        return alarm

    def turn(self, seconds: float = 0.0) -> None:
        until = self.now + seconds
        while self.set and self.set[0] <= until:
            due = min((each for each in self._alarms if not each.cancelled), key=lambda each: each.when)
            self._alarms.remove(due)
            self.now = max(self.now, due.when)
            due.callback()
        self.now = until


@dataclass(eq=False)
class Road:
    """A lane that counts messages only; an ordinary one goes when a test says so."""

    uplink: Uplink
    ordinary: int = 0
    background: int = 0
    begun: list[float] = field(default_factory=list)
    pumped: int = 0

    @property
    def ordinary_waits(self) -> bool:
        return self.ordinary > 0

    def pump(self) -> None:
        self.pumped += 1
        while not self.ordinary and self.background and self.uplink.may_begin(self):
            self.background -= 1
            self.begun.append(self.uplink._clock.time() - 100.0)

    def passes(self) -> None:
        """It gets rid of an ordinary message."""
        self.ordinary -= 1
        self.pump()
        if not self.ordinary:
            self.uplink.eased()


def roads(count: int) -> tuple[TurnedClock, Uplink, list[Road]]:
    clock = TurnedClock()
    uplink = Uplink(clock)
    lanes = [Road(uplink) for _ in range(count)]
    for lane in lanes:
        uplink.join(lane)
    return clock, uplink, lanes


def test_it_begins_at_once_when_nobody_has_ordinary_messages() -> None:
    clock, _, (one, _) = roads(2)
    one.background = 3
    one.pump()
    assert one.begun == [0.0] * 3
    assert clock.set == []


def test_it_begins_when_the_last_of_the_others_is_done() -> None:
    clock, _, (one, two, three) = roads(3)
    one.background, two.ordinary, three.ordinary = 2, 1, 1
    one.pump()
    clock.turn(0.25)
    two.passes()
    clock.turn(0.25)
    assert one.begun == []
    assert one.pumped == 1  # asking again would have been in vain
    three.passes()
    assert one.begun == []  # not from within the other's call
    clock.turn()
    assert one.begun == [0.5, 0.5]
    assert clock.set == []


def test_each_waits_a_second_for_a_lane_that_never_empties() -> None:
    clock, _, (one, two, three) = roads(3)
    one.background, two.background, three.ordinary = 3, 2, 1
    one.pump()
    clock.turn(0.5)
    two.pump()
    clock.turn(10 * PATIENCE_S)
    assert one.begun == [PATIENCE_S, 2 * PATIENCE_S, 3 * PATIENCE_S]
    assert two.begun == [0.5 + PATIENCE_S, 0.5 + 2 * PATIENCE_S]
    assert one.pumped + two.pumped < 20
    assert clock.set == []


def test_ordinary_messages_of_its_own_do_not_prolong_the_wait_for_others() -> None:
    clock, _, (one, two) = roads(2)
    one.background, two.ordinary = 2, 1
    one.pump()
    one.ordinary = 1
    clock.turn(PATIENCE_S / 2)
    one.passes()
    assert one.begun == []
    clock.turn(PATIENCE_S / 2)
    assert one.begun == [PATIENCE_S]


def test_a_lane_that_leaves_or_drops_counts_no_more() -> None:
    clock, uplink, (one, two, three) = roads(3)
    one.background = two.background = three.ordinary = 1
    one.pump()
    two.pump()
    two.background = 0
    uplink.forget(two)
    uplink.leave(three)
    clock.turn()
    assert one.begun == [0.0]
    assert two.pumped == 1
    uplink.join(three)
    two.background = 1
    clock.turn(PATIENCE_S)
    two.pump()
    assert two.begun == []  # its second began anew


def test_nobody_is_woken_after_the_close() -> None:
    clock, uplink, (one, two) = roads(2)
    one.background = two.ordinary = 1
    one.pump()
    uplink.close()
    two.passes()
    assert clock.set == []


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["bulk", "spare", "passes", "turn"]), st.integers(0, 2)), max_size=60))
def test_none_waits_in_vain(steps: list[tuple[str, int]]) -> None:
    clock, _, lanes = roads(3)
    for step, index in steps:
        lane = lanes[index]
        if step == "bulk":
            lane.ordinary += 1
        elif step == "spare":
            lane.background += 1
            lane.pump()
        elif step == "passes" and lane.ordinary:
            lane.passes()
        else:
            clock.turn(PATIENCE_S / 3)
        if not any(lane.ordinary for lane in lanes):
            clock.turn()
            assert not any(lane.background for lane in lanes)
    waiting = max((lane.background for lane in lanes if not lane.ordinary), default=0)
    clock.turn(waiting * PATIENCE_S)
    assert all(lane.ordinary or not lane.background for lane in lanes)


# --- an outbox that is told to wait ------------------------------------------------------------------------------


def frame(message: Bulk | Spare, size: int = 1000) -> Frame:
    return build(REGISTRY, message, [np.full(size, message.number, np.uint8)])


@dataclass(eq=False)
class Source:
    """An outbox as the emulated uplink sees it."""

    outbox: Outbox
    blocked: bool = False
    shaped_lane: Lane = Lane.BULK

    def next_piece(self, limit: int) -> memoryview | None:
        return self.outbox.next_piece(limit)


def test_who_has_only_background_that_may_not_begin_leaves_the_line_of_the_emulated_uplink() -> None:
    async def run() -> None:
        allowed = False
        outbox = Outbox(1 << 20, 1 << 20, lambda: allowed)
        schedule = UplinkSchedule[Source](Shape(up_mbps=8))
        source = Source(outbox)
        await outbox.put(frame(Spare(1)), Deadline.after(0))
        schedule.offer(source)
        assert schedule.grant(0.0) == []
        assert schedule.due_at is None
        allowed = True
        schedule.offer(source)
        assert schedule.grant(0.0) != []

    asyncio.run(run())


def test_an_outbox_knows_until_when_its_ordinary_messages_wait() -> None:
    async def run() -> None:
        outbox = Outbox(2500, 2500)
        await outbox.put(frame(Spare(1)), Deadline.after(0))
        assert not outbox.ordinary_waits
        outbox.next_piece(5)
        await outbox.put(frame(Bulk(1)), Deadline.after(0))
        while not outbox.idle:
            assert outbox.ordinary_waits
            outbox.next_piece(5)
        assert not outbox.ordinary_waits
        outbox.resume(0)
        assert outbox.ordinary_waits
        while outbox.next_piece(1 << 20) is not None:
            pass
        outbox.resume(2)
        assert not outbox.ordinary_waits
        await outbox.put(frame(Bulk(2), 2000), Deadline.after(0))
        while outbox.next_piece(1 << 20) is not None:
            pass
        waiting = asyncio.create_task(outbox.put(frame(Bulk(3)), Deadline.after(TEST_PATIENCE_S)))
        await asyncio.sleep(0)
        assert outbox.ordinary_waits  # for room
        outbox.ack(3)
        await waiting
        assert outbox.ordinary_waits
        outbox.drop()
        assert not outbox.ordinary_waits

    asyncio.run(run())
