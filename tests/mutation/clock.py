"""How long a test would take on an idle machine."""

from __future__ import annotations

import time
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage

FEW_S = 0.05
SELF = "thread-self"


class Clock:
    """Started when it is made.

    A test's seconds are counted without those in which this thread was ready and had no processor. Those in which it
    waited for a process of its own are counted as the processor time of that process.
    """

    def __init__(self) -> None:
        self._wall = time.perf_counter()
        self._own = time.process_time()
        self._queued = queued(SELF)
        self._others = _others()

    def seconds(self) -> float:
        """Return the seconds so far."""
        others = _others() - self._others
        if others > FEW_S:
            return others + time.process_time() - self._own
        return time.perf_counter() - self._wall - (queued(SELF) - self._queued)


def _others() -> float:
    """Processor time of processes that have ended."""
    usage = getrusage(RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def queued(process: str) -> float:
    """Return how long the first thread of a process was ready and had no processor."""
    try:
        return int(Path(f"/proc/{process}/schedstat").read_text().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0
