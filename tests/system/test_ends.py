"""How runs end: whatever is killed, the run ends with one message that names it, and leaves no process behind."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.system.conftest import Cluster

LONG = ["layout.stages=2", "layout.replicas=1", "train.steps=100000", "train.validate_every=0"]
DEADLINE_S = 30.0

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]


def wait_for(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait with a deadline."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds:.0f} s for {what}"
        time.sleep(0.1)


def steps(cluster: Cluster, run_id: str) -> int:
    """Return how many steps are committed so far."""
    journal = cluster.output / run_id / "metrics.jsonl"
    return journal.read_text().count("\n") if journal.exists() else 0


def start_training(cluster: Cluster, run_id: str) -> tuple[subprocess.Popen[str], list[int], list[int]]:
    """Start a long run; return it with the processes of its mesh and shard actors once it trains."""
    before = set(cluster.processes("ray::MeshActor")) | set(cluster.processes("ray::ShardActor"))
    process = cluster.start("simulate", *LONG, run_id=run_id)
    wait_for(lambda: steps(cluster, run_id) >= 2 or process.poll() is not None, 120, "the first steps")
    assert process.poll() is None, process.stdout and process.stdout.read()
    meshes = [pid for pid in cluster.processes("ray::MeshActor") if pid not in before]
    shards = [pid for pid in cluster.processes("ray::ShardActor") if pid not in before]
    assert len(meshes) == len(shards) == 2
    return process, meshes, shards


def assert_all_gone(pids: list[int]) -> None:
    wait_for(lambda: not any(Path(f"/proc/{pid}/stat").exists() for pid in pids), DEADLINE_S, f"the end of {pids}")


@pytest.mark.parametrize("kind", ["mesh", "shard"])
def test_a_killed_process_ends_the_run_with_its_name(cluster: Cluster, kind: str) -> None:
    run_id = f"kill-{kind}"
    process, meshes, shards = start_training(cluster, run_id)
    os.kill((meshes if kind == "mesh" else shards)[0], signal.SIGKILL)
    output, _ = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 1
    said = [line for line in output.splitlines() if line.startswith("The run failed:")]
    assert len(said) == 1, output
    report = cluster.report(run_id)
    names = [participant["name"] for participant in report["participants"]]
    assert "lost" in report["totals"]["failure"]
    assert any(name in report["totals"]["failure"] for name in names)
    assert report["totals"]["outcome"] == "failed"
    assert_all_gone([*meshes, *shards])


def test_participants_end_themselves_when_the_driver_is_killed(cluster: Cluster) -> None:
    process, meshes, shards = start_training(cluster, "kill-driver")
    process.kill()
    process.wait()
    assert_all_gone([*meshes, *shards])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_leaves_nothing_behind_and_has_a_report(cluster: Cluster, number: signal.Signals) -> None:
    run_id = f"stop-{number.name.lower()}"
    process, meshes, shards = start_training(cluster, run_id)
    process.send_signal(number)
    process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 130
    assert cluster.report(run_id)["totals"]["outcome"] == "stopped"
    assert_all_gone([*meshes, *shards])
