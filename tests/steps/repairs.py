"""How often worlds repair something: a fault that a second check repairs bends no invariant, but it moves a number."""

from __future__ import annotations

import math
from collections import Counter

from orchestrator.simulation.seeds import TOTAL

RANGES: dict[str, tuple[float, float]] = {
    "reset": (0.08, 0.30),
    "rerouted": (0.9, 2.0),
    "replaced": (0.6, 1.8),
    "excluded": (0.25, 0.9),
    "averaging": (0.13, 0.45),
    "leader": (0.6, 1.6),
    "slow": (0.0, 0.15),
    "refused": (0.0, 0.05),
    "damaged": (0.0, 0.0),
    "ignored: an offer that is not needed, or does not fit": (0.01, 0.25),
    "ignored: a microbatch that another one drives now": (0.01, 0.2),
    "ignored: a repeated activation": (0.01, 0.2),
    "ignored: a late gradient": (0.05, 0.4),
    "ignored: work from somebody without a vote": (0.01, 0.25),
}
"""What happens so often in a world of `step_seeds`, at least and at most; nothing damages data there. Seen over three
times 300 worlds, with a third to spare on both sides."""


def out_of_range(counts: Counter[str], seeds: int) -> dict[str, float]:
    """Kinds whose rate in so many worlds is out of its range -> the rate. Few worlds scatter more: by four sigma."""
    wrong = {}
    for kind, (low, high) in RANGES.items():
        found = counts[f"{TOTAL}{kind}"]
        if not low * seeds - 4 * math.sqrt(low * seeds) <= found <= high * seeds + 4 * math.sqrt(high * seeds):
            wrong[kind] = found / seeds
    return wrong
