"""The clocks that a participant's process reads. Simulations hand in their own."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Clock:
    """Two clocks, both in seconds."""

    monotonic: Callable[[], float] = time.monotonic
    """Measures durations. It has to be the clock of the event loop that the process runs in."""
    wall: Callable[[], float] = time.time
    """Unix time. It may be wrong, and may jump."""


SYSTEM_CLOCK = Clock()
