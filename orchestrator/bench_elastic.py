"""What losses cost: runs in which participants are killed, frozen and cut off, against undisturbed ones.

scripts/bench elastic           figures of a run in which somebody is always away
scripts/bench elastic --grid    every kind of fault in every phase; `--docs FILE` writes the table there
scripts/bench elastic --partitions, --kills MINUTES, --memory FAILURES
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from actors.faults.schedule import Phase
from orchestrator.ray_keeper import LocalCluster, use_token
from orchestrator.verify import relative_error, steps_lost

MODEL = [
    "model.width=32",
    "model.layers=6",
    "model.heads=4",
    "model.kv_heads=2",
    "model.ffn=48",
    "train.microbatch_size=4",
    "train.sequence=16",
    "train.validate_every=0",
    "layout.stages=3",
    "layout.replicas=3",
    "layout.max_model_share=1.0",
    "telemetry.wandb=disabled",
    "telemetry.progress=lines",
    "telemetry.ray_metrics=false",
    "optimizer.name=sgd",
    "optimizer.lr=0.1",
    "optimizer.clip=0",
    "optimizer.schedule=constant",
]
"""A small model: the participants are paced, so that nine of them leave two cores idle."""
PACE = ["emulate.tokens_per_s=110", "train.microbatches=16"]
"""A microbatch of 64 tokens takes a replica 0.6 s, and an undisturbed step a little more than 4 s."""
EVERY = 5
"""Steps between kills; whoever was killed is away for as long."""
PHASES = (Phase.FORWARD, Phase.BACKWARD, Phase.AVERAGING, Phase.PREPARED, Phase.DECIDED)


def options(parser: argparse.ArgumentParser) -> None:
    """What can be said on the command line."""
    parser.add_argument("--grid", action="store_true", help="every fault in every phase")
    parser.add_argument("--cells", default="", help="only cells whose name contains this")
    parser.add_argument("--docs", help="file whose table between `<!-- grid -->` and `<!-- /grid -->` is filled")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--memory", type=int, default=0, metavar="FAILURES", help="only memory growth, over so many")
    parser.add_argument("--partitions", action="store_true", help="cut nine into 5 and 4, and into 3, 3 and 3")
    parser.add_argument("--kills", type=float, default=0, metavar="MINUTES", help="SIGKILL any process, from outside")
    parser.add_argument("--trace", metavar="FILE", help="machines that came and went, `milliseconds,add|remove,node`")
    parser.add_argument("--simulate", action="store_true", help="with --trace: in virtual time")
    parser.add_argument("--hours", type=float, default=0.0, help="with --trace: only the first hours")
    parser.add_argument("--join", action="store_true", help="one more, with a large state over slow links")
    parser.add_argument("--imbalance", action="store_true", help="five replicas of one stage against one of the other")
    parser.add_argument("--seed", type=int, default=0, help="of the kills")
    parser.add_argument("set", nargs="*", metavar="section.key=value")


@dataclass
class Bench:
    """A Ray cluster and a folder for many runs."""

    address: str
    keeper: int
    folder: Path

    def start(self, command: str, settings: Sequence[str], run_id: str) -> subprocess.Popen[str]:
        """Start a run on the cluster."""
        where = [f"telemetry.output={self.folder}", f"run_id={run_id}"]
        if command == "simulate":
            where.append(f"ray.address={self.address}")
        return subprocess.Popen(
            [sys.executable, "-m", "orchestrator", command, *settings, *where],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, command: str, settings: Sequence[str], run_id: str, seconds: float = 1800.0) -> dict[str, Any]:
        """Run to the end; return the report."""
        output, _ = self.start(command, settings, run_id).communicate(timeout=seconds)
        return self.report(run_id + ("-reference" if command == "reference" else ""), output)

    def report(self, name: str, output: str = "") -> dict[str, Any]:
        """The report of a run."""
        path = self.folder / name / "report.json"
        if not path.exists():
            raise SystemExit(f"{name} left no report:\n{output[-2000:]}")
        report: dict[str, Any] = json.loads(path.read_text())
        return report

    def wait_for_report(self, name: str, seconds: float, output: str = "") -> dict[str, Any]:
        """The report of a run that may have lost its driver, as soon as it tells of the end."""
        until, path = time.monotonic() + seconds, self.folder / name / "report.json"
        while time.monotonic() < until and not (path.exists() and _tells_the_end(path)):
            time.sleep(0.5)
        return self.report(name, output)

    def actors(self) -> list[psutil.Process]:
        """The cluster's processes that are participants."""
        found = []
        for process in psutil.Process(self.keeper).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if " ".join(process.cmdline()).startswith(("ray::MeshActor", "ray::ShardActor")):
                    found.append(process)
        return found

    def orphans(self, seconds: float = 30.0) -> int:
        """Participants that are still there when all should have ended."""
        until = time.monotonic() + seconds
        while (left := self.actors()) and time.monotonic() < until:
            time.sleep(0.5)
        return len(left)


def _tells_the_end(path: Path) -> bool:
    with contextlib.suppress(ValueError):  # it is being written
        return json.loads(path.read_text())["totals"]["outcome"] in ("finished", "failed", "stopped")
    return False


@contextlib.contextmanager
def bench_cluster(object_store_mb: int = 256) -> Iterator[Bench]:
    """A cluster of its own, and a folder that goes with it."""
    use_token()
    cluster = LocalCluster(dashboard=False, object_store_mb=object_store_mb)
    try:
        with tempfile.TemporaryDirectory(prefix="tessera-bench-") as folder:
            yield Bench(cluster.address, cluster.pid, Path(folder))
    finally:
        cluster.close()


def faults_of(steps: int) -> list[str]:
    """One kill every few steps, from stage to stage, replica to replica and phase to phase; the leader's among them."""
    away = 4.4 * EVERY
    faults = []
    for number, step in enumerate(range(EVERY, steps - EVERY, EVERY)):
        who = "leader" if number % 4 == 3 else f"stage-{number % 3}/{(number // 3) % 3}"
        faults.append(f"kill {who} {away:.0f}s at step {step} {PHASES[number % len(PHASES)]}")
    return faults


def recoveries(report: dict[str, Any], undisturbed_s: float) -> list[float]:
    """From each kill to the next commit, less an undisturbed step; in seconds."""
    commits = [step["time"] for step in report["steps"]]
    kills = [event["time"] for event in report["events"] if event["kind"] == "fault"]
    later = [min((at for at in commits if at > kill), default=kill) - kill for kill in kills]
    return [max(0.0, seconds - undisturbed_s) for seconds in later]


def step_times(report: dict[str, Any], first: int = 2) -> list[float]:
    """Seconds from commit to commit, without the first ones."""
    times = [step["time"] for step in report["steps"]][first:]
    return [after - before for before, after in pairwise(times)]


def figures(given: argparse.Namespace) -> dict[str, float]:
    """Losses, recovery, goodput and what is left over."""
    settings = [*MODEL, *PACE, f"train.steps={given.steps}", *given.set]
    with bench_cluster() as bench:
        reference = bench.run("reference", settings, "plain")
        busy = Busy()
        with busy:
            calm = bench.run("simulate", settings, "calm")
        bench.orphans()
        schedule = faults_of(given.steps)
        with busy:
            wild = bench.run("simulate", [*settings, f"faults=[{', '.join(schedule)}]"], "wild")
        orphans = bench.orphans()
    usual = median(step_times(calm))
    times = step_times(wild)
    recovered = recoveries(wild, usual)
    whole = sum(step_times(calm, 0)), sum(step_times(wild, 0))
    complete = len(calm["participants"])
    fewer = [
        after["time"] - before["time"]
        for before, after in pairwise(wild["steps"])
        if len(after["hashes"]) < complete and len(before["hashes"]) < complete
    ]
    return {
        "max_relative_loss_error": max(relative_error(run, reference) for run in (calm, wild)),
        "steps_lost": steps_lost(wild, given.steps),
        "kills": len(recovered),
        "recovery_s_p50": median(recovered),
        "recovery_s_max": max(recovered),
        "goodput_vs_undisturbed": whole[0] / whole[1],
        "goodput_bound": usual / median(fewer or times),
        "orphan_processes": orphans,
        "undisturbed_step_s": usual,
        "cpu_busy": busy.share,
    }


def commit_overhead(given: argparse.Namespace) -> dict[str, float]:
    """Share of the time from commit to commit in which no microbatch was computed, at 40 ms round trips."""
    settings = [*MODEL, *PACE, "emulate.delay_ms=20", "train.steps=12", *given.set]
    with bench_cluster() as bench:
        report = bench.run("simulate", settings, "far")
    whole = report["steps"][-1]["time"] - report["steps"][1]["time"]
    return {"commit_overhead_ratio": 1 - sum(step["work_seconds"] for step in report["steps"][2:]) / whole}


KINDS = (
    "kill {} mesh",
    "kill {} shard",
    "freeze {} 3s",
    "slow {} x3 3s",
    "partition {} 3s",
    "one-way {} 3s",
    "kill {}",
)


def memory(given: argparse.Namespace, failures: int) -> dict[str, float]:
    """Growth of those that are never hit, while all others are hit in turn by everything."""
    every_s = 5.0
    faults = []
    for number in range(failures):
        who = f"stage-{number % 2}/{1 + number // 2 % 2}"
        faults.append(f"{KINDS[number % len(KINDS)].format(who)} at second {10 + every_s * number:.0f}")
    settings = [*MODEL, "layout.stages=2", "train.microbatches=6", "emulate.tokens_per_s=300", *given.set]
    seconds = 10 + every_s * failures
    settings.append(f"train.steps={int(seconds / 0.9)}")
    with bench_cluster() as bench:
        run = bench.start("simulate", [*settings, f"faults=[{', '.join(faults)}]"], "memory")
        reader = threading.Thread(target=run.communicate, daemon=True)
        reader.start()
        marker = bench.folder / "memory" / "faults"
        samples: list[tuple[int, dict[int, int]]] = []
        while run.poll() is None:
            time.sleep(2.0)
            happened = len(list(marker.glob("*.json"))) if marker.exists() else 0
            if happened:
                samples.append((happened, {p.pid: _resident(p) for p in bench.actors()}))
            if happened >= failures:
                break
        subprocess.run(
            [sys.executable, "-m", "orchestrator", "stop", "memory", "--address", bench.address],
            check=False,
            capture_output=True,
        )
        reader.join(60)
        bench.orphans()
    return _growth(samples)


def _resident(process: psutil.Process) -> int:
    with contextlib.suppress(psutil.Error):
        return int(process.memory_full_info().uss)
    return 0


def _growth(samples: list[tuple[int, dict[int, int]]]) -> dict[str, float]:
    """Of the processes that lived from the first tenth of the failures to the last."""
    last = samples[-1][0]
    begin = next(sample for sample in samples if sample[0] >= last // 10)
    survivors = [pid for pid in begin[1] if samples[-1][1].get(pid)]
    grown = [samples[-1][1][pid] - begin[1][pid] for pid in survivors]
    per_hundred = 100 / (last - begin[0]) / 2**20
    return {
        "failures": last,
        "survivors": len(survivors),
        "memory_growth_mb_per_100_failures": max(grown) * per_hundred,
    }


class Busy:
    """How busy the processors are while it is entered, of all of them, over all times."""

    def __init__(self) -> None:
        self._busy = self._all = 0.0

    def __enter__(self) -> Busy:
        """Begin."""
        self._before = psutil.cpu_times()
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        after = psutil.cpu_times()
        spent = {name: getattr(after, name) - getattr(self._before, name) for name in after._fields}
        idle = spent["idle"] + spent.get("iowait", 0.0)
        self._all += sum(spent.values())
        self._busy += sum(spent.values()) - idle

    @property
    def share(self) -> float:
        """Between 0 and 1."""
        return self._busy / self._all if self._all else 0.0


def run(given: argparse.Namespace) -> dict[str, float]:
    """Measure what was asked for."""
    if given.grid:
        from orchestrator.bench_grid import grid

        return grid(given)
    if given.partitions or given.kills:
        from orchestrator.bench_cuts import kills, partitions

        return partitions(given) if given.partitions else kills(given)
    if given.join:
        from orchestrator.bench_join import join

        return join(given)
    if given.trace or given.imbalance:
        from orchestrator.bench_moves import imbalance, trace

        return trace(given) if given.trace else imbalance(given)
    if given.memory:
        return memory(given, given.memory)
    return {**figures(given), **commit_overhead(given), **memory(given, 105)}
