"""How runs end when somebody ends them: with a report, and without a process left behind."""

from __future__ import annotations

import os
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
    told = committed(cluster.output, run_id)
    process = cluster.start("simulate", *LONG, run_id=run_id)
    trains = lambda: 2 <= committed(cluster.output, run_id) != told  # noqa: E731
    wait_for(lambda: trains() or process.poll() is not None, 120, "the first steps")
    assert process.poll() is None, process.stdout and process.stdout.read()
    meshes = [pid for pid in cluster.processes("ray::MeshActor") if pid not in before]
    shards = [pid for pid in cluster.processes("ray::ShardActor") if pid not in before]
    assert len(meshes) == len(shards) == 2
    return process, meshes, shards


END = """
import sys, ray
from ray.util import list_named_actors
ray.init(address=sys.argv[1], namespace="tessera", log_to_driver=False, logging_level="ERROR")
for entry in list_named_actors(all_namespaces=True):
    if entry["name"].startswith(f"tessera/{sys.argv[2]}/") and entry["name"].count("/") == 3:
        ray.kill(ray.get_actor(entry["name"]), no_restart=True)
"""


def assert_all_gone(pids: list[int]) -> None:
    wait_for(lambda: not any(Path(f"/proc/{pid}/stat").exists() for pid in pids), DEADLINE_S, f"the end of {pids}")


def test_a_run_whose_machine_lost_power_begins_again_under_its_name_and_ends_without_a_driver(cluster: Cluster) -> None:
    """Whatever the one before left behind; `stop` ends the second one, whose driver is killed."""
    run_id = "again"
    process, meshes, shards = start_training(cluster, run_id)
    process.kill()
    process.wait()
    for pid in meshes:
        os.kill(pid, signal.SIGSTOP)  # so that no process tidies up
    command = [sys.executable, "-c", END, cluster.address, run_id]
    subprocess.run(command, cwd=ROOT, check=True, timeout=90)
    assert_all_gone([*meshes, *shards])
    process, meshes, shards = start_training(cluster, run_id)
    process.kill()
    process.wait()
    command = [sys.executable, "-m", "orchestrator", "stop", run_id, "--address", cluster.address]
    stopped = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=90, check=False)
    assert stopped.returncode == 0, stopped.stderr
    assert_all_gone([*meshes, *shards])


def test_ctrl_c_leaves_nothing_behind_and_a_report(cluster: Cluster) -> None:
    """SIGTERM, which takes the same way, ends the run of test_sites."""
    process, meshes, shards = start_training(cluster, "stop-sigint")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 130
    assert cluster.report("stop-sigint")["totals"]["outcome"] == "stopped"
    assert_all_gone([*meshes, *shards])
