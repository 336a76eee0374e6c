"""Many seeded worlds of one small mesh each, with random faults; what every one of them has to keep.

    python -m orchestrator.simulation.membership_seeds [--seeds N] [--first K] [--jobs J] [--trace]

Two kinds of worlds take turns. In rough ones anything happens, and afterwards all views must be equal, within a bound.
In mild ones nobody is ever silent for as long as the suspicion lasts, so nobody may be declared dead at all.
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from collections.abc import Callable, Iterable

from actors.membership.profile import MEMBERSHIP_PROFILES, MembershipProfile
from orchestrator.simulation import seeds as seeds_of
from orchestrator.simulation.faults import Fault, random_schedule
from orchestrator.simulation.membership_world import MembershipWorld, settle_bound
from orchestrator.simulation.network import Quality
from orchestrator.simulation.trace import Trace

FAULTS_S = 25.0
MOST_MESSAGES_PER_S = 200
"""No member sends more in any second, whatever happens, in meshes of up to ten."""


def rough(seed: int, profile: MembershipProfile | None = None) -> Counter[str]:
    """Anything happens; afterwards everybody agrees. Returns what was reached. Raises Violation."""
    rng = random.Random(seed)
    chosen = profile or MEMBERSHIP_PROFILES[rng.choice(["lan", "lan", "local", "wan"])]
    nodes = rng.randint(2, 10)
    quality = Quality(rng.choice([0.001, 0.02, 0.15]), rng.choice([0.0, 0.02, 0.1]))
    formed = rng.random() < 0.7
    world = MembershipWorld(seed, nodes, chosen, quality, Trace(), formed=formed)
    faults = random_schedule(rng, [f"n{number}" for number in range(nodes)], FAULTS_S)
    if not formed:  # those whose only address is a founder who was never there cannot find each other
        faults = [fault for fault in faults if not (fault.for_good and "n0" in fault.who)]
    world.schedule(faults)
    if rng.random() < 0.3:
        world.kernel.after(rng.uniform(0, FAULTS_S), _join, world, rng)
    world.run(max([FAULTS_S, *(fault.at + fault.seconds for fault in faults)]) + 0.1)
    world.network.heal_all()
    world.settle(settle_bound(chosen, len(world.nodes)))
    _check_rate(world)
    reached = Counter({kind: 1 for kind in world.reached})
    reached[f"profile {chosen.name}"] += 1
    return reached


def _join(world: MembershipWorld, rng: random.Random) -> None:
    present = [node for node in world.present() if node.name not in world.doomed]
    if present:
        world.reached["join"] += 1
        world.join(rng.choice(present))


def mild(seed: int, profile: MembershipProfile | None = None) -> Counter[str]:
    """Loss, duplicates, reordering, and pauses shorter than any verdict takes: nobody dies. Raises Violation."""
    rng = random.Random(seed)
    chosen = profile or MEMBERSHIP_PROFILES[rng.choice(["lan", "wan"])]
    nodes = rng.randint(3, 12)
    quality = Quality(0.02, 0.02, loss=0.02, duplicate=0.02, reorder=0.05)
    world = MembershipWorld(seed, nodes, chosen, quality, Trace())
    longest = chosen.suspicion_s - 0.5  # every ping and answer before it may be lost
    at = 1.0
    for _ in range(4):
        at += rng.uniform(0.5, 3.0)
        seconds = longest * rng.uniform(0.8, 1.0)
        world.schedule([Fault(at, "pause", (f"n{rng.randrange(nodes)}",), seconds)])
        at += seconds
    world.run(at + 3 * longest)
    if world.reached["dead"]:
        raise world.violation(f"{world.reached['dead']} verdicts, though nobody was silent for {longest:.1f} s")
    world.settle(settle_bound(chosen, nodes))
    _check_rate(world)
    return Counter({kind: 1 for kind in world.reached}) + Counter({"mild": 1})


def _check_rate(world: MembershipWorld) -> None:
    if world.busiest > MOST_MESSAGES_PER_S:
        raise world.violation(f"a member sent {world.busiest} messages in one second")


def one(seed: int) -> Counter[str]:
    """The world of a seed."""
    return mild(seed) if seed % 4 == 3 else rough(seed)


def many(
    seeds: Iterable[int], jobs: int, tell: Callable[[str], None] = lambda text: None
) -> tuple[Counter[str], list[str]]:
    """Run worlds on several processors; returns in how many each thing was reached, and what broke."""
    return seeds_of.many(one, seeds, jobs, tell)


def main() -> int:
    """Run worlds and say how many seeds reached what."""
    return seeds_of.run_seeds(one, seeds_of.parser(__doc__, 2000).parse_args())


if __name__ == "__main__":
    sys.exit(main())
