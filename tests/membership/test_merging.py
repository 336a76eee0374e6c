"""Meshes that are founded apart become one, and a member that says goodbye is not held dead; in virtual time."""

from __future__ import annotations

import pytest

from actors.membership.events import Join, Leave
from actors.membership.profile import MEMBERSHIP_PROFILES
from actors.membership.statements import State
from orchestrator.simulation.membership_world import MembershipWorld, settle_bound
from orchestrator.simulation.network import Quality
from orchestrator.simulation.trace import Trace

LAN = MEMBERSHIP_PROFILES["lan"]


def empty(seed: int) -> MembershipWorld:
    """A world without members, on a network that loses one message in fifty."""
    return MembershipWorld(seed, 0, LAN, Quality(0.005, 0.01, 0.02), Trace())


@pytest.mark.parametrize("seed", range(20))
def test_two_meshes_founded_from_the_same_addresses_become_one(seed: int) -> None:
    """Both halves are told the same two addresses while the way between them is closed."""
    world = empty(seed)
    doors = ("tcp:home-0:1", "tcp:home-3:1")
    left = [world.come(()).peer for _ in range(3)]
    right = [world.come(()).peer for _ in range(3)]
    cut = world.network.cut(left, right)
    for number, node in enumerate(world.nodes.values()):
        world.give(node, Join(tuple(door for door in doors if door != f"tcp:home-{number}:1")))
    world.run(20.0)
    for half in (left, right):
        for peer in half:
            assert set(world.core(world.nodes[peer]).live) == set(half) - {peer}, "each half is one mesh"
    world.network.heal(cut)
    world.settle(settle_bound(LAN, 6))
    assert all(len(world.core(node).live) == 5 for node in world.nodes.values())


@pytest.mark.parametrize("seed", range(20))
def test_a_member_that_says_goodbye_is_not_held_dead(seed: int) -> None:
    world = empty(seed)
    first = world.come(())
    members = [first, *(world.join(first) for _ in range(3))]
    world.settle(settle_bound(LAN, 4))
    leaver = members[2]
    world.give(leaver, Leave())
    world.run(2.0)
    world.crash(leaver)
    world.settle(settle_bound(LAN, 4))
    world.run(30.0)
    assert world.reached["dead"] == 0 and world.reached["suspect"] == 0
    for node in members:
        if node is not leaver:
            core = world.core(node)
            assert leaver.peer in core.gone and core.gone[leaver.peer].accusation is None
            assert core.records[leaver.peer].state is State.LEFT
