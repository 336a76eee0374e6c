"""What can happen to a world: random faults, and schedules as real runs take them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from actors.faults.schedule import Fault as Scheduled
from actors.faults.schedule import Part, Phase, What
from actors.faults.trigger import Trigger, phases_of
from actors.records import CommitRecord
from actors.steps import events
from actors.steps.context import StepSetup
from orchestrator.simulation.exact_model import Engine
from orchestrator.simulation.faults import Fault
from orchestrator.simulation.keeping_world import KeepingWorld
from orchestrator.simulation.network import Quality
from orchestrator.simulation.trace import Trace
from orchestrator.simulation.world import Condition, Node

RESTART_S = 2.0
"""A killed process is back after so long where its fault does not say."""


class FaultyWorld(KeepingWorld):
    """Faults, and when they are due. See `KeepingWorld` for the arguments."""

    def __init__(self, seed: int, quality: Quality, trace: Trace | None, setup: StepSetup, durable: bool) -> None:
        super().__init__(seed, quality, trace, setup, durable)
        self._losses = 0
        self._scheduled: tuple[Scheduled, ...] = ()
        self._triggers: dict[str, Trigger] = {}
        self._struck: set[tuple[int, str]] = set()
        self._cuts: set[int] = set()
        self._stalled: dict[str, float] = {}
        self.forgot = False
        """Whether any process or shard has lost its memory."""
        self.engines: dict[str, Engine] = {}
        self.decided: dict[int, CommitRecord] = {}
        """Step -> its record."""
        self.reached: Counter[str] = Counter()

    def named(self, name: str) -> Node:
        """The node of that name."""
        return next(node for node in self.nodes.values() if node.name == name)

    def review(self, *, at_once: bool = False) -> None:
        """Something changed: everybody notices after a while, if it is still so then."""
        raise NotImplementedError

    def lose_shards(self, node: Node, reason: str) -> None:
        """The node's shards are gone; its process builds new ones."""
        raise NotImplementedError

    def schedule(self, faults: Sequence[Scheduled]) -> None:
        """Take a schedule as real runs do; seconds count from now."""
        self._scheduled = tuple(faults)
        for node in self.nodes.values():
            trigger = self._triggers[node.peer] = Trigger(faults, *self._place(node))
            for number, fault in trigger.timed():
                self.kernel.at(self.now + (fault.second or 0.0), self._strike, node, number, fault, False)

    def _place(self, node: Node) -> tuple[str, int, int]:
        return node.name, self.stage(node), int(node.name.partition("r")[2])

    def missing(self) -> list[str]:
        """Scheduled faults that have not happened."""
        places = [self._place(node) for node in self.nodes.values()]
        return [
            f"{fault}: {whom}"
            for number, fault in enumerate(self._scheduled)
            for whom in fault.hit(places)
            if (number, whom) not in self._struck
        ]

    def give(self, node: Node, event: Any) -> None:
        """Let a node handle an event; scheduled faults see in which step it is then."""
        super().give(node, event)
        core, trigger = self.core(node), self._triggers.get(node.peer)
        if trigger is not None and node.condition is Condition.UP and core.context.workers and not core.finished:
            for number, fault in trigger.due(core.step, Phase.BEGIN, leads=core.leads):
                self.kernel.after(0.0, self._strike, node, number, fault, True)

    def pause(self, node: Node, seconds: float) -> None:
        """Its process stops, and knows afterwards for how long."""
        if node.condition is Condition.UP:
            self._stalled[node.peer] = seconds
        super().pause(node, seconds)

    def tick(self, node: Node) -> events.Event:
        """A late one tells of the pause."""
        return events.Tick(self._stalled.pop(node.peer, 0.0))

    def _watch_phases(self, node: Node, effect: Any) -> None:
        core, trigger = self.core(node), self._triggers.get(node.peer)
        for phase in phases_of(effect) if trigger is not None else ():
            assert trigger is not None
            step = getattr(effect, "step", core.step)
            led = record_leader(self.decided.get(step)) == node.name
            for number, fault in trigger.due(step, phase, leads=led or core.leads):
                self.kernel.after(0.0, self._strike, node, number, fault, True)

    def _strike(self, node: Node, number: int, fault: Scheduled, leads: bool) -> None:
        mine = fault.means(*self._place(node))
        whom = node.name if mine else "leader"
        if (number, whom) in self._struck or not (mine or leads or self.core(node).leads):
            return
        self._struck.add((number, whom))
        self.say(node, ("fault", str(fault)))
        others = [other.name for other in self.nodes.values() if fault.means(*self._place(other))]
        shard = fault.part is Part.SHARD
        kinds = {
            What.KILL: "shard" if shard else "crash",
            What.FREEZE: "shard-pause" if shard else "pause",
            What.SLOW: "slow",
            What.PARTITION: "cut",
            What.ONE_WAY: "one-way",
        }
        who = tuple({node.name, *others}) if fault.what in (What.PARTITION, What.ONE_WAY) else (node.name,)
        if fault.what in (What.PARTITION, What.ONE_WAY) and mine and number in self._cuts:
            return  # one cut separates all who are named
        self._cuts.add(number)
        seconds = fault.seconds or RESTART_S
        self.begin(Fault(self.now, kinds[fault.what], who, seconds, fault.factor))
        if fault.what is What.FREEZE and fault.part is Part.PARTICIPANT:
            self.begin(Fault(self.now, "shard-pause", who, seconds))

    def begin(self, fault: Fault) -> None:
        """Let a fault happen now."""
        self.reached[f"{fault.kind} / {self.where(fault)}"] += 1
        who = [self.named(name) for name in fault.who]
        peers = [node.peer for node in who]
        rest = [peer for peer in self.nodes if peer not in peers]
        match fault.kind:
            case "crash":
                self.forgot = True
                self.crash(who[0])
                if fault.seconds:
                    self.kernel.after(fault.seconds, self.restart_later, who[0])
            case "between":
                self.forgot = True
                self.crash_between(who[0], int(fault.value), lambda: self._died_between(who[0], fault.seconds))
            case "pause":
                self.pause(who[0], fault.seconds)
                self.kernel.after(fault.seconds + 0.001, self.review)
            case "cut" | "one-way" | "pair":
                if fault.kind == "pair":
                    peers, rest = peers[:1], peers[1:]
                number = self.network.cut(peers, rest, both=fault.kind != "one-way")
                self.kernel.after(fault.seconds, self._heal, number)
            case "loss":
                usual = self.network.quality
                self._losses += 1
                self.network.quality = Quality(usual.delay_s, usual.jitter_s, fault.value, 0.1, 0.2)
                self.kernel.after(fault.seconds, self._calm)
            case "slow":
                self.engines[who[0].peer].speed = fault.value
                self.kernel.after(fault.seconds, self._quick, who[0].peer)
            case "shard":
                self.lose_shards(who[0], f"the shard of {who[0].name} was killed")
            case "shard-pause":
                engine = self.engines[who[0].peer]
                engine.paused_until = self.now + fault.seconds
        self.review()

    def _died_between(self, node: Node, seconds: float) -> None:
        self.reached["death between effects"] += 1
        if seconds:
            self.kernel.after(seconds, self.restart_later, node)
        self.review()

    def restart_later(self, node: Node) -> None:
        """Start it again, if it is down."""
        if node.condition is Condition.CRASHED:
            self.restart(node, memory=True)

    def _heal(self, number: int) -> None:
        self.network.heal(number)
        self.review()

    def _calm(self) -> None:
        self._losses -= 1
        if not self._losses:
            usual = self.network.quality
            self.network.quality = Quality(usual.delay_s, usual.jitter_s)

    def _quick(self, peer: str) -> None:
        self.engines[peer].speed = 1.0

    def where(self, fault: Fault) -> str:
        """In which state a fault meets the run: what the leader is doing, and whether it is the leader."""
        leaders = [n for n in self.up() if self.core(n)._leader.at.value != "idle"]
        if not leaders:
            return "nobody leads"
        at = self.core(leaders[0])._leader.at.value
        applying = any(self.core(n).context.applying is not None for n in self.up())
        who = "leader" if any(n.name in fault.who for n in leaders) else "member"
        return f"{who} in {'apply' if applying else at}"


def record_leader(record: CommitRecord | None) -> str:
    """Who led a step that is decided."""
    return record.leader if record is not None else ""
