"""The stage engine over DeepSpeed with one rank, on every ZeRO stage, against plain torch.

Every run holds: 1F1B order with two microbatches in flight, a repeated microbatch, a discarded step, and a step in
which this replica counted nothing.
"""

from __future__ import annotations

import pytest

from sharding import audit
from sharding.partition import partition, stage_parameters
from tests.sharding.pipeline import MODEL, STEPS, Pipeline, optimizer, reference

pytestmark = pytest.mark.usefixtures("one_rank")


@pytest.mark.parametrize(("name", "bound"), [("sgd", 1e-5), ("adamw", 1e-4)])
@pytest.mark.parametrize("zero", [0, 1, 2, 3])
def test_every_zero_stage_equals_plain_torch(zero: int, name: str, bound: float) -> None:
    losses, parameters = reference(name)
    pipeline = Pipeline(zero, optimizer(name))
    for step in range(STEPS):
        assert pipeline.train(step) == pytest.approx(losses[step], rel=1e-5), step
    assert pipeline.error(parameters) < bound
    assert [len(engine.export_gradient()) for engine in pipeline.engines] == [
        engine.parameters_count for engine in pipeline.engines
    ]


def test_a_microbatch_counted_twice_shows() -> None:
    wrong = Pipeline(0, optimizer("sgd"))
    for step in range(STEPS):
        wrong.train(step, double=step == 1)
    assert wrong.error(reference("sgd")[1]) > 1e-3


@pytest.mark.parametrize("zero", [0, 1, 2, 3])
def test_a_process_constructs_its_own_stages_and_nothing_else(zero: int) -> None:
    audit.install()
    audit.reset()
    Pipeline(zero, optimizer("sgd"))
    assert audit.constructed_elements() == sum(stage_parameters(MODEL, stage) for stage in partition(MODEL, 2))
