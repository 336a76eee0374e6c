"""One update of an engine, by hand: the clip factor, SGD, AdamW, decay and momentum, on every ZeRO stage."""

from __future__ import annotations

import numpy as np
import pytest

from sharding.codecs.base import Array
from sharding.config import OptimizerConfig
from sharding.engine import StageEngine
from tests.sharding.engines import build_engine, parameters

pytestmark = pytest.mark.usefixtures("one_rank")
NORM = "layers.0.ffn_norm.weight"
"""A vector, so it does not decay; all its elements begin at 1."""
MATRIX = "layers.0.ffn.up.weight"
STAGES = pytest.mark.parametrize("zero", [0, 1, 2, 3])


def config(name: str, **changes: float) -> OptimizerConfig:
    """Return an optimizer with a constant rate of 0.1 and round numbers."""
    settings: dict[str, float] = {"lr": 0.1, "warmup_steps": 0, "weight_decay": 0.0} | changes
    return OptimizerConfig(name=name, schedule="constant", **settings)  # type: ignore[arg-type]


def even(engine: StageEngine, value: float) -> Array:
    """Return an average that is the same for every element."""
    return np.full(engine.parameters_count, value, np.float32)


@STAGES
def test_sgd_goes_down_by_rate_times_factor_times_gradient(zero: int) -> None:
    engine = build_engine(config("sgd"), zero=zero)
    engine.apply(even(engine, 2.0), 0.5, 0)
    assert parameters(engine)[NORM] == pytest.approx(0.9)  # 1 - 0.1 * 0.5 * 2
    engine.apply(even(engine, -3.0), 1.0, 1)
    assert parameters(engine)[NORM] == pytest.approx(1.2)  # 0.9 + 0.1 * 3
    engine.apply(even(engine, 4.0), 0.25, 2)
    assert parameters(engine)[NORM] == pytest.approx(1.1)  # 1.2 - 0.1 * 0.25 * 4


@STAGES
def test_adamw_over_two_steps_of_one_parameter(zero: int) -> None:
    engine = build_engine(config("adamw", beta1=0.5, beta2=0.5, eps=1.0), zero=zero)
    # Gradient 2 * 0.5 = 1: m = 0.5, v = 0.5, both 1 after the correction by 1 - 0.5, and 0.1 * 1 / (1 + 1) = 0.05.
    engine.apply(even(engine, 2.0), 0.5, 0)
    assert parameters(engine)[NORM] == pytest.approx(0.95)
    # Gradient 12 * 0.25 = 3: m = 0.25 + 1.5 = 1.75, v = 0.25 + 4.5 = 4.75, corrected by 1 - 0.25 to 2.33333 and
    # 6.33333, whose root is 2.516611. So 0.1 * 2.33333 / 3.516611 = 0.0663517.
    engine.apply(even(engine, 12.0), 0.25, 1)
    assert parameters(engine)[NORM] == pytest.approx(0.8836483, abs=1e-6)


def test_momentum_adds_what_is_left_of_earlier_gradients() -> None:
    engine = build_engine(config("sgd", momentum=0.5))
    engine.apply(even(engine, 1.0), 1.0, 0)
    engine.apply(even(engine, 1.0), 1.0, 1)
    assert parameters(engine)[NORM] == pytest.approx(0.75)  # 1 - 0.1 * 1 - 0.1 * (0.5 + 1)


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_matrices_decay_and_vectors_do_not(name: str) -> None:
    engine = build_engine(config(name, weight_decay=0.5))
    before = parameters(engine)
    engine.apply(even(engine, 0.0), 1.0, 0)
    after = parameters(engine)
    assert np.array_equal(after[NORM], before[NORM])
    assert after[MATRIX] == pytest.approx(0.95 * before[MATRIX])  # 1 - 0.1 * 0.5, for both: the gradient is 0
    assert after["embedding.weight"] == pytest.approx(0.95 * before["embedding.weight"])


def test_the_decay_of_sgd_is_part_of_its_gradient_and_adamw_s_is_not() -> None:
    start, moved = {}, {}
    for name in ("sgd", "adamw"):
        engine = build_engine(config(name, weight_decay=0.5, beta1=0.5, beta2=0.5, eps=1.0, momentum=0.5))
        start[name] = parameters(engine)[MATRIX]
        engine.apply(even(engine, 1.0), 1.0, 0)
        engine.apply(even(engine, 1.0), 1.0, 1)
        moved[name] = parameters(engine)[MATRIX]
    # SGD: the first update is 0.1 * (1 + 0.5 p), its momentum is halved and comes again. With a = 1 + 0.5 p:
    # q = p - 0.1 a and p - 0.1 a - 0.1 * (0.5 a + 1 + 0.5 q).
    p = start["sgd"]
    a, q = 1 + 0.5 * p, p - 0.1 * (1 + 0.5 * p)
    assert moved["sgd"] == pytest.approx(q - 0.05 * a - 0.1 - 0.05 * q, abs=1e-6)
    # AdamW: both times 1 / (1 + 1) of the rate, and a twentieth of what it is.
    assert moved["adamw"] == pytest.approx(0.95 * (0.95 * start["adamw"] - 0.05) - 0.05, abs=1e-6)


def test_the_rate_is_that_of_the_step() -> None:
    engine = build_engine(config("sgd", warmup_steps=4))
    engine.apply(even(engine, 1.0), 1.0, 1)
    assert parameters(engine)[NORM] == pytest.approx(0.95)  # 2 of 4 steps of warm-up: half of 0.1
    engine.apply(even(engine, 1.0), 1.0, 3)
    assert parameters(engine)[NORM] == pytest.approx(0.85)


@STAGES
def test_the_average_is_in_the_order_of_the_inventory(zero: int) -> None:
    engine = build_engine(config("sgd"), zero=zero)
    before = parameters(engine)
    average = np.arange(engine.parameters_count, dtype=np.float32)
    engine.apply(average, 0.5, 0)
    after, at = parameters(engine), 0
    for name, shape in engine.inventory().items():
        size = int(np.prod(shape))
        step = 0.05 * np.arange(at, at + size).reshape(shape)  # rate 0.1, factor 0.5
        assert after[name] == pytest.approx(before[name] - step, abs=1e-5), name
        at += size
    assert at == engine.parameters_count == 128


def test_the_average_is_not_written_to() -> None:
    engine = build_engine(config("sgd"))
    average = even(engine, 2.0)
    average.flags.writeable = False
    engine.apply(average, 0.5, 0)
    assert (average == 2.0).all()
    assert parameters(engine)[NORM] == pytest.approx(0.9)


def test_an_unknown_optimizer_is_named_with_those_that_there_are() -> None:
    with pytest.raises(ValueError, match="'lion' is unknown; use one of adamw, sgd"):
        build_engine(config("lion"))
