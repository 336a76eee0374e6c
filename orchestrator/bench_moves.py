"""Benchmarks of a mesh whose members change: a trace of real machines, and a layout that is out of balance.

scripts/bench elastic --trace FILE --simulate, --imbalance
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from statistics import median
from typing import Any

from orchestrator.bench_elastic import MODEL, bench_cluster, step_times
from orchestrator.churn import read_trace
from orchestrator.simulation.trace_world import Replay, TraceSetting
from orchestrator.verify import problems

QUIET_STEPS = 100
"""Nothing may move in the steps after the last move."""
RICH = 5


def trace(given: argparse.Namespace) -> dict[str, float]:
    """Replay a trace in virtual time. Raises ValueError for a file that is none."""
    if not given.simulate:
        raise ValueError("--trace needs --simulate: half a day of real machines is replayed in virtual time only.")
    lines = read_trace(Path(given.trace))
    result = Replay(lines, TraceSetting(seed=given.seed or 1), given.hours).run(_say)
    return {
        "hours": result.seconds / 3600,
        "mean_participants": result.mean_machines,
        "goodput_vs_undisturbed": result.goodput,
        "utilisation": result.utilisation,
        "commits": float(result.commits),
        "stalls_over_60s": float(result.stalls),
        "moves": float(result.moves),
        "stage_empty_s": result.empty_s,
    }


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def imbalance(given: argparse.Namespace) -> dict[str, float]:
    """Two stages of five; four of the second are removed, and the mesh moves as few as it takes."""
    steps = 12 + QUIET_STEPS + 40
    settings = [
        *MODEL,
        "layout.stages=2",
        f"layout.replicas={RICH}",
        "layout.max_model_share=1.0",
        "optimizer.lr=0.03",
        "train.microbatches=24",
        "emulate.tokens_per_s=400",
        f"train.steps={steps}",
        *given.set,
    ]
    churn = ", ".join(f"remove stage-1/{number} at step 6" for number in range(1, RICH))
    with bench_cluster() as bench:
        reference = bench.run("reference", settings, "plain")
        report = bench.run("simulate", [*settings, f"churn=[{churn}]"], "uneven", seconds=1800)
        orphans = bench.orphans()
        balanced = [f"layout.replicas={(RICH + 1) // 2}", "train.steps=15"]
        even = bench.run("simulate", [*settings, *balanced], "even")
    return _rebalanced(report, median(step_times(even))) | {
        "problems": float(len(problems(report, reference, steps, 24))),
        "orphan_processes": float(orphans),
    }


def _rebalanced(report: dict[str, Any], even_s: float) -> dict[str, float]:
    """Throughput after over before, and what moved. `even_s`: a step of a run that had an even split from the start."""
    sizes = [_sizes(step) for step in report["steps"]]
    moved = [event for event in report["events"] if event["kind"] == "moves"]
    times = step_times(report, 0)
    uneven = [time for time, size in zip(times, sizes[1:], strict=True) if size == (RICH, 1)]
    even = [time for time, size in zip(times, sizes[1:], strict=True) if size[0] == size[1] == (RICH + 1) // 2]
    last = max((event["time"] for event in moved), default=0.0)
    quiet = sum(step["time"] > last for step in report["steps"])
    ratio = median(uneven) / median(even) if uneven and even else 0.0
    return {
        "rebalanced_throughput_ratio": ratio,
        "even_split_gives": median(uneven) / even_s if uneven else 0.0,
        "moves": float(len(moved)),
        "steps_since_last_move": float(quiet),
    }


def _sizes(step: dict[str, Any]) -> tuple[int, int]:
    stages = list(step["stages"].values())
    return stages.count(0), stages.count(1)
