"""One place for a run's numbers: hands them to the display, the journal, the report, Ray metrics and wandb."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from actors.records import CommitRecord, Event, MeshStatus
from orchestrator.telemetry.config import TelemetryConfig
from orchestrator.telemetry.files import Journal
from orchestrator.telemetry.progress import Progress, make_progress
from orchestrator.telemetry.ray_metrics import RayMetrics
from orchestrator.telemetry.report import Report
from orchestrator.telemetry.wandb_sink import WandbSink

log = logging.getLogger("tessera.telemetry")
REPORT_S = 10.0
"""How often the report is written while a run goes on."""


class Telemetry:
    """All sinks of a run. One that raises is switched off, which is an event, and stops nothing."""

    def __init__(self, report: Report, folder: Path, progress: Progress) -> None:
        self._report, self._folder, self._progress = report, folder, progress
        self._journal = Journal(folder)
        self._metrics: RayMetrics | None = None
        self._wandb: WandbSink | None = None
        self._off: set[str] = set()
        self._written_at = time.monotonic()

    @classmethod
    def open(
        cls,
        config: TelemetryConfig,
        run_id: str,
        folder: Path,
        resolved_config: dict[str, Any],
        command: str,
        total_steps: int,
        console: Console,
    ) -> Telemetry:
        """Open the sinks that the config asks for."""
        folder.mkdir(parents=True, exist_ok=True)
        progress = make_progress(config.progress, console, run_id, total_steps)
        telemetry = cls(Report(run_id, command, resolved_config), folder, progress)
        if config.ray_metrics:
            telemetry._metrics = RayMetrics(run_id)
        if config.wandb != "disabled":
            telemetry._wandb = WandbSink(config.wandb, config.wandb_project, run_id, folder, resolved_config)
        return telemetry

    def phase(self, text: str) -> None:
        """Say what is being done before training."""
        self._try("progress", lambda: self._progress.phase(text))

    def commit(self, record: CommitRecord) -> None:
        """Take a decided step."""
        self._report.add_commit(record)
        self._try("journal", lambda: self._journal.append(record.to_dict()))
        self._try("progress", lambda: self._progress.commit(record))
        if self._metrics is not None and _ray_runs():
            metrics = self._metrics
            self._try("ray metrics", lambda: metrics.commit(record))
        if self._wandb is not None:
            sink = self._wandb
            self._try("wandb", lambda: sink.commit(record))
        if time.monotonic() - self._written_at > REPORT_S:
            self._written_at = time.monotonic()
            self._try("report", lambda: self._report.write(self._folder))

    def status(self, status: MeshStatus) -> None:
        """Take a snapshot of the mesh."""
        self._report.set_participants(status.participants)
        self._try("progress", lambda: self._progress.status(status))
        if self._metrics is not None:
            metrics = self._metrics
            self._try("ray metrics", lambda: metrics.status(status))

    def event(self, event: Event) -> None:
        """Take something a person should know."""
        if self._report.add_event(event):
            self._try("progress", lambda: self._progress.event(event))

    def finish(self, outcome: str, failure: str) -> None:
        """Close all sinks and write the report."""
        self._report.finish(outcome, failure)
        self._try("progress", self._progress.close)
        self._try("journal", self._journal.close)
        if self._wandb is not None:
            self._try("wandb", self._wandb.close)
        self._off.discard("report")
        self._try("report", lambda: self._report.write(self._folder))

    def _try(self, sink: str, work: Callable[[], None]) -> None:
        if sink in self._off:
            return
        try:
            work()
        except Exception as error:  # telemetry never stops a run, whatever a sink raises
            self._off.add(sink)
            detail = f"{sink} is switched off: {type(error).__name__}: {error}"
            log.warning("%s", detail)
            self._report.add_event(Event(time.time(), "telemetry", "", detail))


def _ray_runs() -> bool:
    import ray

    return bool(ray.is_initialized())
