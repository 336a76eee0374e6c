"""Checkpoints of real runs: taken up again on the same layout and on others, with kills while they are written."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from checkpoint.catalogue import State, catalogue
from checkpoint.store import Store
from orchestrator.bench_elastic import Bench
from orchestrator.verify import problems, relative_error
from tests.system.conftest import SMALL, Cluster, wait_for

pytestmark = [pytest.mark.system, pytest.mark.timeout(400)]

SETTINGS = [
    *SMALL,
    "layout.stages=2",
    "layout.max_model_share=1.0",
    "train.microbatches=4",
    "optimizer.clip=0",
    "optimizer.schedule=constant",
    "train.keep_every=0",
    "train.validate_every=0",
]
SGD = ["optimizer.name=sgd", "optimizer.lr=0.03"]


def good(folder: Path) -> list[str]:
    """Folders of whole checkpoints, every byte looked at; the newest first."""
    return [one.id.folder for one in catalogue(Store.open(str(folder)), deep=True) if one.state is State.GOOD]


def test_kills_while_it_is_written_and_a_lost_stage_that_rolls_back(cluster: Cluster, tmp_path: Path) -> None:
    """Any participant at any moment: the run goes on, where a stage is lost from a checkpoint; all listed are whole."""
    bench = Bench(cluster.address, cluster.keeper, cluster.output)
    settings = [*SETTINGS, *SGD, "layout.replicas=2", "emulate.tokens_per_s=600", "train.steps=20"]
    reference = bench.run("reference", settings, "kills-plain")
    faults = ["kill stage-0/0 at step 4", "kill stage-1 at step 10", "kill leader at step 16"]
    saving = [f"checkpoint.url={tmp_path}", "checkpoint.every=4", "checkpoint.last=9", "train.lost_stage=rollback"]
    report = bench.run("simulate", [*settings, *saving, f"faults=[{', '.join(faults)}]"], "kills", seconds=280)
    assert problems(report, reference, 20, 4) == []
    assert report["totals"]["steps_lost"] > 0
    assert len({step["era"] for step in report["steps"]}) > 1
    whole = good(tmp_path)
    assert whole[0].endswith("c0000000020") and whole[0] > "h0001", "a new era writes a history of its own"
    assert bench.orphans() == 0


def test_all_die_at_once_and_the_run_is_taken_up(cluster: Cluster, tmp_path: Path) -> None:
    bench = Bench(cluster.address, cluster.keeper, cluster.output)
    settings = [*SETTINGS, *SGD, "layout.replicas=1", "emulate.tokens_per_s=600", "train.steps=14"]
    reference = bench.run("reference", settings, "all-plain")
    saving = [f"checkpoint.url={tmp_path}", "checkpoint.every=3"]
    running = bench.start("simulate", [*settings, *saving], "all")

    wait_for(lambda: any(tmp_path.glob("*c0000000006/*/*.distcp")), 200, "the second checkpoint's first file", 0.02)
    running.kill()
    for process in bench.actors():
        with contextlib.suppress(psutil.Error):  # it may have died with another one
            process.kill()
    running.communicate(timeout=30)
    stop = [sys.executable, "-m", "orchestrator", "stop", "all", "--address", cluster.address]
    subprocess.run(stop, check=False, timeout=90, capture_output=True)  # those that Ray has started again
    assert bench.orphans(60) == 0
    newest = good(tmp_path)[0]
    assert newest in ("h0000-c0000000003", "h0000-c0000000006")
    commit = int(newest[-10:])
    report = bench.run("simulate", [*settings, *saving, f"checkpoint.resume={tmp_path}"], "all-again", seconds=200)
    assert report["totals"]["outcome"] == "finished", report["totals"]["failure"]
    assert relative_error(report, {"steps": reference["steps"][commit:]}) < 1e-5
    assert good(tmp_path)[0] == "h0001-c0000000014"
