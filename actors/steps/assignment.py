"""Who serves which stage: the committed log of assignments, and the share of the model that nobody may exceed.

Every decision carries, for each key, the stages that it was ever given, the newest last. What a member says of its past
counts for nothing; donors give state by this log alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from actors.steps.context import Context, StepSetup
from actors.steps.view import Voter

Log = dict[str, tuple[int, ...]]
"""Peer id -> stages that it was ever given, the newest last."""


def first_log(members: Iterable[Voter]) -> Log:
    """The log of those who begin a run."""
    return {member.peer_id: (member.stage,) for member in members}


def allowed(setup: StepSetup, stages: Iterable[int]) -> bool:
    """Whether one key may have held all these stages."""
    held = set(stages)
    if not all(0 <= stage < setup.stages for stage in held):
        return False
    return setup.stages == 1 or sum(setup.share(stage) for stage in held) <= setup.max_share + 1e-9


def may_have(context: Context, peer: str, stage: int) -> bool:
    """Whether the log gives that stage to that peer, now, and within its share."""
    history = context.decision.assigned.get(peer, ())
    return bool(history) and history[-1] == stage and allowed(context.setup, history)


def wrong_log(setup: StepSetup, before: Mapping[str, tuple[int, ...]], after: Mapping[str, tuple[int, ...]]) -> str:
    """Why a decision with that log must not be accepted, empty when nothing forbids it."""
    for peer, history in before.items():
        if after.get(peer, ())[: len(history)] != history:
            return f"the assignments of peer {peer[:12]} would be forgotten"
    for peer, history in after.items():
        if history != before.get(peer) and not allowed(setup, history):
            return f"peer {peer[:12]} would have held stages {sorted(set(history))}, more of the model than one may"
    return ""


def stage_for(context: Context, peer: str, wish: int, memory: int, strength: Mapping[int, float]) -> int | None:
    """The stage that a newcomer should serve: the one that limits the run; None where none may be given to it.

    Args:
        context: shared state.
        peer: the newcomer.
        wish: a stage that it would like, -1 for none.
        memory: bytes that it has, 0 where it did not say.
        strength: stage -> tokens/s of those who serve it, and of those on their way to it.
    """
    setup, history = context.setup, context.decision.assigned.get(peer, ())
    able = [stage for stage in range(setup.stages) if allowed(setup, (*history, stage))]
    able = [stage for stage in able if not memory or setup.needs(stage) <= memory]
    if wish in able:
        return wish
    return min(able, key=lambda stage: (strength.get(stage, 0.0), stage), default=None)


def strengths(context: Context, leaving: Iterable[str] = ()) -> dict[int, float]:
    """Stage -> tokens/s of its voters, and of those who were given it and are on their way."""
    found = dict.fromkeys(range(context.setup.stages), 0.0)
    gone = set(leaving)
    for peer, stage in serving(context).items():
        if peer not in gone:
            found[stage] += context.router.speed(peer)
    return found


def serving(context: Context) -> dict[str, int]:
    """Peer -> stage, of voters and of those on their way who can be reached; without spares."""
    spares = set(context.decision.spares)
    found = {member.peer_id: member.stage for member in context.view.members if member.peer_id not in spares}
    for peer in set(pending(context)) - spares:
        found[peer] = context.decision.assigned[peer][-1]
    return found


def pending(context: Context) -> list[str]:
    """Who was given a stage, is there, and has no vote yet."""
    assigned = context.decision.assigned
    return [peer for peer in assigned if context.view.member(peer) is None and peer in context.usable]
