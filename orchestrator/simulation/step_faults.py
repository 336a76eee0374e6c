"""Random faults for worlds of the step protocol."""

from __future__ import annotations

import random

from orchestrator.simulation.faults import DONE, Fault

KINDS = ("crash", "between", "pause", "cut", "one-way", "pair", "loss", "slow", "shard", "shard-pause")
"""pair: two that cannot reach each other, while everybody else reaches both."""


def random_faults(rng: random.Random, names: list[str], seconds: float, most: int = 4) -> list[Fault]:
    """Up to `most` faults within `seconds`. Processes that crash come back."""
    faults = []
    for _ in range(rng.randint(1, most)):
        kind = rng.choice(KINDS)
        at, length = rng.uniform(0.5, seconds), rng.choice([0.5, 3.0, 8.0, 20.0]) * rng.uniform(0.5, 1.5)
        who: tuple[str, ...] = (rng.choice(names),)
        value = 0.0
        if kind in ("cut", "one-way"):
            who = tuple(rng.sample(names, rng.randint(1, max(1, len(names) - 1))))
        elif kind == "pair" and len(names) > 1:
            who, length = tuple(rng.sample(names, 2)), 4 * length
        elif kind == "loss":
            who, value = (), rng.choice([0.05, 0.2])
        elif kind == "between":
            value = float(rng.choice(DONE))
        elif kind == "slow":
            value = rng.choice([5.0, 30.0])
        faults.append(Fault(at, kind, who, length, value))
    return sorted(faults, key=lambda fault: fault.at)


def stage_dies(rng: random.Random, names: list[str], seconds: float) -> list[Fault]:
    """All who hold a stage crash at nearly the same time within `seconds`, and come back one after the other."""
    at = rng.uniform(2.0, seconds)
    return [Fault(at + rng.uniform(0.0, 1.0), "crash", (name,), rng.uniform(1.0, 15.0)) for name in names]
