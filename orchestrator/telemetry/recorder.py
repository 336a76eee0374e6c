"""The files of a run: its journal as it goes, its report now and then and at the end."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from actors.records import CommitRecord, Event, MeshStatus
from orchestrator.telemetry.files import Journal, read_journal
from orchestrator.telemetry.report import Report

REPORT_S = 10.0
"""How often the report is written while a run goes on; less often where writing it takes long."""
MOST_EVENTS = 100_000
"""Lines of the events' journal that one process writes: strangers can make events."""
EFFORT = 0.05
"""Share of the time that may go into writing it."""


class Recorder:
    """Writes metrics.jsonl, events.jsonl, report.json and report.html into the run's folder."""

    def __init__(
        self, report: Report, folder: Path, *, resume: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._report, self._folder, self._clock = report, folder, clock
        if resume:
            for line in read_journal(folder / Journal.NAME):
                report.add_commit(record_from(line), line.get("time"))
            self._take_events()
        self._journal = Journal(folder, resume=resume)
        self._events = Journal(folder, resume=resume, name=Journal.EVENTS)
        self._lines = 0
        self._next = clock() + REPORT_S

    def phase(self, text: str) -> None:
        """Not for files."""

    def commit(self, record: CommitRecord) -> None:
        """Write the step's line, and the report if it is time."""
        self._journal.append(record.to_dict() | {"time": time.time()})
        if self._clock() >= self._next:
            began = self._clock()
            self._report.write(self._folder)
            took = self._clock() - began
            self._next = self._clock() + max(REPORT_S, took / EFFORT)

    def status(self, status: MeshStatus) -> None:
        """In the report already."""

    def event(self, event: Event) -> None:
        """Write the event's line: whoever goes on with the report, when this process is killed, finds it there."""
        self._lines += 1
        if self._lines <= MOST_EVENTS:
            self._events.append(asdict(event))

    def _take_events(self) -> None:
        for line in read_journal(self._folder / Journal.EVENTS):
            with contextlib.suppress(TypeError):  # of another version
                self._report.add_event(Event(**line))

    def close(self, outcome: str = "", failure: str = "") -> None:
        """Write the report, with what others have told meanwhile; it is written even where the journal could not be."""
        try:
            self._take_events()
            self._events.close()
            self._journal.close()
        finally:
            self._report.write(self._folder)


def record_from(line: Mapping[str, Any]) -> CommitRecord:
    """A record from its line in the journal. Lines of a later version may hold more; that is left out."""
    known = {field.name for field in fields(CommitRecord)}
    values = {key: value for key, value in line.items() if key in known}
    values["boundary_bytes"] = {int(boundary): sent for boundary, sent in values["boundary_bytes"].items()}
    return CommitRecord(**values)
