"""What was refused: every case is counted, the log gets one line, then at most one every few seconds a reason."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable

logger = logging.getLogger("tessera.transport")

LOG_EVERY_S = 5.0
"""A flood of one reason writes one line in this many seconds, with the number of cases not written."""


class Refusals:
    """Counts refusals by reason and tells the owner.

    Args:
        tell: called with reason and detail of each case.
        clock: seconds, for the time between two lines.
    """

    def __init__(self, tell: Callable[[str, str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._tell, self._clock = tell, clock
        self._counts: Counter[str] = Counter()
        self._logged_at: dict[str, float] = {}
        self._unlogged: Counter[str] = Counter()

    @property
    def counts(self) -> dict[str, int]:
        """Reason -> cases; a copy."""
        return dict(self._counts)

    def count(self, reason: str, detail: str) -> None:
        """One more case."""
        self._counts[reason] += 1
        now = self._clock()
        if now - self._logged_at.get(reason, -LOG_EVERY_S) >= LOG_EVERY_S:
            self._logged_at[reason] = now
            unlogged = self._unlogged.pop(reason, 0)
            more = f" (and {unlogged} more since the last line)" if unlogged else ""
            logger.warning("refused %s: %s%s", reason, detail, more)
        else:
            self._unlogged[reason] += 1
        self._tell(reason, detail)
