"""Engines of one rank in the test process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from sharding.codecs.base import Array
from sharding.config import ModelConfig, OptimizerConfig
from sharding.engine import EngineSpec, StageEngine
from sharding.partition import StageSpec, whole_stage

TINY = ModelConfig(vocab_size=4, width=4, layers=1, heads=2, kv_heads=1, ffn=3)
"""A model of 128 parameters: 16 in the embedding, 92 in the block, 20 in norm and head."""


@pytest.fixture(scope="module")
def one_rank() -> Iterator[None]:
    """What engines look for in the environment, while a module's tests run; then it is as it was before.

    The process group is joined once, and not left: it needs nothing of the environment after that, DeepSpeed does.
    """
    before = dict(os.environ)
    os.environ.update(RANK="0", LOCAL_RANK="0", WORLD_SIZE="1")
    yield
    os.environ.clear()
    os.environ.update(before)


def build_engine(
    optimizer: OptimizerConfig,
    *,
    zero: int = 1,
    model: ModelConfig = TINY,
    stage: StageSpec | None = None,
    seed: int = 0,
    total_steps: int = 20,
) -> StageEngine:
    """Return an engine of the whole model, or of one stage of it."""
    return StageEngine(
        EngineSpec(
            model=model,
            stage=stage or whole_stage(model),
            optimizer=optimizer,
            zero=zero,
            seed=seed,
            total_steps=total_steps,
            device="cpu",
        )
    )


def parameters(engine: StageEngine) -> dict[str, Array]:
    """Return copies of an engine's parameters, in fp32."""
    return {name: value.numpy().copy() for name, value in engine.full_parameters()}


def tokens(*rows: list[int]) -> Any:
    """Return token ids [B, T]."""
    return np.array(rows, np.int32)
