"""Sums over a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from orchestrator.telemetry.text import finite


def totals(steps: Sequence[dict[str, Any]], validation: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Totals of the steps and validation points of a report, as in its `totals`."""
    tokens = sum(step["tokens"] for step in steps)
    seconds = wall_seconds(steps)
    return {
        "steps": len(steps),
        "tokens": tokens,
        "seconds": seconds,
        "tokens_per_s": tokens / seconds if seconds > 0 else None,
        "boundary_bytes": sum(step["boundary_bytes"] for step in steps),
        "boundary_bytes_by_boundary": boundary_totals(steps),
        "averaging_bytes": sum(step["averaging_bytes"] for step in steps),
        "control_bytes": sum(step["control_bytes"] for step in steps),
        "final_loss": _last(steps),
        "final_validation_loss": _last(validation),
    }


def wall_seconds(steps: Sequence[dict[str, Any]]) -> float:
    """Training wall time: from the plan of the first step seen to the arrival of the last, pauses included.

    A driver that attaches late gets old records in one go, and their arrival says nothing; so it is at least the sum
    of the steps' own durations.
    """
    if not steps:
        return 0.0
    first = min(steps, key=lambda step: step["time"])
    last = max(step["time"] for step in steps)
    own = sum(finite(step["seconds"]) or 0.0 for step in steps)
    span = last - first["time"] + (finite(first["seconds"]) or 0.0)
    return float(max(own, span))


def boundary_totals(steps: Sequence[dict[str, Any]]) -> dict[str, int]:
    """Bytes over each boundary in all steps, by its number as text, in order."""
    sums: Counter[int] = Counter()
    for step in steps:
        for boundary, sent in step["boundary_bytes_by_boundary"].items():
            sums[int(boundary)] += sent
    return {str(boundary): sums[boundary] for boundary in sorted(sums)}


def _last(points: Sequence[dict[str, Any]]) -> float | None:
    """The newest loss; None where it is missing or not a number, rather than an older and better one."""
    return finite(points[-1]["loss"]) if points else None
