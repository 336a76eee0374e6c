"""What one participant tells a person of its own: events, commit records, and how far the run has got here."""

from __future__ import annotations

from collections import deque

from actors.clock import SYSTEM_CLOCK, Clock
from actors.records import CommitRecord, Event
from actors.steps.participant import Participant

RECORDS = 8192
"""Newest commit records kept."""
EVENTS = 2048
"""Newest events kept."""


class Journal:
    """Bounded, in memory. Written in the event loop; whoever keeps the report reads it in a thread.

    Args:
        name: of the participant.
        clock: of its process.
    """

    def __init__(self, name: str, clock: Clock = SYSTEM_CLOCK) -> None:
        self._name, self._clock = name, clock
        self.records: deque[CommitRecord] = deque(maxlen=RECORDS)
        """Newest last."""
        self.events: deque[tuple[int, Event]] = deque(maxlen=EVENTS)
        """Each with its number; newest last."""
        self._count = int(clock.wall() * 1000)
        """Of the newest event. Begins at the clock, so that it goes on above what earlier processes have counted."""
        self.ended_at: float | None = None
        """Monotonic clock in seconds when the run ended here; None before."""
        self._failure = ""
        """Why the run was over here before it began."""
        self._stopped = self._left = False

    def note(self, kind: str, detail: str) -> None:
        """Keep an event for whoever asks."""
        self._count += 1
        self.events.append((self._count, Event(self._clock.wall(), kind, self._name, detail)))

    # The end

    def never_began(self, reason: str, *, stopped: bool = False) -> None:
        """The run is over here before it began; stopped: a person wants it."""
        self._stopped = self._stopped or stopped
        self._failure = reason
        self.note("stopped" if stopped else "failed", reason)
        self.ended_at = self._clock.monotonic()

    def failed(self, reason: str, *, stopped: bool) -> None:
        """The run cannot go on; stopped: a person ended it on purpose."""
        self._stopped = stopped
        self.note("stopped" if stopped else "failed", reason)
        self.ended_at = self._clock.monotonic()

    def finished(self) -> None:
        """The run is complete."""
        self.note("finished", f"{self._name} has the closing decision")
        self.ended_at = self._clock.monotonic()

    def left(self) -> None:
        """The run goes on without this participant."""
        self._left = True
        self.ended_at = self._clock.monotonic()

    # How far it is

    def failure(self, participant: Participant | None) -> str:
        """Why the run failed here; empty otherwise. `participant`: its protocol, None before the run began."""
        return self._failure or (participant.failed if participant is not None else "")

    def phase(self, participant: Participant | None) -> str:
        """starting, training, paused, finished, stopped, left or failed; see `failure`."""
        if self._stopped:
            return "stopped"
        if self._left:
            return "left"
        if self.failure(participant):
            return "failed"
        if participant is None or not (participant.started or participant.finished):
            return "starting"
        if participant.finished:
            return "finished"
        return "paused" if participant.paused else "training"
