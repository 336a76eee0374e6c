"""Benchmarks: they measure and report; they assert nothing.

scripts/bench pipeline [--json PATH] [--repeats N] [section.key=value ...]
scripts/bench membership [--nodes N] [--kill K] [--simulate] [--json PATH] [--repeats N]
scripts/bench elastic [--steps N] [--json PATH], or with --grid, --partitions, --kills MINUTES, --memory FAILURES
scripts/bench checkpoint [--json PATH]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from orchestrator import bench_checkpoint, bench_elastic, bench_membership

PIPELINE = [
    "model.preset=tiny-1.5m",
    "model.width=256",
    "model.heads=8",
    "model.kv_heads=4",
    "model.ffn=704",
    "layout.stages=2",
    "layout.replicas=1",
    "layout.threads=1",
    "layout.max_model_share=0.7",
    "train.steps=5",
    "train.microbatches=16",
    "train.microbatch_size=4",
    "train.sequence=256",
    "train.validate_every=0",
    "telemetry.wandb=disabled",
    "telemetry.progress=lines",
]
WARM_UP = 2
"""Steps left out at the beginning of each run."""


def tokens_per_s(report: dict[str, Any]) -> float:
    """Return the median over the steps after the warm-up."""
    steps = report["steps"][WARM_UP:]
    return float(median(step["tokens"] / step["seconds"] for step in steps))


def run_once(command: str, settings: Sequence[str], folder: Path, run_id: str) -> dict[str, Any]:
    """Run a command to its end and return its report."""
    arguments = [sys.executable, "-m", "orchestrator", command, *settings]
    done = subprocess.run(
        [*arguments, f"telemetry.output={folder}", f"run_id={run_id}"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{command} failed:\n{done.stdout}{done.stderr}")
    name = f"{run_id}-reference" if command == "reference" else run_id
    report: dict[str, Any] = json.loads((folder / name / "report.json").read_text())
    return report


def pipeline(settings: Sequence[str], repeats: int) -> dict[str, float]:
    """Two stages with one torch thread each against one process with all cores, interleaved."""
    ratios: list[float] = []
    mesh: list[float] = []
    plain: list[float] = []
    with tempfile.TemporaryDirectory(prefix="tessera-bench-") as name:
        for repeat in range(repeats):
            for command, speeds in (("reference", plain), ("simulate", mesh)):
                report = run_once(command, [*PIPELINE, *settings], Path(name), f"bench{repeat}")
                speeds.append(tokens_per_s(report))
            ratios.append(mesh[-1] / plain[-1])
    link, hop = measure_actors()
    return {
        "pipeline_vs_reference": median(ratios),
        "pipeline_tokens_per_s": median(mesh),
        "reference_tokens_per_s": median(plain),
        "actor_overhead_ms_per_hop": hop,
        "link_mb_per_s": link,
    }


def measure_actors() -> tuple[float, float]:
    """Return (MB/s of 16 MiB tensors between two MeshActors, ms that a hop adds to its computation)."""
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator.bench_actors"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"the measurement between actors failed:\n{done.stdout}{done.stderr}")
    figures = json.loads(done.stdout.strip().splitlines()[-1])
    return float(figures["link_mb_per_s"]), float(figures["actor_overhead_ms_per_hop"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a benchmark, print a table and write the figures."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measure; nothing is asserted.")
    names = parser.add_subparsers(dest="name", required=True)
    commands = {name: names.add_parser(name) for name in ("pipeline", "membership", "elastic", "checkpoint")}
    for command in commands.values():
        command.add_argument("--json", help="write {'figures': {...}} to this file")
        command.add_argument("--repeats", type=int, default=3, help="interleaved repetitions")
    commands["pipeline"].add_argument("set", nargs="*", metavar="section.key=value")
    bench_membership.options(commands["membership"])
    bench_elastic.options(commands["elastic"])
    bench_checkpoint.options(commands["checkpoint"])
    options = parser.parse_args(arguments)
    run = {
        "pipeline": lambda: pipeline(options.set, options.repeats),
        "membership": lambda: bench_membership.run(options),
        "elastic": lambda: bench_elastic.run(options),
        "checkpoint": lambda: bench_checkpoint.run(options),
    }
    figures = run[options.name]()
    table = Table("figure", "value", title=f"bench {options.name} ({os.cpu_count()} cores)")
    for figure, value in figures.items():
        small = 0 < abs(value) < 0.001
        table.add_row(figure, f"{value:.1e}" if small else f"{value:.3f}" if value < 100 else f"{value:,.0f}")
    Console().print(table)
    if options.json:
        Path(options.json).write_text(json.dumps({"figures": figures}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
