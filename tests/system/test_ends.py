"""How runs end when somebody ends them: with a report, and without a process left behind."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.system.conftest import ROOT, Cluster, committed, wait_for

LONG = ["layout.stages=2", "layout.replicas=1", "train.steps=100000", "train.validate_every=0"]
DEADLINE_S = 30.0

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]


def start_training(cluster: Cluster, run_id: str) -> tuple[subprocess.Popen[str], list[int], list[int]]:
    """Start a long run; return it with the processes of its mesh and shard actors once it trains."""
    before = set(cluster.processes("ray::MeshActor")) | set(cluster.processes("ray::ShardActor"))
    process = cluster.start("simulate", *LONG, run_id=run_id)
    wait_for(lambda: committed(cluster.output, run_id) >= 2 or process.poll() is not None, 120, "the first steps")
    assert process.poll() is None, process.stdout and process.stdout.read()
    meshes = [pid for pid in cluster.processes("ray::MeshActor") if pid not in before]
    shards = [pid for pid in cluster.processes("ray::ShardActor") if pid not in before]
    assert len(meshes) == len(shards) == 2
    return process, meshes, shards


def assert_all_gone(pids: list[int]) -> None:
    wait_for(lambda: not any(Path(f"/proc/{pid}/stat").exists() for pid in pids), DEADLINE_S, f"the end of {pids}")


def test_a_run_without_a_driver_can_be_stopped(cluster: Cluster) -> None:
    run_id = "stop-driverless"
    process, meshes, shards = start_training(cluster, run_id)
    process.kill()
    process.wait()
    command = [sys.executable, "-m", "orchestrator", "stop", run_id, "--address", cluster.address]
    stopped = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=90, check=False)
    assert stopped.returncode == 0, stopped.stderr
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
