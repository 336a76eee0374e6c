"""What a participant is started with, and what its step protocol is told of that."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from actors.spec import FLOORS, ParticipantSpec, emulation_for, step_setup
from actors.steps.config import TrainConfig
from actors.steps.context import LostStage
from actors.transport.config import EmulateConfig, EmulateOverride
from checkpoint.config import CheckpointConfig
from sharding.config import LayoutConfig, ModelConfig, OptimizerConfig
from sharding.partition import no_stage, partition

# 40 parameters in the embedding, 128 in a block, 44 in the head: 296 and 172 of 468 in two stages, 168, 128 and 172 in
# three.
MODEL = ModelConfig(vocab_size=10, width=4, layers=3, heads=2, kv_heads=1, ffn=6)
TRAIN = TrainConfig(steps=20, microbatches=6, microbatch_size=4, sequence=8, validate_every=5, keep_every=7)


def spec(**changes: Any) -> ParticipantSpec:
    """A participant of stage 1 of two."""
    values: dict[str, Any] = {
        "run_id": "r1",
        "name": "ann",
        "replica": 0,
        "stage": partition(MODEL, 2)[1],
        "model": MODEL,
        "optimizer": OptimizerConfig(lr=1.0, warmup_steps=4, clip=0.7),
        "layout": LayoutConfig(stages=2, max_model_share=0.75),
        "train": TRAIN,
        "emulate": EmulateConfig(),
        "profile": "local",
        "host": "127.0.0.1",
        "port": 0,
        "folder": "",
        "config_hash": "hash",
        "fingerprint": "print",
        "tokens": None,
    }
    return ParticipantSpec(**{**values, **changes})


def test_the_step_protocol_is_told_the_run_s_sizes() -> None:
    setup = step_setup(spec())
    assert (setup.stages, setup.steps, setup.microbatches) == (2, 20, 6)
    assert setup.tokens_per_microbatch == 32  # four sequences of eight
    assert (setup.validate_every, setup.validation_microbatches) == (5, 8)
    assert (setup.clip, setup.config_hash, setup.keep_every) == (0.7, "hash", 7)
    assert (setup.max_share, setup.moves) == (0.75, True)
    assert step_setup(spec(layout=LayoutConfig(stages=2, rebalance=False))).moves is False


def test_shares_and_memory_are_those_of_the_cut() -> None:
    two, three = step_setup(spec()), step_setup(spec(layout=LayoutConfig(stages=3)))
    assert two.shares == pytest.approx((296 / 468, 172 / 468))
    assert three.shares == pytest.approx((168 / 468, 128 / 468, 172 / 468))
    # Twenty bytes a parameter: weight, gradient, two moments and the accumulator, each of four.
    assert two.stage_bytes == (5920, 3440)
    assert three.stage_bytes == (3360, 2560, 3440)


def test_the_rate_is_that_of_the_schedule() -> None:
    setup = step_setup(spec())
    assert [setup.learning_rate(step) for step in (0, 1, 3)] == [0.25, 0.5, 1.0]
    assert setup.learning_rate(19) == pytest.approx(0.1), "the last of its 20 steps"


@pytest.mark.parametrize(("asked", "stages", "flight"), [(0, 2, 4), (0, 3, 6), (5, 2, 5), (1, 3, 1)])
def test_twice_the_stages_are_in_flight_where_nothing_else_is_said(asked: int, stages: int, flight: int) -> None:
    train = dataclasses.replace(TRAIN, in_flight=asked)
    assert step_setup(spec(train=train, layout=LayoutConfig(stages=stages))).in_flight == flight


@pytest.mark.parametrize(("profile", "floor"), [("local", 20.0), ("lan", 20.0), ("wan", 40.0)])
def test_patience_is_that_of_the_profile(profile: str, floor: float) -> None:
    assert step_setup(spec(profile=profile)).floor_s == floor
    assert set(FLOORS) == {"local", "lan", "wan"}


@pytest.mark.parametrize(
    ("settings", "every", "first", "history", "resumed"),
    [
        pytest.param(CheckpointConfig(), 0, 0, 0, -1, id="without a store nothing is saved"),
        pytest.param(CheckpointConfig(every=7), 0, 0, 0, -1, id="also not every so often"),
        pytest.param(CheckpointConfig(url="x", every=7, history=3), 7, 0, 3, -1, id="with one it is"),
        pytest.param(
            CheckpointConfig(resume="x", resume_history=2, resume_commit=30, history=3), 0, 30, 3, 2, id="taken up"
        ),
        pytest.param(
            CheckpointConfig(resume="x", resume_history=0, resume_commit=0), 0, 0, 0, 0, id="the first of all"
        ),
        pytest.param(CheckpointConfig(resume_history=2), 0, 0, 0, -1, id="a history alone is nothing to take up"),
    ],
)
def test_what_is_saved_and_taken_up(
    settings: CheckpointConfig, every: int, first: int, history: int, resumed: int
) -> None:
    setup = step_setup(spec(checkpoint=settings))
    assert (setup.save_every, setup.first, setup.history, setup.resumed) == (every, first, history, resumed)


@pytest.mark.parametrize("policy", list(LostStage))
def test_the_policy_of_a_lost_stage_is_the_run_s(policy: LostStage) -> None:
    assert step_setup(spec(train=dataclasses.replace(TRAIN, lost_stage=policy.value))).lost_stage is policy


def test_a_participant_can_serve_another_stage() -> None:
    ann = spec()
    other = ann.serving(0)
    assert other.stage == partition(MODEL, 2)[0]
    assert dataclasses.replace(other, stage=ann.stage) == ann, "and nothing else of it changes"
    assert ann.actor_name == "tessera/r1/stage-1/ann" and other.actor_name == "tessera/r1/stage-0/ann"
    assert spec(stage=no_stage(2)).actor_name == "tessera/r1/joins/ann"


COMMON = EmulateConfig(
    up_mbps=10.0,
    down_mbps=20.0,
    delay_ms=5.0,
    overrides=[
        EmulateOverride("stage-1", up_mbps=1.0, delay_ms=50.0),
        EmulateOverride("stage-1/2", up_mbps=2.0),
        EmulateOverride("ann", down_mbps=0.0),
        EmulateOverride("stage-1", jitter_ms=3.0),
    ],
)


@pytest.mark.parametrize(
    ("name", "stage", "replica", "up", "down", "delay", "jitter"),
    [
        ("bob", 0, 2, 10.0, 20.0, 5.0, 0.0),
        ("bob", 1, 0, 1.0, 20.0, 50.0, 3.0),
        ("bob", 1, 2, 2.0, 20.0, 50.0, 3.0),
        ("ann", 0, 0, 10.0, 0.0, 5.0, 0.0),
        ("ann", 1, 2, 2.0, 0.0, 50.0, 3.0),
    ],
)
def test_later_differences_win_over_earlier_ones(
    name: str, stage: int, replica: int, up: float, down: float, delay: float, jitter: float
) -> None:
    found = emulation_for(COMMON, name, stage, replica)
    assert (found.up_mbps, found.down_mbps, found.delay_ms, found.jitter_ms) == (up, down, delay, jitter)
    assert (found.tokens_per_s, found.overrides) == (0.0, [])
