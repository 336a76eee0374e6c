"""Whether a run was right: compares reports, as `reference` and the contract say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TOLERANCE = 1e-5
"""Relative difference of losses and gradient norms that other orders of summation explain."""

Report = Mapping[str, Any]


def relative_error(ours: Report, reference: Report, figure: str = "loss") -> float:
    """Largest relative difference of a figure over the steps that both have; infinite where one is missing."""
    theirs = {step["step"]: step[figure] for step in reference["steps"]}
    worst = 0.0
    for step in ours["steps"]:
        wanted, found = theirs.get(step["step"]), step[figure]
        if wanted is None or found is None:
            return float("inf")
        worst = max(worst, abs(found - wanted) / max(abs(wanted), 1e-12))
    return worst


def steps_lost(report: Report, steps: int) -> int:
    """How many of the run's steps the report does not tell of exactly once."""
    told = [step["step"] for step in report["steps"]]
    return len(set(range(steps)) ^ set(told)) + len(told) - len(set(told))


def problems(report: Report, reference: Report, steps: int, microbatches: int) -> list[str]:
    """What is wrong with a run that should have committed all its steps; one sentence each."""
    found = []
    outcome = report["totals"]["outcome"]
    if outcome != "finished":
        found.append(f"it ended as {outcome}: {report['totals']['failure']}")
    if lost := steps_lost(report, steps):
        found.append(f"{lost} of {steps} steps are missing or told twice")
    for figure in ("loss", "grad_norm"):
        error = relative_error(report, reference, figure)
        if not error <= TOLERANCE:
            found.append(f"{figure} differs from the reference by {error:.1e}")
    for step in report["steps"]:
        found += _stage_problems(step, report["config"]["layout"]["stages"], microbatches)
    return found


def _stage_problems(step: Mapping[str, Any], stages: int, microbatches: int) -> list[str]:
    found = []
    for stage in range(stages):
        names = [name for name, where in step["stages"].items() if where == stage]
        counted = sorted(index for name in names for index in step["counted"].get(name, []))
        if counted != list(range(microbatches)):
            found.append(f"step {step['step']}: stage {stage} counted {counted}")
        hashes = {step["hashes"][name] for name in names if name in step["hashes"]}
        if len(hashes) != 1:
            found.append(f"step {step['step']}: stage {stage} has {len(hashes)} different parameter hashes")
    return found
