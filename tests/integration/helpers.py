"""What tests of whole participants ask of their world."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from actors.spec import ParticipantSpec
from actors.steps.view import Voter
from checkpoint.config import CheckpointConfig
from orchestrator.simulation.runtime.home import Home
from orchestrator.simulation.runtime.world import RuntimeWorld, base_spec

REPAIRS = {"rerouted", "replaced", "reset", "averaging", "excluded", "lost", "view", "overdue", "resigned", "damaged"}


def voters(world: RuntimeWorld) -> set[str]:
    """Names in the newest committed view."""
    newest = world.contract.decisions[max(world.contract.decisions)]
    members: tuple[Voter, ...] = newest.members
    return {member.name for member in members}


def committed(world: RuntimeWorld, steps: int) -> None:
    """Wait until so many steps are committed."""
    world.until(lambda: len(world.contract.steps) >= steps, 300, f"step {steps}")


def assert_trained(world: RuntimeWorld) -> None:
    """All steps are committed, with the losses of the reference, and all participants hold the last parameters."""
    steps, known = world.spec.train.steps, world.reference
    assert world.finished
    assert sorted(world.contract.steps) == list(range(steps + 1)), "the steps, and the closing one"
    losses = [world.contract.steps[step].loss for step in range(steps)]
    assert losses == pytest.approx(known.losses, rel=1e-5)
    norms = [world.contract.steps[step].grad_norm for step in range(steps)]
    assert norms == pytest.approx(known.norms, rel=1e-5)
    assert losses[-1] is not None and losses[0] is not None and losses[-1] < losses[0]
    for home in world.up():
        assert home.shards is not None
        assert home.shards.engine.commit == steps, f"{home.name} is behind"
        for name, value in home.shards.engine.values().items():
            assert value == pytest.approx(known.commits[steps][name], abs=1e-5), (home.name, name)


def of_stage(world: RuntimeWorld, stage: int) -> list[Home]:
    """Homes whose process serves a stage now."""
    return [h for h in world.up() if h.participant is not None and h.participant.context.me.stage == stage]


def spec(stages: int, replicas: int, checkpoint: CheckpointConfig | None = None, **train: Any) -> ParticipantSpec:
    """A small run, with checkpoints if wanted."""
    made = base_spec(stages, replicas, **train)
    return replace(made, checkpoint=checkpoint) if checkpoint is not None else made


def told(world: RuntimeWorld, kind: str) -> list[str]:
    """What participants that run told of that kind."""
    nodes = [home.node for home in world.homes.values() if home.node is not None]
    return [event.detail for node in nodes for _, event in node.journal.events if event.kind == kind]
