"""Many seeded runs with random faults; what every one of them has to keep.

    python -m orchestrator.simulation.step_seeds [--seeds N] [--first K] [--jobs J]
    python -m orchestrator.simulation.step_seeds --faults "kill leader at step 2 averaging" [--layout 3,3] [--first K]

Whatever happens, what is decided is unique, every microbatch is counted once a stage, nobody applies what is not
decided, and parameters are those of an undisturbed run. When the faults are over the run commits to its end, unless a
majority of the voters or all holders of a stage lost their memory: those runs are counted apart.
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any

from actors.faults.schedule import Fault as Scheduled
from actors.faults.schedule import parse_all
from actors.steps.context import LostStage
from actors.steps.participant import Participant
from orchestrator.simulation.faults import Fault
from orchestrator.simulation.network import Quality
from orchestrator.simulation.seeds import TOTAL, parser, run_seeds
from orchestrator.simulation.step_faults import random_faults, stage_dies
from orchestrator.simulation.step_world import BUILD_S, StepWorld
from orchestrator.simulation.trace import Trace

LAYOUTS = (
    *((1,), (3,), (5,), (1, 1, 1), (1, 2), (2, 1), (1, 2, 1), (2, 2), (2, 2), (3, 3), (3, 3)),
    *((2, 2, 2), (2, 2, 2), (3, 2, 3), (3, 3, 3), (3, 3, 3)),
)
FAULTS_S = 20.0
SETTLE_S = 3000.0
"""Before anything was measured a lost message costs six floors of patience a hop, and one loss may follow another."""


def names_of(layout: Sequence[int]) -> list[str]:
    """Of all participants of a world that begins with so many replicas of each stage."""
    return [f"s{stage}r{replica}" for stage, count in enumerate(layout) for replica in range(count)]


def build(seed: int, make: type[Participant] = Participant) -> tuple[StepWorld, list[Fault]]:
    """The world of a seed, and its faults."""
    rng = random.Random(seed)
    layout = rng.choice(LAYOUTS)
    quality = Quality(rng.choice([0.005, 0.02, 0.1]), rng.choice([0.0, 0.02, 0.1]))
    names = names_of(layout)
    needed = ("s0r0", f"s{len(layout) - 1}r0")
    poor = [name for name in names if name not in needed and rng.random() < 0.5] if rng.random() < 0.15 else []
    changes: dict[str, Any] = {
        "microbatches": rng.choice([2, 6, 9]),
        "in_flight": rng.choice([1, 3, 3, 8]),
        "floor_s": rng.choice([3.0, 10.0, 10.0]),
        "beat_s": rng.choice([0.3, 1.0, 1.0, 2.0]),
        "validate_every": rng.choice([0, 1, 2]),
    }
    disk = random.Random(f"disk {seed}")
    changes["keep_every"] = disk.choice([0, 1, 2, 3])
    changes["durable"] = disk.random() < 0.7
    changes["save_every"] = disk.choice([0, 1, 2])
    changes["lost_stage"] = disk.choice([LostStage.WAIT, LostStage.WAIT, LostStage.ROLLBACK])
    compute = rng.choice([0.1, 0.3, 0.8])
    world = StepWorld(seed, layout, quality, Trace(), make, None, compute, poor, **changes)
    faults = random_faults(rng, names, FAULTS_S, rng.choice([2, 4, 4, 8]))
    if disk.random() < 0.3:
        faults += stage_dies(disk, [name for name in names if name.startswith(f"s{disk.randrange(len(layout))}")], 25.0)
    return world, sorted(faults, key=lambda fault: fault.at)


def one(seed: int, make: type[Participant] = Participant, faults: Sequence[Fault] | None = None) -> Counter[str]:
    """Run the world of a seed. Returns what was reached. Raises Violation."""
    world, planned = build(seed, make)
    return play(world, planned if faults is None else faults, FAULTS_S)


def play(world: StepWorld, faults: Sequence[Fault], seconds: float) -> Counter[str]:
    """Let faults happen within so many seconds, and the run come to its end. As `one`."""
    for fault in faults:
        world.kernel.at(fault.at, world.begin, fault)
    world.run(seconds + 32.0)
    outcome = world.settle(SETTLE_S)
    reached = Counter({kind: 1 for kind in (*world.reached, *(f"note {kind}" for kind in world.notes))})
    reached[f"ended: {outcome or 'all committed'}"] += 1
    for kind, count in world.repairs.items():
        reached[f"{TOTAL}{kind}"] = count
    return reached


def scheduled(seed: int, layout: Sequence[int], faults: Sequence[Scheduled], steps: int) -> StepWorld:
    """An otherwise undisturbed world with a schedule as real runs take it. Raises Violation for what goes wrong."""
    world = StepWorld(seed, layout, trace=Trace(), steps=steps, validate_every=0)
    world.run(BUILD_S)
    world.schedule(faults)
    outcome = world.settle(SETTLE_S)
    if outcome or world.missing():
        raise world.violation(outcome or f"faults that never happened: {'; '.join(world.missing())}")
    return world


def main() -> int:
    """Run worlds and say how many seeds reached what."""
    options = parser(__doc__, 3000)
    options.add_argument("--layout", default="3,3", help="with --faults: replicas of each stage")
    options.add_argument("--steps", type=int, default=20, help="with --faults")
    options.add_argument("--faults", default="", help="a schedule as `simulate faults=` takes it, separated by `;`")
    given = options.parse_args()
    if not given.faults:
        return run_seeds(one, given)
    layout = [int(count) for count in given.layout.split(",")]
    places = [(f"s{stage}r{number}", stage, number) for stage, count in enumerate(layout) for number in range(count)]
    faults = parse_all([text.strip() for text in given.faults.split(";")], places, given.steps)
    world = scheduled(given.first, layout, faults, given.steps)
    for at, name, kind, detail in world.said:
        sys.stdout.write(f"{at:8.2f} {name} {kind}: {detail}\n")
    sys.stdout.write(f"all {len(faults)} faults happened, and all {given.steps} steps were committed\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
