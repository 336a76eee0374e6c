"""One line a step, for logs and pipes."""

from __future__ import annotations

from rich.console import Console

from actors.records import CommitRecord, Event, MeshStatus
from orchestrator.telemetry.pace import Pace
from orchestrator.telemetry.text import count, duration, loss, shorten, size

ENDINGS = ("finished", "failed")
"""Events that the closing lines tell already."""


def event_line(event: Event) -> str:
    """An event on one line, without whatever could move a terminal's cursor."""
    return shorten(f"{event.participant or 'run'}: {event.kind}: {event.detail}", 300)


class LineProgress:
    """Prints each thing once, in order."""

    def __init__(self, console: Console, steps: int = 0) -> None:
        self._console, self._pace = console, Pace(steps)

    def phase(self, text: str) -> None:
        """Say what is being done before training."""
        self._print(f"· {text}")

    def commit(self, record: CommitRecord) -> None:
        """Print the step."""
        self._pace.add(record)
        parts = []
        if record.tokens or record.loss is not None:
            total = f"/{self._pace.steps}" if self._pace.steps else ""
            parts += [
                f"step {record.step + 1}{total}",
                f"loss {loss(record.loss)}",
                f"{count(self._pace.tokens_per_s)} tokens/s",
                f"boundaries {size(sum(record.boundary_bytes.values()))}",
                f"averaging {size(record.averaging_bytes)}",
                f"left {duration(self._pace.left_s)}",
            ]
        if record.validation_loss is not None:
            parts.append(f"validation at commit {record.step}: {loss(record.validation_loss)}")
        self._print(" | ".join(parts))

    def status(self, status: MeshStatus) -> None:
        """Nothing: a log has no place for a changing picture."""

    def event(self, event: Event) -> None:
        """Print what a person should know."""
        if event.kind not in ENDINGS:
            self._print(f"! {event_line(event)}")

    def close(self, outcome: str = "", failure: str = "") -> None:
        """Print the closing lines."""
        for line in self._pace.summary(outcome, failure):
            self._print(line)

    def _print(self, line: str) -> None:
        self._console.print(line, highlight=False, soft_wrap=True, markup=False)
