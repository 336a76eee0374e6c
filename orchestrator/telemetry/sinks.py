"""What a place for a run's numbers looks like."""

from __future__ import annotations

from typing import Protocol

from actors.records import CommitRecord, Event, MeshStatus


class Sink(Protocol):
    """Takes each thing once, in order. It may raise: `Telemetry` then goes on without it."""

    def phase(self, text: str) -> None:
        """What is being done before training."""

    def commit(self, record: CommitRecord) -> None:
        """A decided step."""

    def status(self, status: MeshStatus) -> None:
        """A snapshot of the mesh."""

    def event(self, event: Event) -> None:
        """Something a person should know."""

    def close(self, outcome: str = "", failure: str = "") -> None:
        """The end of the run; without an outcome, of this sink only."""
