"""What a person sees while a run goes on: a live display on a terminal, one line a step elsewhere."""

from __future__ import annotations

from typing import Protocol

from rich.console import Console

from actors.records import CommitRecord, Event, MeshStatus
from orchestrator.telemetry.config import TelemetryConfig
from orchestrator.telemetry.lines import LineProgress
from orchestrator.telemetry.live import LiveProgress

__all__ = ["LineProgress", "LiveProgress", "Progress", "make_progress"]


class Progress(Protocol):
    """A display of the run."""

    def phase(self, text: str) -> None:
        """Say what is being done before training."""

    def commit(self, record: CommitRecord) -> None:
        """Take a decided step."""

    def status(self, status: MeshStatus) -> None:
        """Take a snapshot of the mesh."""

    def event(self, event: Event) -> None:
        """Take something a person should know."""

    def close(self, outcome: str = "", failure: str = "") -> None:
        """Stop displaying, and leave the last lines."""


def make_progress(config: TelemetryConfig, console: Console, run_id: str = "", steps: int = 0) -> Progress:
    """The display that `telemetry.progress` asks for; ValueError for a word it does not know."""
    if config.progress not in ("live", "lines", "auto"):
        raise ValueError(f"telemetry.progress is {config.progress!r}; it must be live, lines or auto")
    if config.progress == "live" or (config.progress == "auto" and console.is_terminal):
        return LiveProgress(console, run_id, steps)
    return LineProgress(console, steps)
