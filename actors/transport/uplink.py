"""The uplink that all links of a transport share: background messages of each give way to ordinary bulk of all.

TCP shares an uplink evenly between connections, so a chunk of state begun to one peer takes from an activation on its
way to another. What has begun is finished; what has not begins when no bulk lane has ordinary messages left to hand
to its socket. Their wait is bounded, because another lane's backlog may be due to its peer's slow downlink.

What a socket has taken is out of sight: while the kernel still sends it, background messages may begin.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

PATIENCE_S = 1.0
"""A background message waits so long for other lanes: one of a mebibyte each time is 8 Mbit/s beside a lane that never
empties. Higher: less than that past a slow peer. Lower: activations give up more when it is our uplink that is slow."""
_SLACK_S = 0.001
"""What is due this soon is due: timers may come that much early."""


class BulkLane(Protocol):
    """A lane as the uplink sees it."""

    @property
    def ordinary_waits(self) -> bool:
        """Whether it has ordinary messages that its socket has not taken."""

    def pump(self) -> None:
        """Look again at what it may send."""


class Timer(Protocol):
    """What can be cancelled."""

    def cancel(self) -> None:
        """Do not call."""


class Clock(Protocol):
    """The part of an event loop that is needed."""

    def time(self) -> float:
        """Seconds."""

    def call_at(self, when: float, callback: Callable[[], object], /) -> Timer:
        """Call at a time of this clock; at once, but not from within this call, when it has passed."""


class Uplink:
    """Says when background messages may begin, and wakes the lanes that were told to wait."""

    def __init__(self, clock: Clock, patience_s: float = PATIENCE_S) -> None:
        self.patience_s = patience_s
        self._clock = clock
        self._lanes: list[BulkLane] = []
        self._since: dict[BulkLane, float] = {}
        """When the next background message of a lane was first told to wait."""
        self._asleep: dict[BulkLane, None] = {}
        """Lanes to wake, in the order in which they were told to wait."""
        self._timer: Timer | None = None
        self._wake_at = 0.0

    def join(self, lane: BulkLane) -> None:
        """Heed a lane's ordinary messages from now on."""
        self._lanes.append(lane)

    def leave(self, lane: BulkLane) -> None:
        """A lane is gone."""
        self._lanes.remove(lane)
        self.forget(lane)

    def forget(self, lane: BulkLane) -> None:
        """A lane dropped what it had."""
        self._since.pop(lane, None)
        self._asleep.pop(lane, None)
        self.eased()

    def may_begin(self, lane: BulkLane) -> bool:
        """Whether a lane without ordinary messages may begin a background one: yes is for one, no promises a `pump`."""
        now = self._clock.time()
        due = self._since.setdefault(lane, now) + self.patience_s
        if due <= now + _SLACK_S or not self._crowded():
            del self._since[lane]
            self._asleep.pop(lane, None)
            return True
        self._asleep[lane] = None
        self._set_timer(due)
        return False

    def eased(self) -> None:
        """A lane may just have got rid of its last ordinary message. Whoever does not say so costs others patience."""
        if self._asleep and not self._crowded():
            self._set_timer(self._clock.time())

    def close(self) -> None:
        """Wake nobody any more."""
        self._asleep.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _crowded(self) -> bool:
        return any(lane.ordinary_waits for lane in self._lanes)

    def _set_timer(self, at: float) -> None:
        if self._timer is not None:
            if self._wake_at <= at:
                return
            self._timer.cancel()
        self._wake_at, self._timer = at, self._clock.call_at(at, self._wake)

    def _wake(self) -> None:
        """Let all look again: who still may not begin asks, and so sleeps, again."""
        self._timer = None
        asleep, self._asleep = self._asleep, {}
        for lane in asleep:
            lane.pump()
