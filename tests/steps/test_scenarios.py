"""What reviewers and random worlds found hard: each a situation that once held a run up, ended it, or lost a stage."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace
from statistics import median
from typing import Any

import pytest

from orchestrator.simulation.faults import Fault
from orchestrator.simulation.network import Quality
from orchestrator.simulation.step_world import StepWorld
from orchestrator.simulation.trace import Trace
from tests.steps.stories import CutBeforeDecision, ForgetfulDonor, OnlyTheLeaderKnows, Overwritten, Story, Stray

SEEDS = range(8)


def ends_well(world: StepWorld) -> bool:
    """Whether it commits to its end."""
    world.run(60.0)
    return world.settle(3000.0) == ""


def during(seconds: float, kind: str, *who: str, value: float = 0.0) -> Fault:
    return Fault(4.5, kind, who, seconds, value)


@pytest.mark.parametrize("layout", [[2, 1], [3, 2]], ids=str)
def test_a_stage_that_hears_of_its_commit_only_through_a_change_of_view_still_applies_it(layout: list[int]) -> None:
    """All of a stage have prepared, and are cut off before the decision; the others commit, and put them out."""
    stories = [CutBeforeDecision(seed, layout) for seed in range(12)]
    assert all(story.ends_well() for story in stories)
    assert any(story.happened for story in stories)


@pytest.mark.parametrize("story", [OnlyTheLeaderKnows, Stray])
@pytest.mark.parametrize("layout", [[3], [2, 2], [3, 2, 3]], ids=str)
def test_arranged_stories_end_well(story: type[Story], layout: list[int]) -> None:
    stories = [story(seed, layout) for seed in SEEDS]
    assert all(one.ends_well() for one in stories)
    assert sum(one.happened for one in stories) > len(SEEDS) // 2


@pytest.mark.parametrize("seed", SEEDS)
def test_who_was_apart_for_a_while_is_taken_back_when_nobody_else_has_the_corpus(seed: int) -> None:
    world = StepWorld(seed, [2, 2], Quality(0.02, 0.0), Trace(), without_corpus=("s1r1",))
    world.kernel.at(4.5, world.begin, during(12.0, "pair", "s1r0", "s1r1"))
    assert ends_well(world)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_only_one_with_the_corpus_may_be_away_for_a_while(seed: int) -> None:
    world = StepWorld(seed, [2, 2], Quality(0.02, 0.0), Trace(), without_corpus=("s1r1",), steps=6)
    world.kernel.at(4.5, world.begin, during(12.0, "cut", "s1r0"))
    assert ends_well(world)


@pytest.mark.parametrize("seed", SEEDS)
def test_who_comes_back_with_another_config_is_told_and_nobody_else_is_disturbed(seed: int) -> None:
    world = StepWorld(seed, [3, 3], Quality(0.02, 0.0), Trace(), steps=8)
    right, setup = world.reborn, world.setup

    def reborn(node: Any, *, memory: bool) -> Any:
        world.setup = replace(setup, config_hash="other")
        try:
            return right(node, memory=memory)
        finally:
            world.setup = setup

    world.reborn = reborn  # type: ignore[method-assign]
    world.kernel.at(4.5, world.begin, during(2.0, "crash", "s1r2"))
    world.run(300.0)
    assert "another config" in world.failures["s1r2"]
    assert sorted(world.decided) == list(range(9))
    assert len(world.finished) == 5


@pytest.mark.parametrize("layout", [[1, 1], [2, 1]], ids=str)
@pytest.mark.parametrize(("kind", "value"), [("shard-pause", 0.0), ("slow", 60.0)])
def test_shards_that_alone_hold_a_stage_are_waited_for(layout: list[int], kind: str, value: float) -> None:
    for seed in SEEDS:
        world = StepWorld(seed, layout, Quality(0.02, 0.0), Trace())
        world.kernel.at(7.0, world.begin, during(25.0, kind, "s1r0", value=value))
        assert ends_well(world)
        assert not world.forgot


@pytest.mark.parametrize(
    ("layout", "pair"), [([2, 1], ("s0r0", "s1r0")), ([1, 2, 1], ("s0r0", "s2r0"))], ids=["2,1", "1,2,1"]
)
def test_a_leader_that_cannot_reach_whom_it_needs_lets_another_one_lead(
    layout: list[int], pair: tuple[str, str]
) -> None:
    for seed in SEEDS:
        world = StepWorld(seed, layout, Quality(0.02, 0.0), Trace(), steps=6, floor_s=3.0)
        world.kernel.at(4.5, world.begin, during(1e9, "pair", *pair))
        assert ends_well(world)


def test_an_average_that_a_revived_proposal_names_is_still_there() -> None:
    stories = [Overwritten(seed) for seed in range(16)]
    assert all(story.ends_well(90.0) for story in stories)
    assert sum(story.happened for story in stories) > 3, "two averages of a step were made, and the first decided"


@pytest.mark.parametrize("seed", SEEDS)
def test_a_request_for_the_state_that_was_forgotten_is_made_again(seed: int) -> None:
    story = ForgetfulDonor(seed, [3, 3], steps=60, validate_every=0)
    world = story.world
    world.kernel.at(6.0, world.begin, Fault(6.0, "cut", ("s1r1",), 15.0))
    world.run(60.0)
    assert story.happened
    assert world.core(world.named("s1r1")).inside, "39 s after the heal, which is less than a donor's patience"
    assert world.settle(600.0) == ""


def longest_step(seed: int, kind: str) -> tuple[float, float]:
    """One participant of nine is hit while the run goes on: (longest step, usual step)."""
    more: dict[str, Any] = {"microbatches": 16, "steps": 12, "validate_every": 0, "in_flight": 6, "floor_s": 20.0}
    world = StepWorld(seed, [3, 3, 3], Quality(0.001, 0.002), Trace(), compute_s=0.29, beat_s=2.0, **more)
    rng = random.Random(seed)
    at, who = rng.uniform(20.0, 30.0), rng.choice([member.name for member in world.members])
    world.kernel.at(at, world.begin, Fault(at, kind, (who,), 22.0))
    assert world.settle(600.0) == ""
    times = [world.committed_at[step] for step in sorted(world.committed_at)]
    steps = [after - before for before, after in itertools.pairwise(times)]
    return max(steps), median(steps)


@pytest.mark.parametrize("kind", ["crash", "shard"])
@pytest.mark.slow
def test_a_kill_never_makes_a_step_wait_for_a_patience_to_end(kind: str) -> None:
    """In virtual time. Who drives what must not change hands, or two count the same and one waits for nothing."""
    for seed in range(40):
        longest, usual = longest_step(seed, kind)
        assert longest < usual + 15.0, f"seed {seed}: a step of {longest:.1f} s among steps of {usual:.1f} s"
