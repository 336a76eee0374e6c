"""Eight whole participants in one process: what they train is what one process trains, whatever happens to them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.simulation.faults import Fault
from orchestrator.simulation.runtime.faults import begin
from orchestrator.simulation.runtime.world import RuntimeWorld, base_spec
from orchestrator.simulation.trace import Trace
from tests.integration.helpers import REPAIRS, assert_trained, committed, of_stage, told, voters


def test_an_undisturbed_run_equals_the_reference_and_repairs_nothing() -> None:
    with RuntimeWorld(3, [2, 2, 2, 2], base_spec(4, 2, steps=8)) as world:
        world.settle(300)
        assert_trained(world)
        assert not REPAIRS & set(world.contract.notes)
        assert voters(world) == {home.name for home in world.homes.values()}
        validated = [step for step, record in world.contract.steps.items() if record.validation_loss is not None]
        assert validated == [0, 3, 6, 8], "every third step, and at the end"


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_eight_train_twenty_steps_through_a_kill_a_cut_and_a_join(seed: int) -> None:
    with RuntimeWorld(seed, [2, 2, 2, 2], base_spec(4, 2, steps=20), trace=Trace()) as world:
        committed(world, 4)
        killed = world.named("s1r0")
        world.crash(killed)
        world.kernel.after(3.0, world.restart, killed)
        committed(world, 8)
        begin(world, Fault(world.now, "cut", ("s0r1", "s2r0", "s3r1"), 25.0))
        before = len(world.contract.steps)
        world.run(25.0)
        assert len(world.contract.steps) > before, "the majority goes on"
        minority = [world.named(name).participant for name in ("s0r1", "s2r0", "s3r1")]
        assert all(one is not None and one.paused for one in minority), "the minority decides nothing"
        newcomer = world.arrive("new")
        world.settle(600)
        assert_trained(world)
        assert voters(world) == {f"s{stage}r{replica}" for stage in range(4) for replica in range(2)} | {"new"}
        assert newcomer.participant is not None and newcomer.participant.inside
        assert newcomer.participant.context.me.stage in range(4)


def test_clipping_uses_the_norm_over_all_stages() -> None:
    """The largest norm of these steps is clipped by the same factor at every stage, as in the reference."""
    spec = base_spec(3, 2, steps=6)
    clipped = replace(spec, optimizer=replace(spec.optimizer, clip=0.2))
    with RuntimeWorld(4, [2, 2, 2], clipped) as world:
        world.settle(300)
        assert_trained(world)
        factors = [world.contract.steps[step].clip_factor for step in range(6)]
        assert factors == pytest.approx([min(1.0, 0.2 / norm) for norm in world.reference.norms], rel=1e-5)
        assert min(factors) < 0.9, "something was clipped"


def test_four_grow_to_ten_and_shrink_to_five_with_kills_among_joiners_and_donors() -> None:
    """Newcomers come in three waves, and one of them and a donor are killed; four leave politely in the end."""
    with RuntimeWorld(11, [2, 2], base_spec(2, 2, steps=40), trace=Trace()) as world:
        for wave, count in ((2, 2), (5, 3), (8, 2)):
            committed(world, wave)
            for number in range(count):
                world.arrive(f"new{wave}-{number}")
        committed(world, 10)
        world.crash(world.named("new5-2"))
        world.crash(world.named("s0r0"))
        world.kernel.after(3.0, world.restart, world.named("s0r0"))
        world.until(lambda: len(voters(world)) >= 10, 400, "ten members")
        assert min(len(of_stage(world, stage)) for stage in range(2)) >= 3, "newcomers go to both stages"
        for name in ("new2-0", "s0r1", "new5-0", "s1r0"):
            node = world.named(name).node
            assert node is not None
            world.named(name).inside(node.leave, "enough")
        world.until(lambda: len(voters(world)) == 6, 400, "six members")
        world.crash(world.named("new8-0"))
        world.until(lambda: len(voters(world)) == 5, 400, "five members")
        world.settle(900)
        assert_trained(world)
        assert {"assigned", "donates", "leaving"} <= set(world.contract.notes)
        left = ["new2-0", "s0r1", "new5-0", "s1r0"]
        assert all(world.named(name).gone for name in left)
        dead = [*told(world, "suspect"), *told(world, "dead")]
        assert not [text for text in dead if text.split()[0] in left], "who leaves politely is not suspected"
