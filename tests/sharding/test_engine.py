"""The stage engine over DeepSpeed, ZeRO 0 to 3 with 1 and 2 ranks, against plain torch.

Every run holds: 1F1B order with two microbatches in flight, a repeated microbatch, a discarded step, and a step in
which this replica counted nothing. It happens in processes of its own, as a process has one process group.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.timeout(180)


def run_ranks(world: int, optimizer: str, folder: Path) -> list[dict[str, Any]]:
    """Run all ranks and return what each printed."""
    rendezvous = str(folder / "rendezvous")
    ranks = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.sharding.engine_worker", str(rank), str(world), rendezvous, optimizer],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(world)
    ]
    results = []
    for process in ranks:
        output, errors = process.communicate(timeout=170)
        assert process.returncode == 0, errors[-3000:]
        results.append(json.loads(output.strip().splitlines()[-1]))
    return results


@pytest.mark.parametrize(("world", "optimizer"), [(1, "sgd"), (2, "sgd"), (1, "adamw")])
def test_every_zero_stage_equals_plain_torch(world: int, optimizer: str, tmp_path: Path) -> None:
    results = run_ranks(world, optimizer, tmp_path)
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
    (result,) = run_ranks(1, "sgd", tmp_path)
    for zero in "0123":
        assert result[zero]["built"] == result[zero]["own"]
