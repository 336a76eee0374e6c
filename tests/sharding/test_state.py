"""A shard's flat state goes elsewhere and back, and training continues with the same bits."""

from __future__ import annotations

import numpy as np
import pytest

from sharding.config import ModelConfig, OptimizerConfig
from sharding.engine import StageEngine
from tests.sharding.engines import TINY, build_engine

pytestmark = pytest.mark.usefixtures("one_rank")
CASES = [(0, "adamw", "fp32"), (1, "adamw", "bf16"), (2, "sgd", "fp32"), (3, "adamw", "fp32"), (0, "adamw", "bf16")]
DATA = [np.random.default_rng(0).integers(0, 64, (2, 9)).astype(np.int32) for _ in range(8)]


def train(trained: StageEngine, step: int) -> float:
    """Train one step; return its loss."""
    sample = DATA[step]
    loss = trained.loss((step, 0), sample[:, :-1], np.ascontiguousarray(sample[:, 1:]), 1.0).loss
    trained.apply(trained.export_gradient(), 1.0, step)
    return loss


@pytest.mark.parametrize(("zero", "optimizer", "dtype"), CASES)
def test_another_engine_goes_on_with_the_same_bits(zero: int, optimizer: str, dtype: str) -> None:
    model = ModelConfig(width=32, layers=2, heads=4, kv_heads=2, ffn=48, vocab_size=64, dtype=dtype)
    config = OptimizerConfig(name=optimizer, lr=1e-2, clip=0.0)
    one, other = (build_engine(config, zero=zero, model=model, seed=seed) for seed in (0, 1))
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


@pytest.mark.parametrize(
    ("zero", "optimizer", "momentum", "dtype", "vectors"),
    [
        pytest.param(0, "adamw", 0.0, "fp32", 3, id="parameters and two moments"),
        pytest.param(1, "adamw", 0.0, "fp32", 4, id="ZeRO keeps masters of its own"),
        pytest.param(3, "adamw", 0.0, "fp32", 4, id="so does ZeRO 3"),
        pytest.param(0, "adamw", 0.0, "bf16", 4, id="so does bf16"),
        pytest.param(0, "sgd", 0.0, "fp32", 1, id="plain SGD keeps nothing"),
        pytest.param(0, "sgd", 0.9, "fp32", 2, id="momentum is one vector"),
        pytest.param(2, "sgd", 0.9, "fp32", 3, id="momentum beside masters"),
    ],
)
def test_the_length_is_some_vectors_and_the_count_of_steps(
    zero: int, optimizer: str, momentum: float, dtype: str, vectors: int
) -> None:
    model = ModelConfig(**{**vars(TINY), "dtype": dtype})
    engine = build_engine(OptimizerConfig(name=optimizer, momentum=momentum), zero=zero, model=model)
    assert engine.state_length == len(engine.export_state()) == vectors * 128 + 1


@pytest.mark.parametrize("zero", [0, 3])
def test_parameters_come_first_by_name_and_the_count_of_steps_last(zero: int) -> None:
    engine = build_engine(OptimizerConfig(name="adamw"), zero=zero)
    for step in range(3):
        engine.apply(np.full(128, 1.0, np.float32), 1.0, step)
    state = engine.export_state()
    assert state[-1] == 3.0
    expected = np.concatenate([value.numpy().reshape(-1) for _, value in engine.full_parameters()])
    assert np.array_equal(state[:128], expected)
    assert [name for name, _ in engine.full_parameters()] == sorted(engine.inventory())


def test_a_state_of_another_length_is_refused_with_both_numbers() -> None:
    engine = build_engine(OptimizerConfig(name="adamw"), zero=0)
    with pytest.raises(ValueError, match=r"a state of \(384,\) elements does not fit: this shard's has 385"):
        engine.load_state(np.zeros(384, np.float32))


@pytest.mark.parametrize("named", [False, True])
def test_taking_over_a_state_forgets_what_was_counted(named: bool) -> None:
    engine = build_engine(OptimizerConfig(name="sgd"))
    saved, flat = [(box, values.clone()) for box, values in engine.named_state()], engine.export_state()
    x = np.array([[0, 1, 2]], np.int32)
    engine.loss((0, 0), x, x, 1.0)
    assert engine.counted and engine.export_gradient().any()
    if named:
        engine.load_named_state(saved)
    else:
        engine.load_state(flat)
    assert engine.counted == frozenset() and not engine.export_gradient().any()
