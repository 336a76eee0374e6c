"""All that held a stage are gone: each policy, with whole participants; and a run whose processes all die at once."""

from __future__ import annotations

from pathlib import Path

from checkpoint.catalogue import State, catalogue
from checkpoint.config import CheckpointConfig
from checkpoint.store import Store
from orchestrator.simulation.runtime.world import RuntimeWorld
from orchestrator.simulation.trace import Trace
from tests.integration.helpers import assert_trained, committed, of_stage, spec, told, voters


def eras(world: RuntimeWorld) -> list[int]:
    """The era of every step, in order."""
    return [world.contract.steps[step].era for step in sorted(world.contract.steps)]


def test_wait_returns_to_the_newest_commit_that_every_stage_has_on_disk() -> None:
    with RuntimeWorld(1, [2, 2], spec(2, 2, steps=14, keep_every=4), trace=Trace()) as world:
        committed(world, 7)  # commits 4 and 0 are on the disks
        for name in ("s1r0", "s1r1"):
            world.crash(world.named(name))
            world.kernel.after(4.0, world.restart, world.named(name))
        world.settle(600)
        assert_trained(world)
        assert eras(world)[:4] == [0] * 4 and eras(world)[4:] == [1] * 11, "steps from 4 on are trained again"


def test_all_processes_die_at_once_and_the_run_goes_on_by_itself() -> None:
    """Votes, states and addresses of others are on their disks; no participant is given an address again."""
    with RuntimeWorld(2, [2, 2], spec(2, 2, steps=12, keep_every=2), trace=Trace()) as world:
        committed(world, 7)
        for place, home in enumerate(list(world.homes.values())):
            world.crash(home)
            world.kernel.after(1.0 + place, world.restart, home)
        world.settle(600)
        assert_trained(world)
        assert len(voters(world)) == 4
        assert max(eras(world)) == 1 and eras(world)[:6] == [0] * 6


def test_killed_within_seconds_of_finding_others_it_finds_them_again() -> None:
    """The addresses of others are on disk before the first step."""
    with RuntimeWorld(3, [2, 2], spec(2, 2, steps=6), trace=Trace()) as world:
        world.until(lambda: len(of_stage(world, 0) + of_stage(world, 1)) == 4, 60, "the beginning")
        for home in list(world.homes.values()):
            world.crash(home)
            world.kernel.after(2.0, world.restart, home)
        world.settle(900)
        assert_trained(world)


def test_a_spare_goes_on_with_the_stage_and_no_step_is_lost() -> None:
    """The only other participant of its stage is gone for good as soon as the spare follows."""
    with RuntimeWorld(4, [1, 1], spec(2, 1, steps=20, lost_stage="spare"), trace=Trace()) as world:
        committed(world, 1)
        spares = {"spare0", "spare1"}
        for name in sorted(spares):
            world.arrive(name, spare=True)
        world.until(lambda: spares <= voters(world), 300, "the spares")
        steps = [world.contract.steps[step] for step in sorted(world.contract.steps)]
        assert len(steps) < 15, "they are there long before the end"
        assert not any(step.counted.get(name) for step in steps for name in spares), "they work only when they must"
        (spare,) = [home.name for home in of_stage(world, 1) if home.name in spares]
        world.crash(world.named("s1r0"), machine=True)
        world.settle(900)
        assert_trained(world)
        assert set(eras(world)) == {0}
        assert world.contract.steps[19].counted[spare] == list(range(6))


def test_rollback_takes_up_the_newest_checkpoint_on_newcomers(tmp_path: Path) -> None:
    """Machine and disk of all that held stage 1 are gone for good; two newcomers take its state from the store."""
    checkpoints = CheckpointConfig(url=str(tmp_path), every=3, last=9)
    run = spec(3, 2, checkpoints, steps=12, keep_every=0, lost_stage="rollback")
    with RuntimeWorld(5, [2, 2, 2], run, trace=Trace()) as world:
        committed(world, 8)
        world.until(lambda: bool(told(world, "checkpoint")), 100, "a checkpoint")
        for name in ("s1r0", "s1r1"):
            world.crash(world.named(name), machine=True)
        for number in range(2):
            world.arrive(f"new{number}")
        world.settle(1200)
        assert_trained(world)
        assert max(eras(world)) == 1 and min(eras(world)[6:]) == 1, "commit 6 was the newest in the store"
    found = catalogue(Store.open(str(tmp_path)), deep=True)
    assert {one.state for one in found} == {State.GOOD}
    assert {(one.id.history, one.id.commit) for one in found} >= {(0, 3), (0, 6), (1, 9), (1, 12)}


def test_stop_ends_the_run_everywhere_and_says_why() -> None:
    with RuntimeWorld(6, [2, 2], spec(2, 2, steps=30, lost_stage="stop"), trace=Trace()) as world:
        committed(world, 4)
        for name in ("s1r0", "s1r1"):
            world.crash(world.named(name))
            world.kernel.after(4.0, world.restart, world.named(name))
        world.may_end = True
        world.until(lambda: all(home.node and home.node.failure for home in of_stage(world, 0)), 300, "the end")
        for home in of_stage(world, 0):
            assert home.node is not None
            assert "stage 1 has lost" in home.node.failure and "train.lost_stage=stop" in home.node.failure
            assert home.node.phase() == "failed"
