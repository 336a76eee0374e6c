"""Representative cells of the grid on real processes, and that its check catches what it is for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from actors.faults.schedule import Phase, parse
from orchestrator.bench_elastic import Bench
from orchestrator.bench_grid import AT, SETTINGS, Cell, run_cells, wrong_with
from orchestrator.verify import problems
from tests.system.conftest import Cluster

pytestmark = [pytest.mark.system, pytest.mark.timeout(420)]

KILLS = [
    Cell("mesh process", Phase.FORWARD, "SIGKILL"),
    Cell("mesh process", Phase.DECIDED, "SIGKILL"),
    Cell("shard process", Phase.BACKWARD, "SIGKILL"),
    Cell("shard process", Phase.AVERAGING, "SIGKILL"),
    Cell("whole participant", Phase.BACKWARD, "SIGKILL"),
    Cell("whole participant", Phase.PREPARED, "SIGKILL"),
    Cell("two at once", Phase.DECIDED, "SIGKILL"),
    Cell("step leader", Phase.AVERAGING, "SIGKILL"),
    Cell("step leader", Phase.PREPARED, "SIGKILL"),
    Cell("driver", None, "SIGKILL"),
]
SILENCES = [
    Cell("step leader", Phase.FORWARD, "SIGSTOP 20 s"),
    Cell("two at once", Phase.PREPARED, "links cut 20 s"),
]
RUNS: dict[str, tuple[list[Cell], int, int, set[str]]] = {
    "kills": (KILLS, 16, 172, {"restart", "shards", "donates"}),
    "silences": (SILENCES, 30, 96, {"view", "dead"}),
}
"""Cells that happen one after the other in one run: steps between them, steps of the run, and what it must tell of."""


@pytest.fixture(scope="module")
def bench(cluster: Cluster) -> Bench:
    return Bench(cluster.address, cluster.keeper, cluster.output)


@pytest.fixture(scope="module")
def reference(bench: Bench) -> dict[str, Any]:
    longest = max(steps for _, _, steps, _ in RUNS.values())
    return bench.run("reference", [*SETTINGS, f"train.steps={longest}"], "grid-plain")


@pytest.mark.parametrize("name", RUNS)
def test_a_dozen_cells_of_the_grid(bench: Bench, reference: dict[str, Any], name: str) -> None:
    cells, apart, steps, expected = RUNS[name]
    report = run_cells(bench, cells, steps, f"grid-{name}", apart)
    assert wrong_with(report, reference, steps) == []
    happened = [event["detail"] for event in report["events"] if event["kind"] == "fault"]
    for number, cell in enumerate(cells):
        text = str(parse(cell.fault_at(AT + apart * number)))
        assert any(detail.startswith(f"{text}: ") for detail in happened), text
    assert expected <= {event["kind"] for event in report["events"]}, "the report tells of what followed"
    assert bench.orphans() == 0


PLANT = """
import importlib.abc, importlib.machinery, sys

class Planter(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name != "sharding.accumulate":
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        right = spec.loader.exec_module
        def execute(module):
            right(module)
            add, calls = module.Accumulator.add, [0]
            def planted(self, gradients):
                calls[0] += 1
                for _ in range(TIMES if calls[0] == 3 else 1):
                    add(self, gradients)
            module.Accumulator.add = planted
        spec.loader.exec_module = execute
        return spec

sys.meta_path.insert(0, Planter())
"""


@pytest.mark.parametrize("times", [0, 2])
def test_a_microbatch_that_is_lost_or_counted_twice_in_real_processes_fails_the_check(
    bench: Bench, reference: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    (tmp_path / "sitecustomize.py").write_text(PLANT.replace("TIMES", str(times)))
    path = os.pathsep.join(part for part in (str(tmp_path), os.environ.get("PYTHONPATH", "")) if part)
    monkeypatch.setenv("PYTHONPATH", path)
    report = bench.run("simulate", [*SETTINGS, "layout.replicas=1", "train.steps=5"], f"planted-{times}")
    wrong = problems(report, reference, 5, 4)
    assert any(text.startswith("loss differs") for text in wrong), wrong
    assert any(text.startswith("grad_norm differs") for text in wrong), wrong


def test_a_fault_that_never_happens_fails_the_run(cluster: Cluster) -> None:
    settings = ["layout.stages=2", "layout.replicas=1", "train.steps=3", "faults=[kill stage-0/0 at second 5000]"]
    code, output = cluster.run("simulate", *settings, run_id="never")
    assert code == 1
    assert "faults that never happened: `kill stage-0/0 at second 5000`" in " ".join(output.split())
    assert cluster.report("never")["totals"]["outcome"] == "failed"
