"""Worlds take the schedules of real runs; and votes that the owner declares lost."""

from __future__ import annotations

import pytest

from actors.faults.schedule import PHASE_WORDS, parse_all
from actors.steps import ballots, events
from orchestrator.simulation.faults import Fault
from orchestrator.simulation.step_seeds import scheduled
from orchestrator.simulation.step_world import StepWorld
from orchestrator.simulation.trace import Trace, Violation

PLACES = [(f"s{stage}r{number}", stage, number) for stage in range(2) for number in range(3)]


@pytest.mark.parametrize("phase", PHASE_WORDS)
@pytest.mark.parametrize("what", ["kill {}", "freeze {} 20s", "partition {} 20s", "one-way {} 20s", "kill {} shard"])
@pytest.mark.parametrize("who", ["leader", "stage-1/0", "s0r1+s1r2"])
def test_every_cell_of_the_grid_in_virtual_time(phase: str, what: str, who: str) -> None:
    faults = parse_all([f"{what.format(who)} at step 3 {phase}"], PLACES, 12)
    for seed in range(3):
        world = scheduled(seed, [3, 3], faults, 12)
        assert sorted(world.decided) == list(range(13))
        assert not world.missing()


def test_a_fault_that_never_happens_is_an_error() -> None:
    faults = parse_all(["kill s0r0 at second 9000"], PLACES, 12)
    with pytest.raises(Violation, match="never happened"):
        scheduled(0, [3, 3], faults, 12)


def survivors_only(seed: int) -> tuple[StepWorld, list[str]]:
    """Four of six are gone for good at once: the two that are left are no majority."""
    world = StepWorld(seed, [3, 3], trace=Trace(), steps=8, validate_every=0)
    world.run(8.0)
    lost = ["s0r0", "s0r1", "s1r0", "s1r1"]
    for name in lost:
        world.begin(Fault(world.now, "crash", (name,), 0.0))
    world.run(60.0)
    return world, lost


def dismissal_of(world: StepWorld, names: list[str]) -> ballots.Dismiss:
    view = world.core(world.named("s0r2")).context.view
    return ballots.Dismiss(view.number, {m.peer_id: m.life for m in view.members if m.name in names}, "00")


@pytest.mark.parametrize("seed", range(5))
def test_the_owner_lets_a_run_go_on_that_has_lost_its_majority(seed: int) -> None:
    world, lost = survivors_only(seed)
    stuck = max(world.decided)
    assert all(world.core(world.named(name)).paused for name in ("s0r2", "s1r2"))
    survivor = world.named("s0r2")
    world.give(survivor, events.Received(survivor.peer, dismissal_of(world, lost)))
    assert world.settle(300) == ""
    assert max(world.decided) > stuck and sorted(world.decided) == list(range(9))
    assert {"s0r2", "s1r2"} <= world.finished


def test_who_is_here_keeps_its_vote_and_other_views_are_not_meant() -> None:
    world, lost = survivors_only(1)
    survivor = world.named("s0r2")
    for message in (
        dismissal_of(world, [*lost, "s1r2"]),
        ballots.Dismiss(99, dismissal_of(world, lost).voters, "00"),
    ):
        world.give(survivor, events.Received(survivor.peer, message))
        assert world.core(survivor).paused
    view = world.core(survivor).context.view
    assert not view.dismissed


def test_nobody_but_the_owner_dismisses() -> None:
    world, lost = survivors_only(2)
    survivor = world.named("s0r2")
    world.core(survivor)._quorum._owner_signed = lambda message: False
    world.give(survivor, events.Received(world.named("s1r2").peer, dismissal_of(world, lost)))
    world.run(60.0)
    assert world.core(survivor).paused
    assert any(kind == "refused" for _, name, kind, _ in world.said if name == "s0r2")


def test_the_pause_says_whose_votes_are_lost_and_why() -> None:
    world = StepWorld(3, [3, 3], trace=Trace(), steps=8, validate_every=0, durable=False)
    world.run(8.0)
    for name in ("s0r0", "s0r1", "s1r0", "s1r1"):
        world.begin(Fault(world.now, "crash", (name,), 2.0))
    world.run(60.0)
    said = [text for _, name, kind, text in world.said if kind == "paused" and name in ("s0r2", "s1r2")]
    assert any("restarted, and has lost the memory of its vote" in text for text in said), said
    assert world.hopeless() == "majority lost"
