"""Checkpoints of whole participants: written through kills, verified to the last byte, taken up on other layouts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from actors.spec import ParticipantSpec
from checkpoint.catalogue import State, catalogue, newest_good
from checkpoint.config import CheckpointConfig
from checkpoint.store import Store
from orchestrator.simulation.runtime.world import RuntimeWorld
from orchestrator.simulation.trace import Trace
from sharding.config import ModelConfig
from tests.integration.helpers import assert_trained, committed, spec

LAYERS = ModelConfig("", vocab_size=11, width=4, layers=4, heads=1, kv_heads=1, ffn=4)
"""Four layers can be cut into one to four stages."""


def run_of(stages: int, replicas: int, steps: int, checkpoint: CheckpointConfig) -> ParticipantSpec:
    """One model on a layout."""
    return replace(spec(stages, replicas, checkpoint, steps=steps, validate_every=0), model=LAYERS)


def good(folder: Path) -> list[str]:
    """Whole checkpoints, every byte looked at; the newest first."""
    return [one.id.folder for one in catalogue(Store.open(str(folder)), deep=True) if one.state is State.GOOD]


@pytest.mark.parametrize("seed", range(3))
def test_kills_while_checkpoints_are_written_leave_whole_ones_only(tmp_path: Path, seed: int) -> None:
    """At each of three checkpoints another participant dies while its files are half written."""
    run = run_of(2, 2, 14, CheckpointConfig(url=str(tmp_path), every=3, last=9))
    with RuntimeWorld(seed, [2, 2], run, trace=Trace()) as world:
        for commit, name in ((3, "s0r0"), (6, "s1r1"), (9, "s0r1")):
            folder = f"*c{commit:010}/*/*"
            world.until(lambda folder=folder: any(tmp_path.glob(folder)), 200, "its first file")
            world.crash(world.named(name))
            world.kernel.after(2.0, world.restart, world.named(name))
        world.settle(900)
        assert_trained(world)
    assert "h0000-c0000000014" in good(tmp_path), "the last commit is always written"
    found = catalogue(Store.open(str(tmp_path)), deep=True)
    assert {one.state for one in found} <= {State.GOOD, State.UNFINISHED}
    assert len(good(tmp_path)) >= 3


@pytest.mark.parametrize(
    "layouts", [[(2, 2), (4, 1), (1, 2)], [(4, 2), (2, 1), (3, 2)]], ids=["2x2 to 4x1 to 1x2", "4x2 to 2x1 to 3x2"]
)
def test_a_run_goes_on_over_layouts_as_if_it_had_never_stopped(tmp_path: Path, layouts: list[tuple[int, int]]) -> None:
    """Each world takes up what the one before wrote; parameters and momenta are those of one long training."""
    for number, (stages, replicas) in enumerate(layouts):
        settings = CheckpointConfig(url=str(tmp_path), every=2, last=20, history=number)
        if number:
            found, _ = newest_good(Store.open(str(tmp_path)))
            assert found.id.commit == 4 * number
            taken = {"resume_history": found.id.history, "resume_commit": found.id.commit}
            settings = replace(settings, resume=str(tmp_path), **taken)
        steps = 4 * (number + 1)
        with RuntimeWorld(number, [replicas] * stages, run_of(stages, replicas, steps, settings)) as world:
            world.settle(600)
            wanted = list(range(4 * number, steps + 1))
            assert sorted(world.contract.steps) == wanted, "no step twice, none left out"
            losses = [world.contract.steps[step].loss for step in wanted[:-1]]
            assert losses == pytest.approx(world.reference.losses[4 * number :], rel=1e-5)
            for home in world.up():
                assert home.shards is not None and home.shards.engine.commit == steps


def test_a_run_that_all_leave_in_the_middle_is_taken_up_from_its_newest_whole_checkpoint(tmp_path: Path) -> None:
    """All processes and disks are gone while the second checkpoint is written."""
    run = run_of(2, 1, 12, CheckpointConfig(url=str(tmp_path), every=3))
    with RuntimeWorld(7, [1, 1], run) as world:
        world.until(lambda: any(tmp_path.glob("*c0000000006/*/*")), 200, "the second checkpoint's first file")
    newest, _ = newest_good(Store.open(str(tmp_path)))
    assert newest.id.commit in (3, 6)
    settings = CheckpointConfig(url=str(tmp_path), every=3, resume=str(tmp_path), history=1)
    settings = replace(settings, resume_history=newest.id.history, resume_commit=newest.id.commit)
    with RuntimeWorld(8, [2, 2], run_of(2, 2, 12, settings)) as world:
        committed(world, 2)
        assert min(world.contract.steps) == newest.id.commit
        world.settle(600)
    assert good(tmp_path)[0] == "h0001-c0000000012"
