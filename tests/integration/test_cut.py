"""A cut of links that a participant makes itself, as fault injection does on real ones, and its end."""

from __future__ import annotations

from dataclasses import replace

from orchestrator.simulation.runtime.home import Home
from orchestrator.simulation.runtime.world import RuntimeWorld
from orchestrator.simulation.trace import Trace
from tests.integration.helpers import assert_trained, committed, spec, voters

PLACES = tuple((f"s{stage}r{replica}", stage, replica) for stage in range(2) for replica in range(3))


def cut_off(home: Home, *, healed: bool) -> None:
    """Cut a participant off from all others, or heal that."""
    node = home.node
    assert node is not None

    def keep(name: str, stage: int, replica: int) -> bool:
        return name == home.name

    home.inside(lambda: node.cut_off(None if healed else keep, both=True))


def test_a_healed_cut_lets_through_those_who_came_meanwhile() -> None:
    """They are in no list that was made at the start."""
    run = replace(spec(2, 3, steps=24, microbatches=6, validate_every=0), places=PLACES)
    with RuntimeWorld(1, [3, 3], run, compute_s=0.6, trace=Trace()) as world:
        committed(world, 2)
        world.arrive("new")
        world.until(lambda: "new" in voters(world), 300, "the newcomer")
        alone = world.named("s1r2")
        cut_off(alone, healed=False)
        world.until(lambda: "s1r2" not in voters(world), 300, "the view without the one that is cut off")
        cut_off(alone, healed=True)
        world.until(lambda: "s1r2" in voters(world), 60, "its return")
        assert alone.node is not None
        assert all(link.up for link in alone.node.transport.links())
        world.settle(600)
        assert_trained(world)
