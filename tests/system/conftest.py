"""One Ray cluster for the tests that need one, in a folder of its own; commands run as a person would run them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from orchestrator.ray_keeper import LocalCluster, use_token

signal.signal(signal.SIGINT, signal.default_int_handler)
"""A shell's background job ignores interrupts, and so would every command that these tests start and interrupt."""
ROOT = Path(__file__).resolve().parents[2]
OPENED = Path(__file__).parent / "opened"
"""What Python imports first in every process of a cluster: who opens files below a folder named `watched`."""
SMALL = [
    "model.width=32",
    "model.layers=4",
    "model.heads=4",
    "model.kv_heads=2",
    "model.ffn=48",
    "train.microbatches=4",
    "train.microbatch_size=4",
    "train.sequence=16",
    "train.validate_every=3",
    "train.validation_microbatches=2",
    "layout.max_model_share=1.0",
    "telemetry.wandb=disabled",
    "telemetry.progress=lines",
]
"""A model that trains in seconds."""


@dataclass
class Cluster:
    """A running cluster and how to use it."""

    address: str
    output: Path
    keeper: int
    """Process that all processes of the cluster descend from."""
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def command(self, name: str, *settings: str, run_id: str) -> list[str]:
        """Return the command line of a run on this cluster."""
        where = [f"ray.address={self.address}", f"telemetry.output={self.output}", f"run_id={run_id}"]
        return [sys.executable, "-m", "orchestrator", name, *SMALL, *where, *settings]

    def start(self, name: str, *settings: str, run_id: str) -> subprocess.Popen[str]:
        """Start a run in the background."""
        process = subprocess.Popen(
            self.command(name, *settings, run_id=run_id),
            cwd=ROOT,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self.started.append(process)
        return process

    def run(self, name: str, *settings: str, run_id: str) -> tuple[int, str]:
        """Run to the end; return exit code and what was printed."""
        process = self.start(name, *settings, run_id=run_id)
        output, _ = process.communicate(timeout=240)
        return process.returncode, output

    def processes(self, word: str) -> list[int]:
        """Return the cluster's processes whose command line begins with `word`."""
        found = []
        for process in psutil.Process(self.keeper).children(recursive=True):
            try:
                if " ".join(process.cmdline()).startswith(word):
                    found.append(process.pid)
            except psutil.Error:
                continue
        return found

    def report(self, run_id: str) -> dict[str, Any]:
        """Return the report of a run."""
        report: dict[str, Any] = json.loads((self.output / run_id / "report.json").read_text())
        return report


def wait_for(condition: Callable[[], bool], seconds: float, what: str, every: float = 0.1) -> None:
    """Look every so many seconds whether it holds; fail after `seconds`."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds:.0f} s for {what}"
        time.sleep(every)


def committed_steps(output: Path, run_id: str) -> list[dict[str, Any]]:
    """Return what is written down of a run's committed steps so far."""
    journal = output / run_id / "metrics.jsonl"
    lines = journal.read_text().split("\n")[:-1] if journal.exists() else []  # what follows is being written
    return [json.loads(line) for line in lines]


def committed(output: Path, run_id: str) -> int:
    """Return how many steps of a run are committed so far."""
    journal = output / run_id / "metrics.jsonl"
    return journal.read_text().count("\n") if journal.exists() else 0


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    use_token()
    state = tmp_path_factory.mktemp("state")
    os.environ["XDG_STATE_HOME"] = str(state)
    before = os.environ.get("PYTHONPATH", "")
    os.environ["PYTHONPATH"] = os.pathsep.join(part for part in (str(OPENED), before) if part)
    local = LocalCluster(dashboard=False, object_store_mb=128)
    running = Cluster(local.address, tmp_path_factory.mktemp("out"), local.pid)
    try:
        yield running
    finally:
        for process in running.started:
            if process.poll() is None:
                process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
        local.close()
