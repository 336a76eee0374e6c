"""Which boundary between two stages a message crosses; -1 is that before stage 0."""

from __future__ import annotations

import pytest

from actors.steps.messages import Backward
from tests.steps.parts import STEP, forward


@pytest.mark.parametrize(("stage", "boundary"), [(0, -1), (1, 0), (3, 2)])
def test_an_activation_crosses_the_boundary_before_its_stage(stage: int, boundary: int) -> None:
    assert forward(0, stage, ()).boundary == boundary


@pytest.mark.parametrize("stage", [0, 2])
def test_a_gradient_crosses_the_boundary_after_the_stage_that_gets_it(stage: int) -> None:
    assert Backward(STEP, 0, stage, 0.5, ()).boundary == stage
