"""Faults planted below the step protocol, in shards and links, break the contract of a world of whole participants."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from actors.outgoing import Outgoing
from actors.steps.messages import Slice
from orchestrator.simulation.runtime.numpy_engine import NumpyEngine
from orchestrator.simulation.runtime.world import RuntimeWorld, base_spec
from orchestrator.simulation.trace import Violation


@pytest.fixture
def planted() -> Iterator[pytest.MonkeyPatch]:
    """A fault takes the place of what is right, for one test."""
    with pytest.MonkeyPatch.context() as patch:
        yield patch


def broken() -> str:
    """What an undisturbed world says of the planted fault."""
    with RuntimeWorld(5, [2, 2], base_spec(2, 2, steps=5)) as world, pytest.raises(Violation) as violation:
        world.settle(600)
    return violation.value.what


@pytest.mark.parametrize("times", [0, 2])
def test_a_gradient_that_is_lost_or_added_twice(planted: pytest.MonkeyPatch, times: int) -> None:
    right, calls = NumpyEngine._count, [0]

    def count(self: NumpyEngine, key: tuple[int, int], gradients: dict[str, Any], g_in: Any) -> tuple[Any, ...]:
        calls[0] += 1
        wrong = {name: times * gradient for name, gradient in gradients.items()} if calls[0] == 3 else gradients
        return right(self, key, wrong, g_in)

    planted.setattr(NumpyEngine, "_count", count)
    assert "gradient norm" in broken()


def test_an_update_without_the_clip_factor(planted: pytest.MonkeyPatch) -> None:
    """Only a run that clips can show it."""
    right = NumpyEngine.apply
    planted.setattr(NumpyEngine, "apply", lambda self, average, factor, step: right(self, average, 1.0, step))
    spec = base_spec(2, 2, steps=5)
    clips = replace(spec, optimizer=replace(spec.optimizer, clip=0.1))
    with RuntimeWorld(5, [2, 2], clips) as world, pytest.raises(Violation, match="with an error of"):
        world.settle(600)


def test_a_slice_with_a_flipped_value(planted: pytest.MonkeyPatch) -> None:
    """Averages of the replicas differ: no step is decided, and the run ends with the reason."""
    right, calls = Outgoing.put, [0]

    def put(self: Outgoing, to: str, message: object, payload: Any) -> None:
        if isinstance(message, Slice) and isinstance(payload, tuple):
            calls[0] += 1
            payload = (payload[0] * np.float32(1.5),) if calls[0] % 4 == 0 else payload
        right(self, to, message, payload)

    planted.setattr(Outgoing, "put", put)
    assert "have different averages" in broken()
