"""Comings and goings that the driver brings about: it starts newcomers, and ends leavers politely or not."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence

import ray

from actors.records import Event
from orchestrator.churn import SPARE, Act, Change
from orchestrator.config import RunConfig
from orchestrator.launcher import Launched, OpenReport, bring_up, create_newcomer


class DriverChurn:
    """A schedule of changes, and how far it is.

    Args:
        config: the run's.
        sink: opens the report, for newcomers.
        started: all participants that the driver started; newcomers are appended when they are there.
        changes: what is to happen.
    """

    def __init__(self, config: RunConfig, sink: OpenReport, started: list[Launched], changes: Sequence[Change]) -> None:
        self._config, self._sink, self._started = config, sink, started
        self._waiting = list(changes)
        self._began = 0.0
        self._joined = 0
        self._newcomers: dict[str, Launched] = {}
        """newcomer-N -> who it is."""
        self._news: list[Event] = []

    def watch(self, step: int, tell: Callable[[Event], None]) -> None:
        """Do what is due. `step`: the one under way; seconds count from the first commit."""
        now = time.monotonic()
        if step > 0:
            self._began = self._began or now
        for change in list(self._waiting):
            if change.step is not None:
                due = step > 0 and step >= change.step
            else:
                due = self._began > 0 and now - self._began >= (change.second or 0.0)
            if due and (change.act is Act.JOIN or self._found(change.who) is not None):
                self._waiting.remove(change)
                self._do(change)
        while self._news:
            tell(self._news.pop(0))

    def _do(self, change: Change) -> None:
        if change.act is Act.JOIN:
            self._joined += 1
            spare = change.who == SPARE
            newcomer = create_newcomer(self._config, self._sink, self._joined, spare=spare)
            others = list(self._started)
            self._started.append(newcomer)  # at once, so that whoever takes the run down ends it, too
            threading.Thread(target=self._join, args=(self._joined, newcomer, others), daemon=True).start()
            return
        entry = self._found(change.who)
        assert entry is not None
        if change.act is Act.LEAVE:
            entry.actor.leave.remote("asked to, by the schedule")
        else:
            self._say("removed", f"{entry.label} is ended for good, without a word")
            with contextlib.suppress(ray.exceptions.RayError, ValueError):
                ray.kill(entry.actor, no_restart=True)

    def _found(self, who: str) -> Launched | None:
        """A participant, None for a newcomer that has not started yet."""
        named = (one for one in list(self._started) if one.spec.name == who)
        return self._newcomers.get(who) or next(named, None)

    def _join(self, number: int, entry: Launched, others: list[Launched]) -> None:
        try:
            bring_up(self._config, entry, others)
        except Exception as error:  # a newcomer that cannot be started costs the run nothing
            self._say("join", f"newcomer {number} could not be started: {type(error).__name__}: {error}")
            with contextlib.suppress(ray.exceptions.RayError, ValueError):
                ray.kill(entry.actor, no_restart=True)
            return
        self._newcomers[f"newcomer-{number}"] = entry
        self._say("join", f"{entry.spec.name} has started and looks for the mesh")

    def _say(self, kind: str, detail: str) -> None:
        self._news.append(Event(time.time(), kind, "", detail))

    def missing(self) -> str:
        """Which changes never happened, in one sentence; empty when all did.

        How long a run takes nobody knows beforehand, so those by the clock may come too late.
        """
        late = ", ".join(str(change) for change in self._waiting if change.step is not None)
        return f"the run ended before these changes: {late}" if late else ""
