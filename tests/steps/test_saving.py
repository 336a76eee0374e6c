"""Checkpoints of a run in virtual time: every stage whole and of one commit, or none; whoever dies meanwhile."""

from __future__ import annotations

import re
from typing import Any

import pytest

from actors.steps import effects
from actors.steps.context import LostStage
from actors.steps.saving import Saver, Underway
from orchestrator.simulation.faults import Fault
from orchestrator.simulation.step_world import StepWorld
from orchestrator.simulation.trace import Trace, Violation


def world(seed: int, layout: list[int], **changes: Any) -> StepWorld:
    """A run that saves."""
    values: dict[str, Any] = {"steps": 13, "save_every": 3, "validate_every": 0, **changes}
    return StepWorld(seed, layout, trace=Trace(), **values)


@pytest.mark.parametrize("layout", [[1], [2, 2], [1, 3, 2]], ids=str)
def test_every_due_checkpoint_is_written_in_as_many_parts_as_there_are_replicas(layout: list[int]) -> None:
    for seed in range(4):
        run = world(seed, layout, compute_s=1.0, moves=False)
        assert run.settle(1000) == ""
        wanted = {(0, 3), (0, 6), (0, 9), (0, 13)}
        assert wanted <= run.store.complete.keys() <= wanted | {(0, 12)}, "the run's last commit is among them"
        assert all(run.store.counts[(0, 6), stage] == count for stage, count in enumerate(layout))


def test_the_part_of_a_writer_that_dies_is_written_by_another_one() -> None:
    taken = 0
    for seed in range(20):
        run = world(seed, [2, 2], steps=7, compute_s=3.0)
        victim = run.named("s1r1")
        right = run._part_written

        def slow(node: Any, *given: Any, right: Any = right, run: StepWorld = run, victim: Any = victim) -> None:
            if node is victim:  # its store never answers
                run.begin(Fault(run.now, "crash", (victim.name,), 0.0))
            else:
                right(node, *given)

        run._part_written = slow  # type: ignore[method-assign]
        run.run(200.0)
        taken += any("writes the part of s1r1" in text for _, _, kind, text in run.said if kind == "checkpoint")
        assert not run.failures
    assert taken


@pytest.mark.slow
def test_faults_during_saves_leave_whole_checkpoints_only() -> None:
    complete = 0
    for seed in range(60):
        run = world(seed, [2, 2], keep_every=2)
        rng = run.kernel.rng
        for number in range(4):
            name = rng.choice([node.name for node in run.nodes.values()])
            kind = rng.choice(["crash", "pause", "cut", "shard"])
            fault = Fault(rng.uniform(4.0, 40.0) + number, kind, (name,), rng.uniform(1.0, 8.0))
            run.kernel.at(fault.at, run.begin, fault)
        assert run.settle(2000) == "", f"seed {seed}"
        complete += len(run.store.complete)
        for history, commit in run.store.complete:
            for stage in range(2):
                state = run.store.parts[(history, commit), stage, 0]
                assert int(state[-1]) == commit
    assert complete > 60


@pytest.mark.parametrize("layout", [[2, 2], [3, 3]], ids=str)
def test_who_has_lost_what_it_should_write_says_so(layout: list[int]) -> None:
    """The first of all who held the commit: it has a part to write, a stage to seal, and the manifest to write."""
    for seed in range(8):
        run = world(seed, layout, steps=8, compute_s=1.0, moves=False)
        run.load_s = 40.0
        while 2 not in run.decided:
            run.run(0.02)
        newest = max((run.core(node).context.decision for node in run.nodes.values()), key=lambda one: one.slot)
        run.lose_shards(run.nodes[min(newest.holders)], "killed")
        assert run.settle(1500) == ""
        assert (0, 3) in run.store.complete, f"seed {seed}"


def test_a_change_of_view_right_after_the_commit_costs_no_checkpoint() -> None:
    for seed in range(8):
        run = world(seed, [2, 3], steps=8, moves=False)
        while 2 not in run.decided:
            run.run(0.02)
        run.begin(Fault(run.now, "crash", ("s1r2",), 0.0))
        assert run.settle(1500) == ""
        assert (0, 3) in run.store.complete, f"seed {seed}"


def test_a_lost_stage_is_taken_up_from_the_newest_checkpoint() -> None:
    for seed in range(6):
        run = world(seed, [2, 2], steps=20, lost_stage=LostStage.ROLLBACK, compute_s=0.6)
        while (0, 6) not in run.store.complete:
            run.run(0.1)
        for name in ("s1r0", "s1r1"):
            run.begin(Fault(run.now, "crash", (name,), 2.0))
        assert run.settle(1000) == "", f"seed {seed}"
        ((step, commit),) = run.returns
        assert commit % 3 == 0 and commit >= 6 and step >= commit
        assert any(history == 1 for history, _ in run.store.complete), "the new era writes a history of its own"


def test_without_a_checkpoint_rollback_waits_and_says_so() -> None:
    run = world(1, [1, 1], save_every=0, lost_stage=LostStage.ROLLBACK)
    while len(run.decided) < 4:
        run.run(0.1)
    run.begin(Fault(run.now, "crash", ("s1r0",), 2.0))
    assert run.settle(1000) == "stage lost"
    assert any("there is no checkpoint that all can use" in text for _, _, kind, text in run.said if kind == "paused")


def test_a_run_begins_with_a_checkpoint() -> None:
    first = world(3, [2, 2], steps=7)
    assert first.settle(1000) == ""
    run = world(4, [2, 2], steps=12, first=7, history=1, resumed=0)
    run.store.parts, run.store.complete = first.store.parts, first.store.complete
    run.store.counts = first.store.counts
    run.model = first.model
    assert run.settle(1000) == ""
    assert sorted(run.decided) == list(range(7, 13))
    assert (1, 12) in run.store.complete


def test_a_run_whose_checkpoint_cannot_be_used_does_not_begin() -> None:
    run = world(4, [2, 2], steps=12, first=6, history=1, resumed=0)
    run.run(60.0)
    assert not run.decided
    for reason in run.failures.values():
        assert "lost" not in reason and re.match(r"nobody of stage \d can use the checkpoint of commit 6: ", reason)
    assert len(run.failures) == 4


def test_saving_another_commit_than_was_meant_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """A planted bug: a part is written when its commit is over."""
    right = Saver._write

    def late(self: Saver, now: Underway, part: int) -> None:
        right(self, now, part)
        effect = self._context.out.pop()
        assert isinstance(effect, effects.SavePart)
        self._context.out.append(effects.SavePart(effect.history, effect.commit - 1, part, effect.parts))

    monkeypatch.setattr(Saver, "_write", late)
    with pytest.raises(Violation):
        world(1, [2, 2]).settle(1000)
