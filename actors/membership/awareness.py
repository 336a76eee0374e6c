"""Local health (Lifeguard's LHM): a member that misses answers doubts itself before it doubts others."""

from __future__ import annotations


class Awareness:
    """A score from 0 (well) upwards; timeouts are multiplied by one more than it."""

    def __init__(self, highest: int) -> None:
        self._highest = highest
        self.score = 0

    @property
    def scale(self) -> int:
        """Factor for timeouts of the own probes."""
        return 1 + self.score

    def better(self) -> None:
        """A probe was answered."""
        if self.score:
            self.score -= 1

    def worse(self, by: int = 1) -> None:
        """Answers were missed that healthy links would have brought, or somebody accused us."""
        self.score = min(self._highest, self.score + by)
