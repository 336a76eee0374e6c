"""What kills do: training goes on, with the losses of an undisturbed run; the end leaves no process behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.system.conftest import ROOT, Cluster

LONG = ["layout.stages=2", "layout.replicas=1", "train.steps=100000", "train.validate_every=0"]
LAST = 60
REPLICATED = ["layout.stages=2", "layout.replicas=3", f"train.steps={LAST}", "emulate.tokens_per_s=1500"]
"""Paced, so that a kill meets a run that goes on for a while."""
SGD = ["optimizer.name=sgd", "optimizer.lr=0.1", "optimizer.clip=0", "optimizer.schedule=constant"]
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


def start_training(cluster: Cluster, run_id: str, *settings: str) -> tuple[subprocess.Popen[str], list[int], list[int]]:
    """Start a long run; return it with the processes of its mesh and shard actors once it trains."""
    before = set(cluster.processes("ray::MeshActor")) | set(cluster.processes("ray::ShardActor"))
    process = cluster.start("simulate", *LONG, *settings, run_id=run_id)
    wait_for(lambda: steps(cluster, run_id) >= 2 or process.poll() is not None, 120, "the first steps")
    assert process.poll() is None, process.stdout and process.stdout.read()
    meshes = [pid for pid in cluster.processes("ray::MeshActor") if pid not in before]
    shards = [pid for pid in cluster.processes("ray::ShardActor") if pid not in before]
    assert len(meshes) == len(shards) == (6 if settings else 2)
    return process, meshes, shards


def assert_all_gone(pids: list[int]) -> None:
    wait_for(lambda: not any(Path(f"/proc/{pid}/stat").exists() for pid in pids), DEADLINE_S, f"the end of {pids}")


@pytest.mark.parametrize("kind", ["mesh", "shard"])
def test_training_survives_a_killed_process(cluster: Cluster, kind: str) -> None:
    run_id = f"kill-{kind}"
    process, meshes, shards = start_training(cluster, run_id, *REPLICATED, *SGD)
    since = steps(cluster, run_id)
    os.kill((meshes if kind == "mesh" else shards)[0], signal.SIGKILL)
    output, _ = process.communicate(timeout=150)
    assert process.returncode == 0, output
    report = cluster.report(run_id)
    assert since < LAST - 5, "the kill came too late to mean anything"
    assert report["totals"]["outcome"] == "finished"
    code, output = cluster.run("reference", *SGD, f"train.steps={LAST}", "train.validate_every=0", run_id=run_id)
    assert code == 0, output
    plain = cluster.report(f"{run_id}-reference")
    assert [step["step"] for step in report["steps"]] == list(range(LAST)), "no step is lost or told twice"
    for ours, theirs in zip(report["steps"], plain["steps"], strict=True):
        for figure in ("loss", "grad_norm"):
            assert ours[figure] == pytest.approx(theirs[figure], rel=1e-5), (ours["step"], figure)
        counted = sorted(index for part in ours["counted"].values() for index in part)
        assert counted == sorted([*range(4), *range(4)]), "every stage counts every microbatch once"
    assert {"mesh": "view", "shard": "shards"}[kind] in {event["kind"] for event in report["events"]}
    assert_all_gone([*meshes, *shards])


def test_training_goes_on_to_its_report_without_the_driver(cluster: Cluster) -> None:
    run_id = "kill-driver"
    process, meshes, shards = start_training(cluster, run_id, *REPLICATED, *SGD)
    process.kill()
    process.wait()
    journal = cluster.output / run_id / "report.json"
    wait_for(lambda: journal.exists() and "finished" in journal.read_text(), 120, "the report of the participants")
    report = cluster.report(run_id)
    assert report["totals"]["outcome"] == "finished"
    assert [step["step"] for step in report["steps"]] == list(range(LAST))
    assert_all_gone([*meshes, *shards])


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
