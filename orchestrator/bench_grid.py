"""The grid: who is hit, when in a step, and how; every cell is a real run that has to equal the reference."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from actors.faults.schedule import Phase
from orchestrator.bench_elastic import MODEL, PHASES, Bench, bench_cluster
from orchestrator.verify import problems

VICTIMS = {
    "mesh process": "stage-1/0 mesh",
    "shard process": "stage-1/1 shard",
    "whole participant": "stage-0/1",
    "step leader": "leader",
    "two at once": "stage-0/0+stage-1/2",
}
FAULTS = {"SIGKILL": "kill {who} at", "SIGSTOP 20 s": "freeze {who} 20s at", "links cut 20 s": "partition {who} 20s at"}
PHASE_NAMES = {
    Phase.FORWARD: "forward",
    Phase.BACKWARD: "backward",
    Phase.AVERAGING: "averaging",
    Phase.PREPARED: "prepare → decision",
    Phase.DECIDED: "decision → apply",
}
AT = 4
SETTINGS = [*MODEL, "optimizer.lr=0.03", "layout.stages=2", "train.microbatches=4", "emulate.tokens_per_s=700"]
"""Two stages of three replicas; about half a second a step.

At a rate of 0.1 the gradients grow after 150 steps and carry rounding along: 1e-7 becomes 1e-5 without any fault.
"""
STEPS = {"SIGKILL": 45, "SIGSTOP 20 s": 75, "links cut 20 s": 75}
"""Long enough that whoever was hit is back before the end."""
MARKS = ("<!-- grid -->", "<!-- /grid -->")


@dataclass(frozen=True)
class Cell:
    """One run."""

    victim: str
    phase: Phase | None
    fault: str

    @property
    def name(self) -> str:
        """For a person, and for `--cells`."""
        return f"{self.victim} / {PHASE_NAMES[self.phase] if self.phase else 'any'} / {self.fault}"

    def fault_at(self, step: int) -> str:
        """What happens, as a schedule says it."""
        if self.victim == "driver":
            return FAULTS[self.fault].format(who="driver") + f" step {step}"
        who = VICTIMS[self.victim]
        if self.fault.startswith("links"):
            who = who.split(" ")[0]
        return FAULTS[self.fault].format(who=who) + f" step {step} {self.phase}"

    @property
    def steps(self) -> int:
        """Of the run."""
        return STEPS[self.fault]


def cells() -> list[Cell]:
    """All cells; a shard owns no link."""
    found = [
        Cell(victim, phase, fault)
        for victim in VICTIMS
        for phase in PHASES
        for fault in FAULTS
        if not (victim == "shard process" and fault.startswith("links"))
    ]
    return [*found, Cell("driver", None, "SIGKILL"), Cell("driver", None, "SIGSTOP 20 s")]


def verdict(bench: Bench, cell: Cell, reference: dict[str, Any], number: int) -> tuple[bool, str]:
    """Run a cell; return whether all is well, and what to write into the table."""
    report = run_cells(bench, [cell], cell.steps, f"cell-{number}")
    wrong = wrong_with(report, reference, cell.steps)
    if wrong:
        return False, "; ".join(wrong[:3])
    times = [step["time"] for step in report["steps"]]
    return True, f"{max(after - before for before, after in pairwise(times)):.1f} s"


def run_cells(bench: Bench, wanted: Sequence[Cell], steps: int, run_id: str, apart: int = 0) -> dict[str, Any]:
    """Run cells, one after the other in one run, so many steps apart; return its report."""
    faults = [cell.fault_at(AT + apart * number) for number, cell in enumerate(wanted)]
    process = bench.start("simulate", [*SETTINGS, f"train.steps={steps}", f"faults=[{', '.join(faults)}]"], run_id)
    output, _ = process.communicate(timeout=600)
    return bench.wait_for_report(run_id, 180.0 if Cell("driver", None, "SIGKILL") in wanted else 0.0, output)


def wrong_with(report: dict[str, Any], reference: dict[str, Any], steps: int) -> list[str]:
    """What is wrong with a run in which cells happened; one sentence each."""
    wrong = problems(report, reference, steps, 4)
    hit = {event["participant"] for event in report["events"] if event["kind"] == "fault"}
    last = report["steps"][-1]["hashes"] if report["steps"] else {}
    if absent := sorted(name for name in hit if name and name not in last):
        wrong.append(f"{', '.join(absent)} did not come back")
    return wrong


def grid(given: argparse.Namespace) -> dict[str, float]:
    """Run the cells, two at a time; print each, and fill the table."""
    wanted = [cell for cell in cells() if given.cells in cell.name]
    results: dict[str, str] = {}
    good = 0
    with bench_cluster() as bench:
        longest = max(cell.steps for cell in wanted)
        reference = bench.run("reference", [*SETTINGS, f"train.steps={longest}"], "plain")

        def one(entry: tuple[int, Cell]) -> tuple[Cell, bool, str]:
            number, cell = entry
            try:
                return cell, *verdict(bench, cell, reference, number)
            except Exception as error:  # a cell that breaks the bench is a cell that failed
                return cell, False, f"{type(error).__name__}: {error}"

        with ThreadPoolExecutor(2) as pool:
            for cell, well, text in pool.map(one, enumerate(wanted)):
                good += well
                results[cell.name] = text if well else f"**{text}**"
                sys.stdout.write(f"{'ok    ' if well else 'BROKEN'} {cell.name}: {text}\n")
                sys.stdout.flush()
        orphans = bench.orphans()
    if given.docs:
        write_table(Path(given.docs), results)
    return {"cells": len(wanted), "cells_good": good, "orphan_processes": orphans}


def write_table(path: Path, results: dict[str, str]) -> None:
    """Fill the table between the marks; cells that were not run keep what they had."""
    head, _, rest = path.read_text().partition(MARKS[0])
    old, _, tail = rest.partition(MARKS[1])
    known = _read_table(old) | results
    lines = ["| Who | When | " + " | ".join(FAULTS) + " |", "|---|---|" + "---|" * len(FAULTS)]
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for cell in cells():
        when = PHASE_NAMES[cell.phase] if cell.phase else "any"
        rows.setdefault((cell.victim, when), {})[cell.fault] = known.get(cell.name, "not run")
    for (victim, when), row in rows.items():
        lines.append(f"| {victim} | {when} | " + " | ".join(row.get(fault, "–") for fault in FAULTS) + " |")
    path.write_text(f"{head}{MARKS[0]}\n" + "\n".join(lines) + f"\n{MARKS[1]}{tail}")


def _read_table(text: str) -> dict[str, str]:
    found = {}
    for line in text.strip().splitlines()[2:]:
        victim, when, *values = [part.strip() for part in line.strip("|").split("|")]
        found.update({f"{victim} / {when} / {fault}": value for fault, value in zip(FAULTS, values, strict=False)})
    return found
