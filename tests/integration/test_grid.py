"""The whole grid: who is hit, when in a step, and how. Every cell is a run that has to equal the reference."""

from __future__ import annotations

from functools import cache

import pytest

from actors.faults.schedule import Phase, parse
from orchestrator.bench_grid import Cell, cells
from orchestrator.simulation.runtime.numpy_model import CountingTokens, Reference, reference
from orchestrator.simulation.runtime.schedule import Schedule
from orchestrator.simulation.runtime.world import RuntimeWorld
from orchestrator.simulation.trace import Trace
from tests.integration.helpers import assert_trained, spec, voters

pytestmark = pytest.mark.slow

AT, STEPS = 2, 14
RUN = spec(2, 3, steps=STEPS, microbatches=6, validate_every=0)
CELLS = [cell for cell in cells() if cell.phase is not None]


@cache
def trained() -> Reference:
    """The reference of all cells."""
    return reference(RUN, CountingTokens(RUN))


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.BEGIN])
def test_every_cell_of_the_grid(phase: Phase) -> None:
    for number, cell in enumerate(cell for cell in CELLS if cell.phase is phase):
        with RuntimeWorld(number, [3, 3], RUN, compute_s=0.9, trace=Trace(), training=trained()) as world:
            schedule = Schedule(world, [parse(cell.fault_at(AT))])
            world.settle(900)
            assert schedule.missing() == [], cell.name
            assert_trained(world)
            assert voters(world) == {home.name for home in world.homes.values()}, f"{cell.name}: all are back"


def test_the_grid_has_all_victims_and_faults_in_every_phase() -> None:
    """Five victims and three faults in five phases; a shard process owns no link that could be cut."""
    assert len(CELLS) == 5 * (5 * 3 - 1)
    assert Cell("shard process", Phase.FORWARD, "links cut 20 s") not in CELLS
