"""The commit that a leader proposes, and what forbids it. Pure functions."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from actors.records import CommitRecord
from actors.steps.ballots import Average, Decision, Prepared
from actors.steps.context import Context


def clip_factor(norm: float, clip: float) -> float:
    """Return what the gradient is multiplied with so that its norm is at most `clip` (0: no clipping)."""
    return min(1.0, clip / (norm + 1e-6)) if clip > 0 else 1.0


def step_decision(
    context: Context, order: Average, prepared: Mapping[str, Prepared], record: CommitRecord, *, closing: bool
) -> Decision:
    """The commit of the step under way, or the closing decision."""
    decision = context.decision
    return Decision(
        decision.slot + 1,
        context.view.number,
        context.view.members,
        context.step if closing else context.step + 1,
        record,
        {} if closing else {stage: prepared[group[0]].average_hash for stage, group in order.groups.items()},
        tuple(sorted(peer for group in order.groups.values() for peer in group)),
        record.clip_factor,
        closing,
        decision.assigned,
        (-1, -1),
        context.stored,
        decision.spares,
        decision.returns,
    )


def dissenters(order: Average, prepared: Mapping[str, Prepared]) -> set[str]:
    """Replicas that hold other parameters than most of their stage; nobody where there is no majority."""
    found: set[str] = set()
    for group in order.groups.values():
        hashes = Counter(prepared[peer].parameter_hash for peer in group)
        usual, times = hashes.most_common(1)[0]
        if times > len(group) / 2:
            found |= {peer for peer in group if prepared[peer].parameter_hash != usual}
    return found


def disagreement(context: Context, order: Average, prepared: Mapping[str, Prepared], *, closing: bool) -> str:
    """Return what forbids the commit, empty when nothing does."""
    expected = {} if closing else dict.fromkeys(range(context.setup.microbatches), 1)
    for stage, group in order.groups.items():
        reports = [prepared[peer] for peer in group]
        names = " and ".join(context.name(peer) for peer in group)
        if len({report.parameter_hash for report in reports}) > 1:
            return f"the replicas of stage {stage} ({names}) hold different parameters"
        if len({report.average_hash for report in reports}) > 1:
            return f"the replicas of stage {stage} ({names}) have different averages"
        counts = Counter(index for report in reports for index in report.counted)
        if counts != expected:
            odd = sorted(index for index in {*counts, *expected} if counts[index] != expected.get(index, 0))
            times = ", ".join(f"{index} {counts[index]} times" for index in odd[:4])
            return f"stage {stage} ({names}) counted microbatch {times}"
    return ""


def commit_record(
    context: Context,
    prepared: Mapping[str, Prepared],
    norm: float,
    losses: Sequence[float],
    validated: Sequence[float],
    sources: Sequence[str],
    counted_at: float,
) -> CommitRecord:
    """The record of a step; a closing one has no losses."""
    setup, trains = context.setup, bool(losses)
    by_name = {context.name(peer): report for peer, report in prepared.items()}
    boundary: Counter[int] = Counter()
    for report in by_name.values():
        boundary.update(report.traffic.boundary)
    return CommitRecord(
        step=context.step,
        commit=context.step + trains,
        loss=_mean(losses),
        grad_norm=norm if trains else None,
        clip_factor=clip_factor(norm, setup.clip),
        lr=setup.learning_rate(context.step) if trains else 0.0,
        tokens=setup.microbatches * setup.tokens_per_microbatch if trains else 0,
        seconds=context.now - context.decided_at,
        validation_loss=_mean(validated),
        leader=context.me.name,
        counted={name: list(report.counted) for name, report in by_name.items()},
        hashes={name: report.parameter_hash for name, report in by_name.items()},
        throughput={name: report.tokens_per_s for name, report in by_name.items()},
        boundary_bytes=dict(boundary),
        averaging_bytes=sum(report.traffic.averaging for report in by_name.values()),
        control_bytes=sum(report.traffic.control for report in by_name.values()),
        sources=list(sources),
        stages={member.name: member.stage for member in context.view.members if member.name in by_name},
        slot=context.agreement.slot,
        view=context.view.number,
        era=len(context.decision.returns),
        work_seconds=max(0.0, counted_at - context.decided_at),
    )


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None
