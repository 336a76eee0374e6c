"""The run's report without a driver: one of the participants keeps it, as long as nobody else does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from actors.faults.log import FaultLog
from actors.records import CommitRecord, Event, MeshStatus

if TYPE_CHECKING:
    from actors.node import Node
    from actors.spec import ParticipantSpec


class Sink(Protocol):
    """Where a run is written down; takes each record and event once, whoever repeats it."""

    def commit(self, record: CommitRecord) -> None:
        """A decided step."""

    def event(self, event: Event) -> None:
        """Something a person should know."""

    def status(self, status: MeshStatus) -> None:
        """The mesh now."""

    def finish(self, outcome: str, failure: str = "") -> None:
        """The end: finished, failed or stopped."""


class SinkOpener(Protocol):
    """Knows where a run is written down."""

    def __call__(self) -> Sink:
        """Open it, going on with what is there."""

    def tell(self, events: Sequence[Event]) -> None:
        """Leave events for whoever writes."""


class Chronicle:
    """Writes what one participant knows, while it is the one who should.

    That is the first in the order of identities of those who can be reached: with a driver gone, and a participant
    too, somebody always writes. Participants of one machine share the folder, and go on where another stopped.
    """

    def __init__(self, spec: ParticipantSpec, node: Node) -> None:
        self._spec, self._node = spec, node
        self._sink: Sink | None = None
        self._newest = (0, -1)
        """Era and step of the newest record that was written."""
        self._event = 0
        self._done = False
        self._faults = FaultLog(Path(spec.faults_folder)) if spec.faults else None

    def write(self) -> None:
        """Write what is new. Called in a thread."""
        node = self._node
        opener = self._spec.sink
        if opener is None or self._done:
            return
        if not node.writes:
            if news := self._news():
                opener.tell(news)
            return
        if self._sink is None:
            self._sink = opener()
        for record in [record for record in list(node.journal.records) if (record.era, record.step) > self._newest]:
            self._sink.commit(record)
            self._newest = (record.era, record.step)
        for event in self._news():
            self._sink.event(event)
        for event in self._faults.news() if self._faults is not None else ():
            self._sink.event(event)
        if node.journal.ended_at is not None:
            self._done = True
            self._sink.status(node.status())
            self._sink.finish(*self._end())

    def _news(self) -> list[Event]:
        """Own events that were not written yet."""
        news = [entry for entry in list(self._node.journal.events) if entry[0] > self._event]
        self._event = max((number for number, _ in news), default=self._event)
        return [event for _, event in news]

    def _end(self) -> tuple[str, str]:
        """Outcome and failure; a finished run in which a scheduled fault never happened has failed."""
        outcome = self._node.phase()
        if outcome != "finished":
            return outcome, self._node.failure
        missing = self._faults.missing(self._spec.faults, self._spec.places) if self._faults is not None else ""
        return ("failed", missing) if missing else (outcome, "")
