"""A run on machines that come and go as real ones did: a trace of spot instances, replayed in virtual time.

The real step protocol runs; computing takes time as on real shards (a backward pass twice a forward one), and a joiner
takes minutes to build its stage and to fetch its state. Who is removed is gone without a word.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from actors.steps.jobs import Job, JobKind
from orchestrator.churn import TraceLine
from orchestrator.simulation.elastic_world import ElasticWorld
from orchestrator.simulation.network import Quality
from orchestrator.simulation.world import Condition

WORK = {JobKind.FORWARD: 1 / 3, JobKind.EVALUATE: 1 / 3, JobKind.BACKWARD: 2 / 3, JobKind.LOSS: 1.0}
"""Shares of the work of a microbatch."""
STALL_S = 60.0
LOOK_S = 10.0
"""Who is there is looked at so often."""
FAR = 1_000_000
"""Steps: the trace ends first."""


@dataclass(frozen=True)
class TraceSetting:
    """The run that a trace is replayed on."""

    stages: int = 4
    microbatches: int = 256
    compute_s: float = 0.75
    """Work of one microbatch at one stage, forward and backward."""
    load_s: float = 45.0
    """A joiner fetches its state so long: 200 MB at about 40 Mbit/s."""
    delay_s: float = 0.05
    max_share: float = 0.5
    seed: int = 1


class TraceWorld(ElasticWorld):
    """Machines of a trace. Those of its first second begin the run; others join it."""

    def __init__(self, setting: TraceSetting, first: int) -> None:
        layout = [first // setting.stages + (stage < first % setting.stages) for stage in range(setting.stages)]
        super().__init__(
            setting.seed,
            layout,
            Quality(setting.delay_s, setting.delay_s / 2),
            compute_s=setting.compute_s,
            steps=FAR,
            microbatches=setting.microbatches,
            in_flight=2 * setting.stages,
            validate_every=0,
            floor_s=40.0,
            beat_s=2.0,
            max_share=setting.max_share,
        )
        self.load_s = setting.load_s

    def _seconds(self, job: Job) -> float:
        return self._compute_s * WORK[job.kind] * self.kernel.rng.uniform(0.9, 1.1)


@dataclass
class TraceResult:
    """What a replay shows."""

    commits: int = 0
    moves: int = 0
    stalls: int = 0
    """Commits that came more than `STALL_S` later than in an undisturbed run of as many machines, although every stage
    had a replica all the time."""
    empty_s: float = 0.0
    """Seconds in which some stage had no replica that held anything."""
    goodput: float = 0.0
    """Committed steps over those that undisturbed runs of as many machines as were there would have committed."""
    utilisation: float = 0.0
    """Committed work over that of all machines computing all the time, pipeline bubbles and averaging left out."""
    mean_machines: float = 0.0
    seconds: float = 0.0
    outcome: str = ""


def undisturbed_step(setting: TraceSetting, machines: int) -> float:
    """Seconds of a step of an undisturbed run on so many machines, spread evenly over the stages."""
    world = TraceWorld(setting, machines)
    until = 3600.0
    while len(world.committed_at) < 5 and world.now < until:
        world.run(5.0)
    return (world.committed_at[4] - world.committed_at[1]) / 3


class Replay:
    """A trace on its way through a world.

    Args:
        lines: the trace.
        setting: the run.
        hours: how much of it; 0: all.
    """

    def __init__(self, lines: Sequence[TraceLine], setting: TraceSetting, hours: float = 0.0) -> None:
        self._setting, begin = setting, lines[0].second
        first = [line for line in lines if line.add and line.second - begin < 1.0]
        rest = [line for line in lines if line not in first]
        whole = (rest[-1].second if rest else begin) - begin
        self.end = min(whole, 3600 * hours) if hours else whole
        self.world = TraceWorld(setting, len(first))
        names = {line.node: node.name for line, node in zip(first, list(self.world.nodes.values()), strict=True)}
        for line in rest:
            names.setdefault(line.node, line.node)
            act = _arrive if line.add else _remove
            self.world.kernel.at(line.second - begin, act, self.world, names[line.node])
        self._steps: dict[int, float] = {}
        """Machines -> seconds of an undisturbed step."""
        self._possible = self._machine_s = 0.0
        self._empty: list[tuple[float, float]] = []
        self._looks: list[tuple[float, int]] = []
        """(Time, machines that were there)."""

    def run(self, tell: Callable[[str], None] = lambda text: None) -> TraceResult:
        """Replay it. Raises Violation where something is not as it should be."""
        told = time.monotonic()
        while self.world.now < self.end:
            self._piece(min(LOOK_S, self.end - self.world.now))
            if time.monotonic() - told > 5.0:
                told = time.monotonic()
                done = f"{self.world.now / 3600:.1f} of {self.end / 3600:.1f} h"
                tell(f"{done}, {len(self.world.committed_at)} steps, {len(self.world.up())} machines")
        return self._result()

    def _piece(self, span: float) -> None:
        world, stages = self.world, self._setting.stages
        machines = len(world.up())
        if machines >= stages:
            self._possible += span / self._step_of(machines)
        self._machine_s += machines * span
        self._looks.append((world.now, machines))
        began = world.now
        world.run(span)
        held = {world.stage(node) for node in world.up() if world.core(node).commit >= 0}
        if len(held & set(range(stages))) < stages:
            self._empty.append((began, world.now))

    def _step_of(self, machines: int) -> float:
        if machines not in self._steps:
            self._steps[machines] = undisturbed_step(self._setting, machines)
        return self._steps[machines]

    def _usual(self, begin: float, end: float) -> float:
        """Seconds of an undisturbed step of the fewest machines that were there in that time."""
        there = [machines for at, machines in self._looks if begin - LOOK_S <= at <= end]
        return self._step_of(max(self._setting.stages, min(there, default=self._setting.stages)))

    def _result(self) -> TraceResult:
        world, setting = self.world, self._setting
        times = [world.committed_at[step] for step in sorted(world.committed_at)]
        gaps = list(pairwise([*times, world.now]))
        late = [gap for gap in gaps if gap[1] - gap[0] > self._usual(*gap) + STALL_S]
        work = len(times) * setting.microbatches * setting.stages * setting.compute_s
        return TraceResult(
            commits=len(times),
            moves=world.moved,
            stalls=sum(not any(begin < gap[1] and end > gap[0] for begin, end in self._empty) for gap in late),
            empty_s=sum(end - begin for begin, end in self._empty),
            goodput=len(times) / self._possible if self._possible else 0.0,
            utilisation=work / self._machine_s if self._machine_s else 0.0,
            mean_machines=self._machine_s / self.end if self.end else 0.0,
            seconds=self.end,
            outcome=world.hopeless(),
        )


def _arrive(world: TraceWorld, name: str) -> None:
    world.arrive(name)
    world.review()


def _remove(world: TraceWorld, name: str) -> None:
    node = world.named(name)
    if node.condition is not Condition.CRASHED:
        world.forgot = True
        world.crash(node)
        world.review()
