"""One place for a run's numbers: hands them to the display, the journal, the report, Ray metrics and wandb."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from actors.records import CommitRecord, Event, MeshStatus
from orchestrator.telemetry.config import TelemetryConfig
from orchestrator.telemetry.progress import make_progress
from orchestrator.telemetry.ray_metrics import RayMetrics
from orchestrator.telemetry.recorder import Recorder
from orchestrator.telemetry.report import Report
from orchestrator.telemetry.sinks import Sink
from orchestrator.telemetry.wandb_sink import WandbSink

log = logging.getLogger("tessera.telemetry")


class Telemetry:
    """All sinks of a run. One that raises is switched off, which is logged and an event, and stops nothing.

    Records and events may come repeatedly, as from several participants: the sinks see each once.
    """

    def __init__(self, report: Report, *, clock: Callable[[], float] = time.time) -> None:
        self._report, self._clock = report, clock
        self._sinks: dict[str, Sink] = {}
        self._finished = False

    @classmethod
    def open(
        cls,
        config: TelemetryConfig,
        run_id: str,
        folder: Path,
        resolved_config: Mapping[str, Any],
        command: str,
        total_steps: int,
        console: Console,
        *,
        resume: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> Telemetry:
        """Open the sinks that the config asks for. Resuming continues the folder's journal and what it tells."""
        report = Report(run_id, command, resolved_config, clock=clock)
        telemetry = cls(report, clock=clock)
        telemetry.add("report", lambda: Recorder(report, folder, resume=resume))
        telemetry.add("progress", lambda: make_progress(config, console, run_id, total_steps))
        if config.ray_metrics:
            telemetry.add("ray metrics", lambda: RayMetrics(run_id))
        if config.wandb != "disabled":
            arguments = (config.wandb, config.wandb_project, run_id, folder, resolved_config)
            telemetry.add("wandb", lambda: WandbSink(*arguments))
        return telemetry

    def add(self, name: str, make: Callable[[], Sink]) -> None:
        """Open one more sink; one that cannot be opened is left out, with the same log line and event."""
        try:
            self._sinks[name] = make()
        except Exception as error:  # telemetry never stops a run, whatever a sink raises
            self._switched_off(name, error)

    def phase(self, text: str) -> None:
        """Say what is being done before training."""
        self._each(lambda sink: sink.phase(text))

    def commit(self, record: CommitRecord) -> None:
        """Take a decided step."""
        if self._report.add_commit(record):
            self._each(lambda sink: sink.commit(record))

    def status(self, status: MeshStatus) -> None:
        """Take a snapshot of the mesh, with the events in it."""
        self._report.set_participants(status.participants)
        self._each(lambda sink: sink.status(status))
        for event in status.events:
            self.event(event)

    def event(self, event: Event) -> None:
        """Take something a person should know."""
        if self._report.add_event(event):
            self._each(lambda sink: sink.event(event))

    def detach(self) -> None:
        """Give the terminal back and write nothing more: somebody else goes on with the journal."""
        self._finished = True
        for name in [name for name in self._sinks if name != "report"]:
            self._quietly_close(self._sinks.pop(name))

    def finish(self, outcome: str, failure: str = "") -> None:
        """Close all sinks and write the report. `outcome` is finished, failed or stopped. Once only."""
        if self._finished:
            return
        self._finished = True
        self._report.finish(outcome, failure)
        recorder = self._sinks.pop("report", None)
        self._each(lambda sink: sink.close(outcome, failure))
        if recorder is not None:  # last, so that it tells of sinks that failed while closing
            self._sinks = {"report": recorder}
            self._each(lambda sink: sink.close(outcome, failure))

    def _each(self, work: Callable[[Sink], None]) -> None:
        for name, sink in list(self._sinks.items()):
            try:
                work(sink)
            except Exception as error:  # telemetry never stops a run, whatever a sink raises
                self._sinks.pop(name, None)
                self._quietly_close(sink)
                self._switched_off(name, error)

    def _quietly_close(self, sink: Sink) -> None:
        """Give back what the sink holds, such as the terminal; it is known to be broken, so nothing is said."""
        try:
            sink.close()
        except Exception as error:
            log.debug("closing a broken sink: %s", error)

    def _switched_off(self, name: str, error: Exception) -> None:
        detail = f"{name} is switched off: {type(error).__name__}: {error}"
        log.warning("%s", detail)
        self.event(Event(self._clock(), "telemetry", "", detail))
