"""What a person sees while a run goes on: a live display on a terminal, one line a step elsewhere."""

from __future__ import annotations

import time
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from actors.records import CommitRecord, Event, MeshStatus
from orchestrator.telemetry.mesh_map import stage_map
from orchestrator.telemetry.text import count, duration, size, sparkline


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

    def close(self) -> None:
        """Stop displaying."""


class _Totals:
    """What both displays derive from the records."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.last: CommitRecord | None = None
        self.validation: float | None = None
        self.losses: list[float] = []
        self._seconds: list[float] = []

    def add(self, record: CommitRecord) -> None:
        if record.validation_loss is not None:
            self.validation = record.validation_loss
        if record.loss is not None:
            self.last = record
            self.losses.append(record.loss)
            self._seconds = [*self._seconds[-19:], record.seconds]

    @property
    def done(self) -> int:
        return 0 if self.last is None else self.last.step + 1

    @property
    def tokens_per_s(self) -> float | None:
        if self.last is None or not sum(self._seconds):
            return None
        return self.last.tokens * len(self._seconds) / sum(self._seconds)

    @property
    def left_s(self) -> float | None:
        if not self._seconds:
            return None
        return (self.steps - self.done) * sum(self._seconds) / len(self._seconds)


class LineProgress:
    """One line a step, for logs and pipes."""

    def __init__(self, console: Console, steps: int) -> None:
        self._console, self._totals = console, _Totals(steps)

    def phase(self, text: str) -> None:
        """Say what is being done before training."""
        self._print(f"· {text}")

    def commit(self, record: CommitRecord) -> None:
        """Print the step."""
        self._totals.add(record)
        parts = []
        if record.loss is not None:
            boundary = sum(record.boundary_bytes.values())
            parts += [
                f"step {record.step + 1}/{self._totals.steps}",
                f"loss {record.loss:.4f}",
                f"{count(self._totals.tokens_per_s)} tokens/s",
                f"boundaries {size(boundary)}",
                f"averaging {size(record.averaging_bytes)}",
                f"left {duration(self._totals.left_s)}",
            ]
        if record.validation_loss is not None:
            parts.append(f"validation at commit {record.step}: {record.validation_loss:.4f}")
        self._print(" | ".join(parts))

    def status(self, status: MeshStatus) -> None:
        """Nothing: a log has no place for a changing picture."""

    def event(self, event: Event) -> None:
        """Print what a person should know."""
        if event.kind not in ("finished", "failed"):
            self._print(f"! {event.participant}: {event.kind}: {event.detail}")

    def close(self) -> None:
        """Nothing is open."""

    def _print(self, line: str) -> None:
        self._console.print(line, highlight=False, soft_wrap=True, markup=False)


class LiveProgress:
    """A display that is redrawn in place."""

    def __init__(self, console: Console, run_id: str, steps: int) -> None:
        self._totals = _Totals(steps)
        self._run_id, self._phase = run_id, "starting"
        self._status: MeshStatus | None = None
        self._began = time.monotonic()
        self._live = Live(console=console, refresh_per_second=4, get_renderable=self._render)
        self._live.start()

    def phase(self, text: str) -> None:
        """Say what is being done before training."""
        self._phase = text

    def commit(self, record: CommitRecord) -> None:
        """Take the step into the picture."""
        self._phase = "training"
        self._totals.add(record)

    def status(self, status: MeshStatus) -> None:
        """Take the mesh into the picture."""
        self._status = status

    def event(self, event: Event) -> None:
        """Print it above the picture."""
        if event.kind not in ("finished", "failed"):
            self._live.console.print(f"! {event.participant}: {event.kind}: {event.detail}", markup=False)

    def close(self) -> None:
        """Leave the last picture on the screen."""
        self._live.stop()

    def _render(self) -> RenderableType:
        totals, last = self._totals, self._totals.last
        head = Table.grid(padding=(0, 2), expand=True)
        head.add_column(no_wrap=True)
        head.add_column(ratio=1)
        head.add_column(no_wrap=True, justify="right")
        head.add_row(
            Text(f"tessera {self._run_id}", "bold"),
            ProgressBar(total=max(1, totals.steps), completed=totals.done),
            Text(f"{totals.done}/{totals.steps} steps"),
        )
        if last is None:
            waited = duration(time.monotonic() - self._began)
            return Group(head, Text(f"{self._phase} ({waited})", "dim"), *self._map())
        assert last.loss is not None
        facts = Table.grid(padding=(0, 2))
        validation = "–" if totals.validation is None else f"{totals.validation:.4f}"
        facts.add_row("loss", Text(f"{last.loss:.4f}", "bold"), sparkline(totals.losses, 24), f"validation {validation}")
        facts.add_row("speed", f"{count(totals.tokens_per_s)} tokens/s", "time left", duration(totals.left_s))
        per_boundary = "  ".join(f"{b}→{b + 1} {size(n)}" for b, n in sorted(last.boundary_bytes.items()))
        facts.add_row("bytes", f"averaging {size(last.averaging_bytes)}", "boundaries", per_boundary or "none")
        return Group(head, facts, *self._map())

    def _map(self) -> list[RenderableType]:
        return [stage_map(self._status)] if self._status is not None else []


def make_progress(kind: str, console: Console, run_id: str, steps: int) -> Progress:
    """Return the display that `telemetry.progress` asks for."""
    if kind == "live" or (kind == "auto" and console.is_terminal):
        return LiveProgress(console, run_id, steps)
    return LineProgress(console, steps)
