"""A participant of the middle stage of three, and what others may send it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from actors.admission import Admission
from actors.spec import ParticipantSpec
from actors.steps.config import TrainConfig
from actors.steps.eras import stamp
from actors.steps.messages import Backward, Forward, Phase, Purpose, Slice
from actors.transport.base import TensorSpec
from actors.transport.config import EmulateConfig
from sharding.config import LayoutConfig, ModelConfig, OptimizerConfig
from sharding.partition import StageSpec, no_stage

STAGES = {"before": 0, "mate": 1, "after": 2}
"""Senders, seen from a participant of stage 1 of three."""
NOW = stamp((), 5)
TRAIN, VALIDATE = Purpose.TRAIN, Purpose.VALIDATE
TOKENS = TensorSpec("int32", (2, 8))
ACTIVATION = TensorSpec("float32", (2, 8, 16))
GRADIENT_LENGTH, STATE_LENGTH = 10, 70000
"""A state is cut into chunks of 65,536 elements, so its second one has 4,464."""


def no_tokens() -> Any:
    raise AssertionError("nothing is read here")


def spec_of(stage: int = 1, dtype: str = "fp32") -> ParticipantSpec:
    """A participant of three stages, with 16 microbatches of 2 sequences of 8 tokens, of width 16."""
    return ParticipantSpec(
        run_id="run",
        name="me",
        replica=0,
        stage=StageSpec(stage, 3, stage, stage + 1, stage == 0, stage == 2) if stage >= 0 else no_stage(3),
        model=ModelConfig(width=16, dtype=dtype),
        optimizer=OptimizerConfig(),
        layout=LayoutConfig(stages=3),
        train=TrainConfig(microbatches=16, microbatch_size=2, sequence=8, validation_microbatches=4),
        emulate=EmulateConfig(),
        profile="local",
        host="",
        port=0,
        folder="",
        config_hash="",
        fingerprint="",
        tokens=no_tokens,
    )


def admission(stage: int = 1, dtype: str = "fp32", *, built: bool = True) -> Admission:
    """Its policy; built: it knows how long its gradient and its state are."""
    made = Admission(spec_of(stage, dtype), STAGES.get)
    if built:
        made.gradient_length, made.state_length = GRADIENT_LENGTH, STATE_LENGTH
    return made


def forward(**fields: Any) -> Forward:
    return replace(Forward(NOW, 3, TRAIN, 1, "origin", 0, ("before", "me", "after")), **fields)


def backward(**fields: Any) -> Backward:
    return replace(Backward(NOW, 3, 1, 0.5, ("after",)), **fields)


def slice_(chunk: int = 0, **fields: Any) -> Slice:
    return replace(Slice(NOW, 9, 0, 2, Phase.SCATTER, chunk), **fields)


def vector(size: int) -> TensorSpec:
    return TensorSpec("float32", (size,))


def fits(one: Admission, sender: str, message: object, *specs: TensorSpec) -> bool:
    return one.check(sender, message, specs, NOW) is None
