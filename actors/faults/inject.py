"""Makes scheduled faults happen to one real participant: signals to its processes, cuts of its links."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from actors.faults import signals
from actors.faults.log import FaultLog
from actors.faults.schedule import Fault, Part, Phase, What
from actors.faults.trigger import Trigger, phases_of
from actors.records import Event
from actors.spec import ParticipantSpec
from actors.steps import effects


class Victim(Protocol):
    """What a participant lets happen to itself."""

    def shard_processes(self) -> list[int]:
        """Process ids of its shards."""

    def slow_down(self, factor: float, seconds: float) -> None:
        """Let its shards take so many times the time."""

    def cut_off(self, keep: Callable[[str, int, int], bool] | None, *, both: bool) -> None:
        """Cut its links to all but those whose (name, stage, replica) are kept; None heals."""


class Faults(Protocol):
    """What a participant tells about its course, so that faults can happen to it at a chosen moment."""

    def training(self) -> None:
        """Training goes on."""

    def step(self, step: int, *, leads: bool) -> None:
        """The participant is in this step."""

    def before(self, effect: effects.Effect, step: int, *, leads: bool) -> None:
        """The participant is about to do this."""

    def close(self) -> None:
        """Nothing happens from now on."""


class Injector:
    """Watches what a participant does, and strikes when a fault is due.

    A fault is written down before it happens: whoever is killed cannot tell. What has happened to an earlier process of
    this participant does not happen again.
    """

    def __init__(self, spec: ParticipantSpec, victim: Victim) -> None:
        self._name, self._victim = spec.name, victim
        self._place = (spec.name, spec.stage.index, spec.replica)
        self._trigger = Trigger(spec.faults, *self._place)
        self._log = FaultLog(Path(spec.faults_folder))
        self._timers: list[asyncio.TimerHandle] | None = None
        self._cuts = 0

    def close(self) -> None:
        """Nothing happens from now on."""
        for timer in self._timers or ():
            timer.cancel()

    def training(self) -> None:
        """Training goes on: faults at a second have their time from here."""
        if self._timers is None:
            loop = asyncio.get_running_loop()
            since = time.time() - self._log.began()
            self._timers = [
                loop.call_later(max(0.0, (fault.second or 0.0) - since), self._strike, number, fault, "")
                for number, fault in self._trigger.timed()
            ]

    def step(self, step: int, *, leads: bool) -> None:
        """The participant is in this step."""
        for number, fault in self._trigger.due(step, Phase.BEGIN, leads=leads):
            self._strike(number, fault, f"in step {step}")

    def before(self, effect: effects.Effect, step: int, *, leads: bool) -> None:
        """The participant is about to do this."""
        for phase in phases_of(effect):
            for number, fault in self._trigger.due(step, phase, leads=leads):
                where = f"in step {step}, {phase}"
                if phase is Phase.PREPARED:  # the report gets out first
                    asyncio.get_running_loop().call_later(0.002, self._strike, number, fault, where)
                else:
                    self._strike(number, fault, where)

    def _strike(self, number: int, fault: Fault, where: str) -> None:
        mine = fault.means(*self._place)
        detail = f"{fault}: happens to {self._name} {where}".strip()
        if not self._log.claim(
            number, self._name if mine else "leader", Event(time.time(), "fault", self._name, detail)
        ):
            return
        shards, own = self._victim.shard_processes(), [os.getpid()]
        targets = {Part.SHARD: shards, Part.MESH: own, Part.PARTICIPANT: [*shards, *own]}[fault.part]
        match fault.what:
            case What.KILL:
                signals.kill(targets)
            case What.FREEZE:
                signals.freeze(targets, fault.seconds)
            case What.SLOW:
                self._victim.slow_down(fault.factor, fault.seconds)
            case What.PARTITION | What.ONE_WAY:
                self._cut(fault)

    def _cut(self, fault: Fault) -> None:
        def keep(name: str, stage: int, replica: int) -> bool:
            return name == self._name or fault.means(name, stage, replica)

        self._cuts += 1
        self._victim.cut_off(keep, both=fault.what is What.PARTITION)
        asyncio.get_running_loop().call_later(fault.seconds, self._heal, self._cuts)

    def _heal(self, number: int) -> None:
        if number == self._cuts:  # a newer cut has taken its place
            self._victim.cut_off(None, both=True)


def injector_for(spec: ParticipantSpec, victim: Victim) -> Faults | None:
    """The injector of a participant that may be hit; None where nothing is scheduled."""
    faults: Sequence[Fault] = spec.faults
    return Injector(spec, victim) if faults else None
