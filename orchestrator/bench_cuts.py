"""Cuts of the mesh and kills from outside, on real processes, checked against the reference."""

from __future__ import annotations

import argparse
import contextlib
import random
import sys
import threading
import time
from typing import Any

import psutil

from orchestrator.bench_elastic import MODEL, bench_cluster
from orchestrator.verify import problems, relative_error

FAST = ["optimizer.lr=0.03", "emulate.tokens_per_s=300", "train.microbatches=9"]
"""About a second and a half a step."""
CUT_S, CUT_AT = 30, 15


def partitions(given: argparse.Namespace) -> dict[str, float]:
    """Nine participants cut into 5 and 4, and into 3, 3 and 3, for half a minute each."""
    settings = [*MODEL, *FAST, "train.steps=60", *given.set]
    minority = "stage-0/0+stage-1/0+stage-2/0+stage-2/1"
    thirds = ["+".join(f"stage-{stage}/{part}" for stage in range(3)) for part in range(2)]
    with bench_cluster() as bench:
        reference = bench.run("reference", settings, "plain")
        halves = bench.run("simulate", [*settings, _cut([minority])], "halves")
        bench.orphans()
        three = bench.run("simulate", [*settings, _cut(thirds)], "thirds")
    begin, heal = _times(halves)
    victims = {event["participant"] for event in halves["events"] if event["kind"] == "fault"}
    back = [s["time"] for s in halves["steps"] if s["time"] > heal and victims <= set(s["hashes"])]
    _, together = _times(three)
    resumed = [step["time"] for step in three["steps"] if step["time"] > together]
    return {
        "majority_commits_in_cut": sum(begin < step["time"] < heal for step in halves["steps"]),
        "minority_commits_in_cut": float(_minority_commits(halves, victims, begin + 15, heal)),
        "minority_back_s": min(back) - heal if back else float("inf"),
        "halves_loss_error": relative_error(halves, reference),
        "halves_problems": len(problems(halves, reference, 60, 9)),
        "thirds_commits_in_cut": sum(_times(three)[0] + 2 < step["time"] < together for step in three["steps"]),
        "thirds_resumed_s": min(resumed) - together if resumed else float("inf"),
        "thirds_loss_error": relative_error(three, reference),
        "thirds_problems": len(problems(three, reference, 60, 9)),
    }


def _cut(groups: list[str]) -> str:
    return f"faults=[{', '.join(f'partition {group} {CUT_S}s at second {CUT_AT}' for group in groups)}]"


def _times(report: dict[str, Any]) -> tuple[float, float]:
    """When the cut began, and when it was whole again."""
    begin = min(event["time"] for event in report["events"] if event["kind"] == "fault")
    return begin, begin + CUT_S


def _minority_commits(report: dict[str, Any], victims: set[str], begin: float, end: float) -> int:
    """Steps that somebody of the minority had a part in while it was apart."""
    return sum(begin < step["time"] < end and bool(victims & set(step["hashes"])) for step in report["steps"])


def kills(given: argparse.Namespace) -> dict[str, float]:
    """SIGKILL from outside to any process of the run, its driver too, at random moments, for so many minutes."""
    rng = random.Random(given.seed)
    steps = int(given.kills * 60 / 1.5)
    settings = [*MODEL, *FAST, f"train.steps={steps}", *given.set]
    with bench_cluster() as bench:
        reference = bench.run("reference", settings, "plain")
        run = bench.start("simulate", settings, "killed")
        reader = threading.Thread(target=run.communicate, daemon=True)
        reader.start()
        journal = bench.folder / "killed" / "metrics.jsonl"
        while run.poll() is None and not (journal.exists() and journal.read_text().count("\n") > 3):
            time.sleep(0.5)
        count, end = 0, time.monotonic() + 60 * given.kills
        while time.monotonic() < end and bench.actors():
            time.sleep(rng.uniform(5, 15))
            count += _kill_any(
                [*bench.actors(), psutil.Process(run.pid)] if run.poll() is None else bench.actors(), rng
            )
        driver_killed = run.poll() is not None and run.returncode < 0
        report = bench.wait_for_report("killed", 60 * given.kills + 300)
        orphans = bench.orphans()
        run.kill()
    wrong = problems(report, reference, steps, 9)
    for text in wrong[:10]:
        sys.stdout.write(f"{text}\n")
    return {
        "outside_kills": count,
        "driver_killed": float(driver_killed),
        "steps": len(report["steps"]),
        "max_relative_loss_error": relative_error(report, reference),
        "problems": len(wrong),
        "orphan_processes": orphans,
    }


def _kill_any(found: list[psutil.Process], rng: random.Random) -> int:
    if not found:
        return 0
    with contextlib.suppress(psutil.Error):
        rng.choice(found).kill()
        return 1
    return 0
