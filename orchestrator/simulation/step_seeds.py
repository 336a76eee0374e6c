"""Many seeded runs with random faults; what every one of them has to keep.

    python -m orchestrator.simulation.step_seeds [--seeds N] [--first K] [--jobs J]

Whatever happens, what is decided is unique, every microbatch is counted once a stage, nobody applies what is not
decided, and parameters are those of an undisturbed run. When the faults are over the run commits to its end, unless a
majority of the voters or all holders of a stage lost their memory: those runs are counted apart.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import Counter
from collections.abc import Sequence

from actors.steps.participant import Participant
from orchestrator.simulation.faults import Fault
from orchestrator.simulation.network import Quality
from orchestrator.simulation.seeds import many
from orchestrator.simulation.step_world import StepWorld, random_faults
from orchestrator.simulation.trace import Trace

LAYOUTS = ((1,), (3,), (2, 2), (1, 2), (3, 3), (2, 2, 2), (3, 2, 3), (3, 3, 3))
FAULTS_S = 20.0
SETTLE_S = 3000.0
"""Before anything was measured a lost message costs six floors of patience a hop, and one loss may follow another."""


def build(seed: int, make: type[Participant] = Participant) -> tuple[StepWorld, list[Fault]]:
    """The world of a seed, and its faults."""
    rng = random.Random(seed)
    layout = rng.choice(LAYOUTS)
    quality = Quality(rng.choice([0.005, 0.02, 0.1]), rng.choice([0.0, 0.02, 0.1]))
    compute = rng.choice([0.1, 0.3, 0.8])
    world = StepWorld(seed, layout, quality, Trace(), make, None, compute, microbatches=rng.choice([2, 6, 9]))
    return world, random_faults(rng, [member.name for member in world.members], FAULTS_S)


def one(seed: int, make: type[Participant] = Participant, faults: Sequence[Fault] | None = None) -> Counter[str]:
    """Run the world of a seed. Returns what was reached. Raises Violation."""
    world, planned = build(seed, make)
    for fault in planned if faults is None else faults:
        world.kernel.at(fault.at, world.begin, fault)
    world.run(FAULTS_S + 32.0)
    outcome = world.settle(SETTLE_S)
    reached = Counter({kind: 1 for kind in (*world.reached, *(f"note {kind}" for kind in world.notes))})
    reached[f"ended: {outcome or 'all committed'}"] += 1
    return reached


def main() -> int:
    """Run worlds and say how many seeds reached what."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()
    if given.seeds == 1:
        one(given.first)
    reached, broken = many(one, range(given.first, given.first + given.seeds), given.jobs)
    for kind, count in sorted(reached.items()):
        sys.stdout.write(f"{count:6} seeds reached {kind}\n")
    sys.stdout.write(f"{given.seeds} seeds, {len(broken)} broken\n")
    for failure in broken[:20]:
        sys.stdout.write(f"{failure}\n")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
