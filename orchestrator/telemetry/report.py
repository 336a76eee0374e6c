"""The result of a run: `report.json` for programs and `report.html` for people."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from actors.records import CommitRecord, Event, ParticipantStatus
from orchestrator.telemetry.files import dump, plain, write_atomic
from orchestrator.telemetry.html import render_page
from orchestrator.telemetry.lanes import Lanes
from orchestrator.telemetry.totals import totals
from orchestrator.telemetry.versions import versions

SCHEMA = "tessera.report/1"
MAX_EVENTS = 10_000
"""Events that a report keeps; the oldest go first."""
OUTCOMES = ("finished", "failed", "stopped")


class Report:
    """Collects records in any order, repeats included, and builds the report from them at any time.

    A record is known by (step, commit). A repeat of it is dropped; another record under the same key takes its place.
    The first record of a later era replaces all that was committed from its step on: those steps are lost. The same
    class serves `reference` runs, which have no participants.
    """

    def __init__(
        self,
        run_id: str,
        command: str = "",
        config: Mapping[str, Any] | None = None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.run_id = run_id
        self._command = command
        self._config: dict[str, Any] = plain(dict(config or {}))
        self._clock = clock
        self._records: dict[tuple[int, int], tuple[CommitRecord, float]] = {}
        self._events: dict[tuple[float, str, str, str], Event] = {}
        self._eras: dict[int, int] = {}
        """Era -> its first step."""
        self._steps_lost = 0
        self._lanes = Lanes()
        self._started = clock()
        self._ended: float | None = None
        self._outcome: str | None = None
        self._failure = ""

    def add_commit(self, record: CommitRecord, at: float | None = None) -> bool:
        """Take a record, seen `at` that Unix time (now, if not given). False for one that is already known."""
        key = (record.step, record.commit)
        known = self._records.get(key)
        if known is not None and _same(known[0], record):
            return False
        if any(record.era < era and record.step >= step for era, step in self._eras.items()):
            return False
        self._begin_era(record)
        self._records[key] = (record, self._clock() if at is None else at)
        return True

    def _begin_era(self, record: CommitRecord) -> None:
        """The run has returned to an earlier commit: what it had committed beyond that is of no use any more."""
        if record.era == 0 or self._eras.get(record.era, record.step + 1) <= record.step:
            return
        self._eras[record.era] = record.step
        given_up = [key for key, (old, _) in self._records.items() if old.era < record.era and key[0] >= record.step]
        self._steps_lost += sum(not validates_only(self._records[key][0]) for key in given_up)
        for key in given_up:
            del self._records[key]

    def add_event(self, event: Event) -> bool:
        """Take an event. False for one that is already known."""
        key = (event.time, event.kind, event.participant, event.detail)
        new = key not in self._events
        self._events[key] = event
        if len(self._events) > MAX_EVENTS:
            del self._events[next(iter(self._events))]
        return new

    def set_participants(self, participants: Iterable[ParticipantStatus], at: float | None = None) -> None:
        """Take the newest description of participants; earlier ones stay in timelines and in the largest share."""
        self._lanes.see(participants, self._clock() if at is None else at)

    def finish(self, outcome: str, failure: str = "") -> None:
        """Close the report. `outcome` is finished, failed or stopped; else ValueError."""
        if outcome not in OUTCOMES:
            raise ValueError(f"outcome {outcome!r} is not one of {', '.join(OUTCOMES)}")
        self._outcome, self._failure = outcome, failure
        self._ended = self._clock()
        self._lanes.close(self._ended)

    def records(self) -> list[CommitRecord]:
        """All records in order of step and commit."""
        return [self._records[key][0] for key in sorted(self._records)]

    def to_dict(self) -> dict[str, Any]:
        """The content of report.json: plain values, no NaN."""
        ordered = [self._records[key] for key in sorted(self._records)]
        steps = [_step(record, at) for record, at in ordered if not validates_only(record)]
        validation = [
            {"step": record.step, "loss": record.validation_loss}
            for record, _ in ordered
            if record.validation_loss is not None
        ]
        document = {
            "schema": SCHEMA,
            "run_id": self.run_id,
            "command": self._command,
            "started": self._started,
            "ended": self._ended,
            "config": self._config,
            "versions": versions(),
            "participants": self._lanes.to_list(),
            "max_model_share": self._lanes.max_share,
            "steps": steps,
            "validation": validation,
            "events": [vars(event) for event in sorted(self._events.values(), key=lambda event: event.time)],
            "totals": totals(steps, validation)
            | {"steps_lost": self._steps_lost, "outcome": self._outcome, "failure": self._failure},
        }
        clean: dict[str, Any] = plain(document)
        return clean

    def write(self, folder: Path | str) -> None:
        """Write report.json and report.html, each in one step; the JSON first, as the page is made from it."""
        document = self.to_dict()
        write_atomic(Path(folder) / "report.json", dump(document))
        write_atomic(Path(folder) / "report.html", render_page(document))


def _same(one: CommitRecord, other: CommitRecord) -> bool:
    """Equality in which NaN equals itself, as it must for the repeats of a diverged run."""
    return one == other or repr(one) == repr(other)


def validates_only(record: CommitRecord) -> bool:
    """Whether the record trained nothing: the closing one, which measures the last parameters."""
    return record.loss is None and record.tokens == 0


def _step(record: CommitRecord, at: float) -> dict[str, Any]:
    return {
        "step": record.step,
        "commit": record.commit,
        "time": at,
        "loss": record.loss,
        "grad_norm": record.grad_norm,
        "clip_factor": record.clip_factor,
        "lr": record.lr,
        "tokens": record.tokens,
        "seconds": record.seconds,
        "work_seconds": record.work_seconds,
        "boundary_bytes": sum(record.boundary_bytes.values()),
        "boundary_bytes_by_boundary": dict(sorted(record.boundary_bytes.items())),
        "averaging_bytes": record.averaging_bytes,
        "control_bytes": record.control_bytes,
        "leader": record.leader,
        "view": record.view,
        "era": record.era,
        "stages": record.stages,
        "counted": record.counted,
        "hashes": record.hashes,
        "throughput": record.throughput,
    }
