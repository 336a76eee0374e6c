"""Many seeded runs of whole participants under random faults; what every one of them has to keep.

    python -m orchestrator.simulation.joint_seeds [--seeds N] [--first K] [--jobs J]

Gossip mesh and step protocol run together here, in the runtime that real processes have (`runtime.world`), with kills,
deaths in the middle of an event, lost disks, vanished machines, pauses, cuts, loss, wrong clocks, joins and leaves.
Whatever happens: each microbatch counts once at each stage, only what a quorum has accepted is applied, replicas hold
equal bits, losses are those of a training in one process, no vote is forgotten, what gossip knows of the dead reaches
the committed view, and the run comes to its end when the faults are over, unless a majority has lost its votes.
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from functools import cache

from orchestrator.simulation.faults import DONE, Fault
from orchestrator.simulation.network import Quality
from orchestrator.simulation.runtime.faults import begin
from orchestrator.simulation.runtime.numpy_model import CountingTokens, Reference, reference
from orchestrator.simulation.runtime.world import RuntimeWorld, base_spec
from orchestrator.simulation.seeds import parser, run_seeds
from orchestrator.simulation.step_seeds import names_of
from orchestrator.simulation.trace import Trace

LAYOUTS = ((1, 1), (3,), (2, 2), (2, 2), (1, 1, 1), (3, 3), (3, 3), (2, 2, 2))
FAULTS_S = 40.0
"""Faults begin within this time."""
SETTLE_S = 3000.0
KINDS = ("crash", *["between"] * 3, "dark", "pause", "cut", "one-way", "pair", "loss", "shard", "slow")
STEPS, MICROBATCHES = (10, 16), (4, 6)


@cache
def _reference(stages: int, steps: int, microbatches: int) -> Reference:
    spec = base_spec(stages, 1, steps=steps, microbatches=microbatches)
    return reference(spec, CountingTokens(spec))


def plan(seed: int) -> list[Fault]:
    """What happens to the world of a seed."""
    rng = random.Random(f"faults {seed}")
    return random_faults(rng, layout_of(seed))


def layout_of(seed: int) -> tuple[int, ...]:
    """Replicas of each stage in the world of a seed."""
    return random.Random(f"layout {seed}").choice(LAYOUTS)


def build(seed: int) -> RuntimeWorld:
    """The world of a seed."""
    rng, layout = random.Random(seed), layout_of(seed)
    steps, microbatches = rng.choice(STEPS), rng.choice(MICROBATCHES)
    spec = base_spec(
        len(layout),
        min(layout),
        steps=steps,
        microbatches=microbatches,
        validate_every=rng.choice([0, 3]),
        keep_every=rng.choice([1, 2, 3]),
    )
    quality = Quality(rng.choice([0.005, 0.02, 0.1]), rng.choice([0.0, 0.02, 0.1]), rng.choice([0.0, 0.0, 0.02]))
    known = _reference(len(layout), steps, microbatches)
    return RuntimeWorld(seed, layout, spec, quality, rng.choice([0.4, 0.8]), Trace(), known)


def random_faults(rng: random.Random, layout: tuple[int, ...]) -> list[Fault]:
    """Up to six faults, newcomers and leavers. At most one is gone for good, where two others have its stage."""
    names = names_of(layout)
    faults = [_fault(rng, names) for _ in range(rng.randint(1, 6))]
    spared = [name for name in names if layout[int(name[1])] > 2]
    if spared and rng.random() < 0.4:
        kind = rng.choice(["crash", "dark", "between"])
        faults.append(Fault(rng.uniform(3.0, 20.0), kind, (rng.choice(spared),), 0.0))
    elif rng.random() < 0.3 and max(layout) > 1:
        name = rng.choice([name for name in names if layout[int(name[1])] > 1])
        faults.append(Fault(rng.uniform(5.0, FAULTS_S), "leave", (name,), 0.0))
    replaced = [name for name in names if layout[int(name[1])] > 1]
    if replaced and rng.random() < 0.4 and not any(fault.for_good for fault in faults):  # or a stage's state is lost
        wrong = rng.choice([0.0, 0.0, 3600.0])  # with a clock behind, its new life is below the one before
        faults.append(Fault(rng.uniform(3.0, FAULTS_S), "wipe", (rng.choice(replaced),), rng.uniform(1.0, 10.0), wrong))
    newcomers = [f"new{number}" for number in range(rng.choice([0, 0, 1, 2]))]
    faults += [Fault(rng.uniform(1.0, FAULTS_S), "arrive", (name,), 0.0) for name in newcomers]
    return sorted(faults, key=lambda fault: fault.at)


def _fault(rng: random.Random, names: list[str]) -> Fault:
    kind = rng.choice(KINDS)
    at, length = rng.uniform(0.5, FAULTS_S), rng.choice([0.5, 3.0, 8.0, 20.0]) * rng.uniform(0.5, 1.5)
    who: tuple[str, ...] = (rng.choice(names),)
    value = 0.0
    if kind in ("cut", "one-way"):
        who = tuple(rng.sample(names, rng.randint(1, max(1, len(names) - 1))))
    elif kind == "pair":
        who = tuple(rng.sample(names, 2))
    elif kind == "loss":
        who, value = (), rng.choice([0.05, 0.2])
    elif kind == "slow":
        value = rng.choice([5.0, 20.0])
    elif kind == "between":
        value = float(rng.choice(DONE))
    elif kind in ("crash", "dark"):
        value = rng.choice([0.0, 0.0, -7200.0, 90.0])
    return Fault(at, kind, who, length, value)


def one(seed: int) -> Counter[str]:
    """Run the world of a seed. Returns what was reached. Raises Violation."""
    return play(build(seed), plan(seed))


def play(world: RuntimeWorld, faults: list[Fault]) -> Counter[str]:
    """Let faults happen, and the run come to its end. As `one`."""
    with world:
        for fault in faults:
            world.kernel.at(fault.at, _happen, world, fault)
        world.run(FAULTS_S)
        outcome = world.settle(SETTLE_S)
        reached = Counter({kind: 1 for kind in (*world.reached, *(f"note {kind}" for kind in world.contract.notes))})
        return reached + Counter({f"ended: {outcome or 'all committed'}": 1})


def _happen(world: RuntimeWorld, fault: Fault) -> None:
    """A run that has not begun never begins without one of its first members: who goes for good waits for that."""
    if fault.for_good and 1 not in world.contract.decisions and not world.closed:
        world.kernel.after(1.0, _happen, world, fault)
    else:
        begin(world, fault)


def main() -> int:
    """Run worlds and say how many seeds reached what."""
    return run_seeds(one, parser(__doc__, 500).parse_args())


if __name__ == "__main__":
    sys.exit(main())
