"""What a display derives from the records: how far, how fast, how long still."""

from __future__ import annotations

from actors.records import CommitRecord
from orchestrator.telemetry.text import count, duration, loss

RECENT = 20
"""Steps over which speed and time left are measured."""


class Pace:
    """Progress of a run. Lists are replaced, never changed, so that another thread may read while this one adds."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.last: CommitRecord | None = None
        self.validation: float | None = None
        self.losses: list[float] = []
        self._recent: list[tuple[int, float]] = []
        self._tokens = 0
        self._seconds = 0.0

    def add(self, record: CommitRecord) -> None:
        """Take a decided step; older than the last one, it changes nothing."""
        if self.last is not None and (record.era, record.step) < (self.last.era, self.last.step):
            return
        if record.validation_loss is not None:
            self.validation = record.validation_loss
        if record.loss is None and record.tokens == 0:
            return
        self.last = record
        if record.loss is not None:
            self.losses = [*self.losses, record.loss]
        self._recent = [*self._recent[1 - RECENT :], (record.tokens, record.seconds)]
        self._tokens += record.tokens
        self._seconds += record.seconds

    @property
    def done(self) -> int:
        """Steps that are decided."""
        return 0 if self.last is None else self.last.step + 1

    @property
    def tokens_per_s(self) -> float | None:
        """Speed over the recent steps."""
        seconds = sum(s for _, s in self._recent)
        return sum(tokens for tokens, _ in self._recent) / seconds if seconds > 0 else None

    @property
    def left_s(self) -> float | None:
        """Time left at that speed; None before the first step, or where the number of steps is not known."""
        if not self._recent or self.steps <= 0:
            return None
        return max(self.steps - self.done, 0) * sum(s for _, s in self._recent) / len(self._recent)

    def shown_losses(self, most: int = 400) -> list[float]:
        """Losses of the whole run, thinned to about `most`."""
        losses = self.losses
        return losses[:: max(1, len(losses) // most)]

    def summary(self, outcome: str, failure: str) -> list[str]:
        """The last lines of a display."""
        lines = []
        if self.last is not None:
            speed = count(self._tokens / self._seconds) if self._seconds > 0 else "–"
            steps = f"{self.done}/{self.steps}" if self.steps else f"{self.done}"
            took = duration(self._seconds)
            lines.append(f"{steps} steps, {count(self._tokens)} tokens in {took}, {speed} tokens/s")
            lines.append(f"loss {loss(self.last.loss)}, validation {loss(self.validation)}")
        if outcome:
            lines.append(outcome + (f": {failure}" if failure else ""))
        return lines
