"""A fault that a second check repairs shows as a number out of its range; `test_worlds` looks at right worlds."""

from __future__ import annotations

import os

import pytest

from actors.steps.fetch import Fetch
from orchestrator.simulation import step_seeds
from orchestrator.simulation.seeds import many
from tests.steps.repairs import out_of_range

WORLDS = 60


def test_chunks_that_are_taken_for_damaged_are_seen_though_all_comes_right(monkeypatch: pytest.MonkeyPatch) -> None:
    right, calls = Fetch.take, [0]

    def take(self: Fetch, number: int, values: object) -> bool:
        calls[0] += 1
        return calls[0] % 5 != 0 and right(self, number, values)  # type: ignore[arg-type]

    monkeypatch.setattr(Fetch, "take", take)
    reached, broken = many(step_seeds.one, range(WORLDS), os.cpu_count() or 2)
    assert not broken, "the states are fetched from others, and every world comes right"
    assert "damaged" in out_of_range(reached, WORLDS)
