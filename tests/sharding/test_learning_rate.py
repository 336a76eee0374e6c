"""The learning rate of every step, with the numbers worked out by hand."""

from __future__ import annotations

import pytest

from sharding.config import OptimizerConfig
from sharding.schedule import learning_rate

COSINE = OptimizerConfig(lr=1.0, schedule="cosine", warmup_steps=2, min_lr_ratio=0.2)
CONSTANT = OptimizerConfig(lr=0.5, schedule="constant", warmup_steps=4)
# Warm-up of 2 over 7 steps: steps 2 .. 6 are the cosine, progress 0, 1/4, 1/2, 3/4, 1. With a floor of 0.2 the rate is
# 0.2 + 0.8 * (1 + cos(pi * progress)) / 2, and cos is 1, 0.70711, 0, -0.70711, -1.
OVER_SEVEN = {0: 0.5, 1: 1.0, 2: 1.0, 3: 0.882843, 4: 0.6, 5: 0.317157, 6: 0.2, 7: 0.2, 100: 0.2}


@pytest.mark.parametrize(("step", "rate"), list(OVER_SEVEN.items()))
def test_a_cosine_follows_the_warm_up_and_ends_at_its_floor(step: int, rate: float) -> None:
    assert learning_rate(COSINE, step, 7) == pytest.approx(rate, abs=1e-6)


@pytest.mark.parametrize(
    ("step", "rate"),
    [(0, 0.125), (1, 0.25), (2, 0.375), (3, 0.5), (4, 0.5), (19, 0.5), (20, 0.5), (1000, 0.5)],
)
def test_a_constant_rate_begins_with_the_same_warm_up(step: int, rate: float) -> None:
    assert learning_rate(CONSTANT, step, 20) == rate


@pytest.mark.parametrize(
    ("warmup", "total", "step", "rate"),
    [
        pytest.param(0, 3, 0, 1.0, id="without a warm-up the first step has the peak"),
        pytest.param(0, 3, 1, 0.6, id="half way down between 1 and 0.2"),
        pytest.param(0, 3, 2, 0.2, id="the last step has the floor"),
        pytest.param(0, 1, 0, 0.2, id="the only step is the last one"),
        pytest.param(2, 3, 2, 0.2, id="one step after the warm-up is the last one"),
        pytest.param(2, 4, 2, 1.0, id="two steps after the warm-up: the first has the peak"),
        pytest.param(2, 4, 3, 0.2, id="two steps after the warm-up: the last has the floor"),
        pytest.param(5, 3, 2, 0.6, id="a run can end within its warm-up: 3 of 5"),
        pytest.param(3, 3, 3, 0.2, id="beyond a run that ends with its warm-up"),
        pytest.param(3, 2, 4, 0.2, id="beyond a run that ends within its warm-up"),
    ],
)
def test_the_cosine_at_its_edges(warmup: int, total: int, step: int, rate: float) -> None:
    config = OptimizerConfig(lr=1.0, warmup_steps=warmup, min_lr_ratio=0.2)
    assert learning_rate(config, step, total) == pytest.approx(rate)


@pytest.mark.parametrize(("floor", "last"), [(0.0, 0.0), (1.0, 2.0), (0.25, 0.5)])
def test_the_floor_is_a_share_of_the_peak(floor: float, last: float) -> None:
    config = OptimizerConfig(lr=2.0, warmup_steps=1, min_lr_ratio=floor)
    assert learning_rate(config, 9, 10) == pytest.approx(last)
    assert learning_rate(config, 0, 10) == 2.0


def test_an_unknown_schedule_is_named_with_those_that_there_are() -> None:
    with pytest.raises(ValueError, match="'linear' is unknown; use one of cosine, constant"):
        learning_rate(OptimizerConfig(schedule="linear"), 0, 10)
