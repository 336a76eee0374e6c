"""Fault schedules as users write them (`actors.faults.schedule`), in a world of whole participants."""

from __future__ import annotations

from collections.abc import Sequence

from actors.faults.schedule import DRIVER, LEADER, Part, Phase, What
from actors.faults.schedule import Fault as Scheduled
from actors.faults.trigger import Trigger, phases_of
from actors.steps import effects
from orchestrator.simulation.faults import Fault
from orchestrator.simulation.runtime.faults import begin
from orchestrator.simulation.runtime.home import Home
from orchestrator.simulation.runtime.world import RuntimeWorld

BACK_S = 3.0
"""A process that was killed is back after so long, where the fault does not say."""


class Schedule:
    """Makes scheduled faults happen at their phase of a step, as `Injector` does to real processes.

    Args:
        world: whose `watch` is taken.
        faults: the schedule. Faults of the driver are left out: a world has none.
    """

    def __init__(self, world: RuntimeWorld, faults: Sequence[Scheduled]) -> None:
        self._world = world
        self._faults = [fault for fault in faults if DRIVER not in fault.who]
        self._triggers: dict[str, Trigger] = {}
        self.happened: set[tuple[int, str]] = set()
        """(Number of the fault, whom it hit)."""
        world.watch = self._watch

    def _place(self, home: Home) -> tuple[str, int, int]:
        return home.name, home.spec.stage.index, home.spec.replica

    def missing(self) -> list[str]:
        """Faults that have not happened."""
        places = [self._place(home) for home in self._world.homes.values()]
        return [
            f"{fault}: {whom}"
            for number, fault in enumerate(self._faults)
            for whom in fault.hit(places)
            if (number, whom) not in self.happened
        ]

    def _watch(self, home: Home, effect: effects.Effect) -> None:
        participant = home.participant
        assert participant is not None
        trigger = self._triggers.setdefault(home.peer, Trigger(self._faults, *self._place(home)))
        step = getattr(effect, "step", participant.step)
        phases = (*phases_of(effect), *((Phase.BEGIN,) if participant.context.workers else ()))
        for phase in phases:
            for number, fault in trigger.due(step, phase, leads=participant.leads):
                self._strike(home, number, fault)

    def _strike(self, home: Home, number: int, fault: Scheduled) -> None:
        mine = fault.means(*self._place(home))
        whom = home.name if mine else LEADER
        cut = fault.what in (What.PARTITION, What.ONE_WAY)
        again = (number, whom) in self.happened
        first = not any(done == number for done, _ in self.happened)
        self.happened.add((number, whom))
        if again or (cut and not first):
            return  # one cut separates all who are named
        self._world.say(home, str(fault))
        for simulated in self._simulated(home, fault):
            if simulated.kind == "crash":
                begin(self._world, simulated)  # at once: the process dies before this effect
            else:
                self._world.kernel.after(0.0, begin, self._world, simulated)

    def _simulated(self, home: Home, fault: Scheduled) -> list[Fault]:
        """What happens to the home, as faults of a world."""
        now, who = self._world.now, (home.name,)
        shard = fault.part is Part.SHARD
        match fault.what:
            case What.KILL if shard:
                return [Fault(now, "shard", who, 0.0)]
            case What.KILL:
                return [Fault(now, "crash", who, fault.seconds or BACK_S)]
            case What.FREEZE:
                both = fault.part is Part.PARTICIPANT
                kinds = ["shard-pause"] if shard else ["shard-pause", "pause"] if both else ["pause"]
                return [Fault(now, kind, who, fault.seconds) for kind in kinds]
            case What.SLOW:
                return [Fault(now, "slow", who, fault.seconds, fault.factor)]
        named = {other.name for other in self._world.homes.values() if fault.means(*self._place(other))} | set(who)
        kind = "cut" if fault.what is What.PARTITION else "one-way"
        return [Fault(now, kind, tuple(sorted(named)), fault.seconds)]
