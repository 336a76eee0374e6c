"""Faults on purpose, as the driver sees them: those that hit itself, and telling of all."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence

from actors.faults import signals
from actors.faults.log import FaultLog
from actors.faults.schedule import DRIVER, Fault, What
from actors.records import Event


class DriverFaults:
    """The driver's part of a schedule."""

    def __init__(self, faults: Sequence[Fault], places: Sequence[tuple[str, int, int]], log: FaultLog) -> None:
        self._faults, self._places, self._log = tuple(faults), list(places), log

    def watch(self, step: int, tell: Callable[[Event], None]) -> None:
        """Tell of what has happened; let happen what is due. `step`: the one under way."""
        if not self._faults:
            return
        for number, fault in enumerate(self._faults):
            if DRIVER not in fault.who:
                continue
            if fault.step is not None:
                due = step > 0 and step >= fault.step
            else:
                due = step > 0 and time.time() - self._log.began() >= (fault.second or 0.0)
            event = Event(time.time(), "fault", "", f"{fault}: happens to the driver in step {step}")
            if due and self._log.claim(number, DRIVER, event):
                if fault.what is What.KILL:
                    signals.kill([os.getpid()])
                else:
                    signals.freeze([os.getpid()], fault.seconds)
        for event in self._log.news():
            tell(event)

    def missing(self) -> str:
        """Which faults never happened, in one sentence; empty when all did."""
        return self._log.missing(self._faults, self._places)
