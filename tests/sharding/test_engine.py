"""The stage engine over DeepSpeed, ZeRO 0 to 3 with 1 and 2 ranks, against plain torch.

Every run holds: 1F1B order with two microbatches in flight, a repeated microbatch, a discarded step, and a step in
which this replica counted nothing. It happens in processes of its own, as a process has one process group.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sharding.ranks import run_ranks

pytestmark = pytest.mark.timeout(180)


@pytest.mark.parametrize(("world", "optimizer"), [(1, "sgd"), (2, "sgd"), (1, "adamw")])
def test_every_zero_stage_equals_plain_torch(world: int, optimizer: str, tmp_path: Path) -> None:
    arguments = [str(tmp_path / "rendezvous"), optimizer]
    results = run_ranks("tests.sharding.engine_worker", world, arguments)
    bound = 1e-5 if optimizer == "sgd" else 1e-4
    for result in results:
        for zero in "0123":
            assert result[zero]["loss"] < 1e-5, (zero, result[zero])
            assert result[zero]["parameters"] < bound, (zero, result[zero])
            assert result[zero]["hashes"] == results[0][zero]["hashes"]
            assert result[zero]["part"] == pytest.approx(1 / world, rel=0.01)
        if optimizer == "sgd":
            assert result["double"] > 1e-3, "a microbatch counted twice must show"


def test_a_process_constructs_its_own_stages_and_nothing_else(tmp_path: Path) -> None:
    (result,) = run_ranks("tests.sharding.engine_worker", 1, [str(tmp_path / "rendezvous"), "sgd"])
    for zero in "0123":
        assert result[zero]["built"] == result[zero]["own"]
