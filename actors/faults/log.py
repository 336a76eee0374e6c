"""Which faults of a run have happened: one small file each, written before the fault, so that a kill is told of, too.

All participants of a simulation are on one machine and share the folder. A process that comes back sees there what has
happened to it already.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from actors.faults.schedule import LEADER, Fault, What
from actors.records import Event

_BEGAN = "began"


class FaultLog:
    """The folder of one run's faults."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._told: set[str] = set()

    def clear(self) -> None:
        """Forget what an earlier run of the same name did."""
        for path in self._folder.glob("*"):
            path.unlink(missing_ok=True)

    def claim(self, number: int, whom: str, event: Event) -> bool:
        """Say that fault `number` happens to `whom` now; False when it has happened already."""
        content = {"time": event.time, "participant": event.participant, "detail": event.detail}
        return self._create(f"{number}-{whom}.json", json.dumps(content))

    def away_s(self, faults: Sequence[Fault], name: str) -> float:
        """How long a participant that was killed has to stay away from now on."""
        until = 0.0
        for path in self._folder.glob("*.json"):
            with contextlib.suppress(OSError, ValueError, KeyError, IndexError):
                data, fault = json.loads(path.read_text()), faults[int(path.name.partition("-")[0])]
                if fault.what is What.KILL and data["participant"] == name:
                    until = max(until, float(data["time"]) + fault.seconds)
        return max(0.0, until - time.time())

    def began(self) -> float:
        """Unix time at which training began, as whoever asked first saw it."""
        self._create(_BEGAN, repr(time.time()))
        try:
            return float((self._folder / _BEGAN).read_text())
        except ValueError:  # another process is writing it
            return time.time()

    def _create(self, name: str, text: str) -> bool:
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(self._folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        except FileExistsError:
            return False
        with os.fdopen(handle, "w") as stream:
            stream.write(text)
        return True

    def news(self) -> list[Event]:
        """What has happened since this was last asked."""
        found = []
        for path in sorted(self._folder.glob("*.json")):
            if path.name in self._told:
                continue
            try:
                data = json.loads(path.read_text())
                event = Event(float(data["time"]), "fault", str(data["participant"]), str(data["detail"]))
            except (OSError, ValueError, KeyError):
                continue  # being written; the next time
            self._told.add(path.name)
            found.append(event)
        return found

    def missing(self, faults: Sequence[Fault], places: Iterable[tuple[str, int, int]]) -> str:
        """Which faults never happened, in one sentence; empty when all did."""
        known, texts = list(places), []
        for number, fault in enumerate(faults):
            late = [whom for whom in fault.hit(known) if not (self._folder / f"{number}-{whom}.json").exists()]
            if late:
                who = "" if late in ([LEADER], list(fault.who)) else f" to {', '.join(late)}"
                texts.append(f"`{fault}`{who}")
        return f"faults that never happened: {'; '.join(texts)}" if texts else ""
