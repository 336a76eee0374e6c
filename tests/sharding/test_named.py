"""A state goes by name from every ZeRO stage onto every other, and training goes on as before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.sharding.moves import ONE, read, write

pytestmark = pytest.mark.usefixtures("one_rank")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, one_rank: None) -> tuple[Path, dict[int, dict[str, Any]]]:
    """A folder with the states of all ZeRO stages, and how each goes on."""
    folder = tmp_path_factory.mktemp("written")
    return folder, {zero: write(zero, "fp32", "adamw", ONE, folder) for zero in range(4)}


@pytest.mark.parametrize("zero", [0, 1, 2, 3])
@pytest.mark.parametrize("source", [0, 1, 2, 3])
def test_training_goes_on_from_any_zero_stage_on_any(
    source: int, zero: int, written: tuple[Path, dict[int, dict[str, Any]]]
) -> None:
    folder, origins = written
    origin, found = origins[source], read(source, zero, "fp32", "adamw", ONE, folder)
    assert found["before"] == origin["before"], "other parameters arrived"
    assert found["losses"] == pytest.approx(origin["losses"], rel=1e-5)
    if source == zero:
        assert found == origin, "not the same bits on the same layout"
