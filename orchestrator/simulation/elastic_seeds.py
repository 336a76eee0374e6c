"""Many seeded runs that grow and shrink under faults; what every one of them has to keep.

    python -m orchestrator.simulation.elastic_seeds [--seeds N] [--first K] [--jobs J]

As in `step_seeds`, and besides: nobody ever gets stages beyond its share, an assignment is never forgotten, one replica
moves at a time and empties no stage, whoever joins works with the bits of its peers, and who leaves costs nothing.
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from typing import Any

from actors.steps.context import LostStage
from actors.steps.participant import Participant
from orchestrator.simulation.elastic_world import ElasticWorld
from orchestrator.simulation.faults import Fault
from orchestrator.simulation.network import Quality
from orchestrator.simulation.seeds import parser, run_seeds
from orchestrator.simulation.step_faults import random_faults
from orchestrator.simulation.step_seeds import names_of, play
from orchestrator.simulation.trace import Trace

LAYOUTS = ((1, 1), (2, 1), (1, 3), (2, 2), (4, 1), (1, 1, 1), (2, 1, 2), (3, 3), (2, 2, 2))
CHANGES_S = 40.0
"""Newcomers and leavers come within this time."""


def build(seed: int, make: type[Participant] = Participant) -> tuple[ElasticWorld, list[Fault]]:
    """The world of a seed, and what happens to it."""
    rng = random.Random(seed)
    layout = rng.choice(LAYOUTS)
    quality = Quality(rng.choice([0.005, 0.02, 0.1]), rng.choice([0.0, 0.02, 0.1]))
    changes: dict[str, Any] = {
        "steps": rng.choice([8, 20]),
        "microbatches": rng.choice([4, 6, 9]),
        "floor_s": rng.choice([3.0, 10.0]),
        "beat_s": rng.choice([0.3, 1.0, 2.0]),
        "validate_every": rng.choice([0, 3]),
        "max_share": rng.choice([1.0 / len(layout), 0.7, 1.0]),
        "smallest_chunk": rng.choice([1, 2, 5]),
    }
    disk = random.Random(f"disk {seed}")
    changes["keep_every"] = disk.choice([0, 1, 3, 5])
    changes["durable"] = disk.random() < 0.7
    changes["save_every"] = disk.choice([0, 2, 5])
    changes["lost_stage"] = disk.choice([LostStage.WAIT, LostStage.ROLLBACK])
    world = ElasticWorld(seed, layout, quality, Trace(), make, None, rng.choice([0.1, 0.3]), **changes)
    names = names_of(layout)
    faults = []
    for number in range(rng.randint(1, 4)):
        names.append(f"new{number}")
        faults.append(Fault(rng.uniform(1.0, CHANGES_S), "arrive", (f"new{number}",), 0.0))
    leavers = rng.sample(names, rng.randint(0, min(3, len(names) - 1)))
    faults += [Fault(rng.uniform(5.0, CHANGES_S), "leave", (name,), 0.0) for name in leavers]
    if rng.random() < 0.7:
        faults += random_faults(rng, names, CHANGES_S, rng.choice([1, 2, 4]))
    return world, sorted(faults, key=lambda fault: fault.at)


def one(seed: int, make: type[Participant] = Participant) -> Counter[str]:
    """Run the world of a seed. Returns what was reached. Raises Violation."""
    return play(*build(seed, make), CHANGES_S)


def main() -> int:
    """Run worlds and say how many seeds reached what."""
    return run_seeds(one, parser(__doc__, 600).parse_args())


if __name__ == "__main__":
    sys.exit(main())
