"""What a leader proposes: a step's commit, or a change of view. Pure functions."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from actors.records import CommitRecord
from actors.steps.assignment import Log, first_log, may_have, stage_for, strengths
from actors.steps.balance import due_move
from actors.steps.ballots import Average, Decision, Join, Prepared
from actors.steps.context import Context
from actors.steps.messages import Denied
from actors.steps.survey import Survey
from actors.steps.view import Voter
from actors.steps.waiting_room import WaitingRoom


def clip_factor(norm: float, clip: float) -> float:
    """Return what the gradient is multiplied with so that its norm is at most `clip` (0: no clipping)."""
    return min(1.0, clip / (norm + 1e-6)) if clip > 0 else 1.0


def next_view(
    context: Context, waiting: WaitingRoom, survey: Survey, *, idle: bool, spent: bool = False
) -> Decision | None:
    """The change of view or of assignments that is due, None when none is.

    Members that the mesh holds dead go at once. A newer process of a member proves that the old one is gone. While
    nothing is averaged, whoever wants in and holds the step's parameters comes, and who has no stage is given one.
    Before anything is counted, who wants to go and is not the last of its stage goes, and a replica of a rich stage
    moves to a poor one.

    Args:
        context: shared state.
        waiting: who asks to be let in, or out, or for a stage.
        survey: who holds what.
        idle: whether nothing is averaged.
        spent: whether anybody has counted anything in this step, as far as is known.
    """
    view, decision = context.view, context.decision
    members = {member.peer_id: member for member in view.members}
    log = dict(decision.assigned)
    if view.number == 0:
        lives = survey.lives()
        members = {peer: Voter(peer, lives.get(peer, 0), m.name, m.stage) for peer, m in members.items()}
        log = first_log(members.values())
    for peer, member in list(members.items()):
        newer = waiting.newest_life(peer)
        if peer != context.me.peer_id and (peer in context.gone or newer > member.life):
            del members[peer]
    if idle:
        _let_in(context, waiting, survey, members)
        _assign(context, waiting, log)
    if idle and not spent:
        _let_go(context, waiting, survey, members)
        if not waiting.leaving and tuple(sorted(members.values())) == view.members:
            _move(context, survey, members, log)
    after = tuple(sorted(members.values()))
    if after == view.members and log == decision.assigned:
        return None
    number = view.number + (after != view.members)
    averages, holders, factor = decision.averages, decision.holders, decision.clip_factor
    slot, step = decision.slot + 1, context.step
    return Decision(slot, number, after, step, None, averages, holders, factor, assigned=log)


def _let_in(context: Context, waiting: WaitingRoom, survey: Survey, members: dict[str, Voter]) -> None:
    served, patient = survey.served(), waiting.patient()
    for peer, join in waiting.joiners.items():
        vouched = join.stage not in served or _vouched(context, waiting, peer, join)
        if vouched and may_have(context, peer, join.stage) and _admissible(context, peer, join, peer in patient):
            members.setdefault(peer, Voter(peer, join.report.life, join.name, join.stage))


def _vouched(context: Context, waiting: WaitingRoom, peer: str, join: Join) -> bool:
    """Whether a replica has compared the joiner's parameters of this very commit with its own."""
    return waiting.vouched.get(peer) == (join.report.life, context.step)


def _let_go(context: Context, waiting: WaitingRoom, survey: Survey, members: dict[str, Voter]) -> None:
    """One after the other, so that the last of a stage stays."""
    for peer, life in waiting.leaving.items():
        member = members.get(peer)
        if member is None or member.life != life:
            continue
        others = [other for other in survey.able() if other in members and other != peer]
        if any(survey.stage_of(other) == member.stage for other in others):
            del members[peer]


def _assign(context: Context, waiting: WaitingRoom, log: Log) -> None:
    strength = strengths(context, waiting.leaving)
    for peer, wanted in waiting.enlisted.items():
        if peer in log or peer not in context.usable or peer in context.gone:
            continue
        stage = stage_for(context, peer, wanted.wish, wanted.memory, strength)
        if stage is None:
            context.send(peer, Denied("no stage fits into its memory and the share of the model that it may hold"))
            continue
        log[peer] = (stage,)
        strength[stage] += wanted.tokens_per_s or context.router.speed(peer)
        context.note("assigned", f"{wanted.name} is given stage {stage}, which limits the run")


def _move(context: Context, survey: Survey, members: dict[str, Voter], log: Log) -> None:
    move = due_move(context, survey.able())
    if move is None:
        return
    del members[move.peer]
    log[move.peer] = (*log[move.peer], move.target)
    context.note(
        "moves",
        f"{context.named(move.peer)} moves to stage {move.target}: the slowest stage does {move.before:.0f} tokens/s, "
        f"and should do {move.after:.0f} afterwards",
    )


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
        decision.assigned,
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
        work_seconds=max(0.0, counted_at - context.decided_at),
    )


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None
