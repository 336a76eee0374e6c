"""Trains one engine, moves its state into another with other initial values, and trains both on.

python -m tests.sharding.state_worker ZERO OPTIMIZER DTYPE
"""

from __future__ import annotations

import sys

import numpy as np

from sharding.config import ModelConfig, OptimizerConfig
from sharding.engine import EngineSpec, StageEngine
from sharding.partition import partition


def main(zero: int, optimizer: str, dtype: str) -> None:
    """Assert that both hold the same after the move, and after more steps."""
    model = ModelConfig(width=32, layers=2, heads=4, kv_heads=2, ffn=48, vocab_size=64, dtype=dtype)
    config = OptimizerConfig(name=optimizer, lr=1e-2, clip=0.0)
    stage = partition(model, 1)[0]

    def engine(seed: int) -> StageEngine:
        return StageEngine(
            EngineSpec(model=model, stage=stage, optimizer=config, zero=zero, seed=seed, total_steps=20, device="cpu")
        )

    rng = np.random.default_rng(0)
    data = [rng.integers(0, 64, (2, 9)).astype(np.int32) for _ in range(8)]

    def train(trained: StageEngine, step: int) -> float:
        sample = data[step]
        loss = trained.loss((step, 0), sample[:, :-1], np.ascontiguousarray(sample[:, 1:]), 1.0).loss
        trained.apply(trained.export_gradient(), 1.0, step)
        return loss

    one, other = engine(0), engine(1)
    for step in range(3):
        train(one, step)
    state = one.export_state()
    assert other.parameter_hash() != one.parameter_hash(), "a test that starts from the same values shows nothing"
    other.load_state(state)
    assert other.parameter_hash() == one.parameter_hash(), "the parameters did not arrive"
    assert np.array_equal(other.export_state(), state), "the state did not arrive"
    for step in range(3, 8):
        assert train(one, step) == train(other, step), f"other losses in step {step}"
        assert one.parameter_hash() == other.parameter_hash(), f"other parameters after step {step}"
    sys.stdout.write("the same bits\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3])
