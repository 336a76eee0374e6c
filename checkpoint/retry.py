"""How often an operation of a store is repeated, and after how long."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Retry:
    """Waits first_s, twice that, and so on up to longest_s; gives up after `attempts`."""

    attempts: int = 5
    """Tries in all. More ride out longer outages of the store; fewer tell of them sooner."""
    first_s: float = 0.2
    """Wait after the first failure."""
    longest_s: float = 5.0
    """No wait is longer."""
    sleep: Callable[[float], None] = time.sleep
    """The clock that waits; handed in by tests."""

    def wait(self, failures: int) -> bool:
        """Wait after the given number of failures; return False when it is time to give up instead."""
        if failures >= self.attempts:
            return False
        self.sleep(min(self.longest_s, self.first_s * 2 ** (failures - 1)))
        return True
