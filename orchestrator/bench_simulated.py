"""A mesh of thousands in virtual time: how soon the silent are found, how fast news spread, what that sends."""

from __future__ import annotations

import random
import sys
import time
from collections import defaultdict
from collections.abc import Sequence

from actors.membership.events import Changed, Update
from actors.membership.profile import MEMBERSHIP_PROFILES, MembershipProfile
from orchestrator.simulation.membership_world import MembershipWorld
from orchestrator.simulation.network import Quality
from orchestrator.simulation.world import Condition, Node

HOMES = Quality(delay_s=0.02, jitter_s=0.06, loss=0.02)
"""One way; every message is lost with this chance, as if no transport repeated it."""
PAUSED_SHARE, PAUSED_S = 0.05, 10.0
DEATHS, UPDATES = 10, 20
IDLE_S = 60.0


class WatchedWorld(MembershipWorld):
    """Notes when every member learned of a death or an update."""

    def __init__(self, seed: int, nodes: int, profile: MembershipProfile) -> None:
        self.learned: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
        """(what, whom it is about) -> when each observer learned it"""
        self.convicted: set[str] = set()
        """Members that were held dead while their process was there, paused or not."""
        super().__init__(seed, nodes, profile, HOMES, count_bytes=True)

    def note_change(self, node: Node, effect: Changed) -> None:
        """As in every such world."""
        if effect.what in ("dead", "updated"):
            self.learned[effect.what, effect.peer].append(self.now)
            if effect.what == "dead" and self.nodes[effect.peer].condition in (Condition.UP, Condition.PAUSED):
                self.convicted.add(effect.peer)
        super().note_change(node, effect)


def simulated(nodes: int, profile: str, seed: int, kill: int) -> dict[str, float]:
    """All figures of a simulated mesh: an hour with up to 1,000 members, in proportion less with more.

    Args:
        nodes: members.
        profile: name of the timing profile.
        seed: replays everything.
        kill: machines that fall silent together, each of `DEATHS` times.
    """
    began = time.monotonic()
    world = WatchedWorld(seed, nodes, MEMBERSHIP_PROFILES[profile])
    formed = time.monotonic()
    world.run(IDLE_S)
    idle_bytes = world.bytes / IDLE_S / nodes
    length = 3600.0 * min(1.0, 1000 / nodes) - IDLE_S
    deaths, updates = _plan(world, random.Random(seed), length, kill)
    for _ in range(10):
        world.run(length / 10)
        sys.stderr.write(f"{world.now:.0f} simulated seconds in {time.monotonic() - formed:.0f} s\n")
    ran = time.monotonic() - formed
    found = [when - at for peer, at in deaths.items() for when in world.learned["dead", peer]]
    spread = [_share(world.learned["updated", peer], at, nodes, 0.99) for peer, at in updates.items()]
    expected = len(deaths) * (nodes - len(deaths))
    return {
        "detect_p50_s": _quantile(found, 0.5),
        "detect_p99_s": _quantile(found, 0.99),
        "detections_missing": max(0, expected - len(found)),
        "spread_p50_s": _quantile(spread, 0.5),
        "spread_p99_s": max(spread),
        "false_deaths": len(world.convicted),
        "bytes_per_s_per_node": world.bytes / world.now / nodes,
        "idle_bytes_per_s_per_node": idle_bytes,
        "simulated_seconds_per_second": world.now / ran,
        "simulated_s": world.now,
        "setup_s": formed - began,
        "events": world.kernel.events,
    }


def _plan(
    world: WatchedWorld, rng: random.Random, length: float, kill: int
) -> tuple[dict[str, float], dict[str, float]]:
    """Spread deaths, updates and pauses over the time; returns when who died, and when who had news."""
    members = list(world.nodes.values())
    rng.shuffle(members)
    victims, members = members[: DEATHS * kill], members[DEATHS * kill :]
    paused, tellers = members[: round(PAUSED_SHARE * len(world.nodes))], members[-UPDATES:]
    quiet = 60.0
    deaths = {}
    for number, node in enumerate(victims):
        at = (number // kill + 0.5) / DEATHS * (length - quiet)
        deaths[node.peer] = world.now + at
        world.kernel.after(at, _silence, world, node)
    for node in paused:
        world.kernel.after(rng.uniform(0, length - quiet), world.pause, node, PAUSED_S)
    updates = {}
    for node in tellers:
        at = rng.uniform(0, length - quiet)
        updates[node.peer] = world.now + at
        world.kernel.after(at, world.give, node, Update({"throughput": 1.0 + at}))
    return deaths, updates


def _silence(world: WatchedWorld, node: Node) -> None:
    world.crash(node, machine=True)


def _quantile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("inf")


def _share(stamps: Sequence[float], since: float, nodes: int, share: float) -> float:
    """Seconds until this share of all members had learned something; infinite when they never did."""
    later = sorted(stamp - since for stamp in stamps if stamp >= since)
    wanted = int(share * (nodes - DEATHS - 1))
    return later[wanted - 1] if len(later) >= wanted > 0 else float("inf")
