"""What a leader proposes: a step's commit, or a change of view. Pure functions."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from actors.records import CommitRecord
from actors.steps.ballots import Average, Decision, Join, Prepared
from actors.steps.context import Context
from actors.steps.view import Voter


def clip_factor(norm: float, clip: float) -> float:
    """Return what the gradient is multiplied with so that its norm is at most `clip` (0: no clipping)."""
    return min(1.0, clip / (norm + 1e-6)) if clip > 0 else 1.0


def next_view(
    context: Context,
    joiners: Mapping[str, Join],
    lives: Mapping[str, int],
    *,
    idle: bool,
    patient: Collection[str] = (),
) -> Decision | None:
    """The change of view that is due, None when none is.

    Members that the mesh holds dead go at once. Whoever wants in, and holds the step's parameters, comes while nothing
    is averaged. A newer process of a member proves that the old one is gone.

    Args:
        context: shared state.
        joiners: who asks to be let in.
        lives: numbers of the processes that reported.
        idle: whether nothing is averaged.
        patient: joiners who have asked for so long that they need not reach those of other stages.
    """
    view, step = context.view, context.step
    members = {member.peer_id: member for member in view.members}
    if view.number == 0:
        members = {peer: Voter(peer, lives.get(peer, 0), m.name, m.stage) for peer, m in members.items()}
    for peer, member in list(members.items()):
        newer = joiners.get(peer)
        reborn = newer is not None and newer.report.life > member.life
        if peer != context.me.peer_id and (peer in context.gone or reborn):
            del members[peer]
    for peer, join in joiners.items():
        if idle and _admissible(context, peer, join, peer in patient):
            members.setdefault(peer, Voter(peer, join.report.life, join.name, join.stage))
    after = tuple(sorted(members.values()))
    if after == view.members:
        return None
    decision = context.decision
    averages, holders, factor = decision.averages, decision.holders, decision.clip_factor
    return Decision(decision.slot + 1, view.number + 1, after, step, None, averages, holders, factor)


def _admissible(context: Context, peer: str, join: Join, patient: bool) -> bool:
    """Whether somebody can be let in: it can work at once, and lead, and average with those of its stage."""
    others = [member for member in context.view.members if member.peer_id != peer]
    unreachable = context.usable & set(join.report.unreachable)
    near = {member.peer_id for member in others if not patient or member.stage == join.stage}
    return (
        peer in context.usable
        and peer not in context.gone
        and join.report.held == context.step
        and join.report.config_hash == context.setup.config_hash
        and 0 <= join.stage < context.setup.stages
        and all(member.name != join.name for member in others)
        and not near & unreachable
    )


def describe_change(before: Sequence[Voter], after: Sequence[Voter]) -> str:
    """Who came and who went, for a person."""
    left = [member.name for member in before if member not in after]
    came = [member.name for member in after if member not in before]
    parts = [f"without {', '.join(left)}"] if left else []
    parts += [f"with {', '.join(came)}"] if came else []
    return " and ".join(parts) or "unchanged"


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
    )


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
        slot=context.agreement.slot,
        view=context.view.number,
        work_seconds=max(0.0, counted_at - context.decided_at),
    )


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None
