"""When a replica of a rich stage should move to a poor one. Pure functions.

A pipeline is as fast as its slowest stage, so a move pays when it raises the least of the stages' sums of tokens/s.
Petals (Borzunov et al. 2023) lets servers decide for themselves, and they thrash; here the leader proposes one move at
a time, the decision is everybody's, and nothing moves again before the last one has arrived and been measured.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from actors.steps.assignment import allowed, pending
from actors.steps.context import Context

GAIN = 1.2
"""A move must make the run faster by this factor, as predicted."""
GREAT_GAIN = 1.8
"""By this factor, and all speeds that it is predicted from are measured: it need not wait for so many steps."""
STEADY_STEPS, STEADY_FLOORS = 5, 1.0
"""Nobody moves until nothing has changed for so many steps, as speeds have to be measured first, and it should not move
back soon; and for so many floors of patience, as somebody who was lost for a moment comes back."""


@dataclass(frozen=True)
class Move:
    """One replica to another stage."""

    peer: str
    source: int
    target: int
    before: float
    """Tokens/s of the slowest stage."""
    after: float


def best_move(speeds: Mapping[int, Mapping[str, float]], may: Mapping[str, Collection[int]]) -> Move | None:
    """The move with the greatest gain; None where none is worth it.

    Args:
        speeds: stage -> replica -> tokens/s.
        may: replica -> stages that it may be given.
    """
    sums = {stage: sum(replicas.values()) for stage, replicas in speeds.items()}
    before, best = min(sums.values()), None
    poor = min(sums, key=lambda stage: (sums[stage], stage))
    for stage, replicas in sorted(speeds.items()):
        for peer, speed in sorted(replicas.items()) if stage != poor and len(replicas) > 1 else ():
            if poor not in may.get(peer, ()):
                continue
            after = min({**sums, stage: sums[stage] - speed, poor: sums[poor] + speed}.values())
            if after >= GAIN * before and (best is None or after > best.after):
                best = Move(peer, stage, poor, before, after)
    return best


def due_move(context: Context, workers: Collection[str]) -> Move | None:
    """The move that is due now.

    Args:
        context: shared state.
        workers: who holds the step's parameters.
    """
    setup, spares = context.setup, set(context.decision.spares)
    members = [member for member in context.view.members if member.peer_id not in spares]
    quiet = context.now - context.changed_at >= STEADY_FLOORS * setup.floor_s
    if not (setup.moves and quiet) or pending(context) or len(workers) < len(members):
        return None
    speeds: dict[int, dict[str, float]] = {stage: {} for stage in range(setup.stages)}
    for member in members:
        speeds[member.stage][member.peer_id] = context.router.speed(member.peer_id)
    if not all(speeds.values()):
        return None  # a stage without replicas is not a poor one: no donor has its state, so the stage policy decides
    assigned = context.decision.assigned
    may = {
        member.peer_id: [s for s in range(setup.stages) if allowed(setup, (*assigned.get(member.peer_id, ()), s))]
        for member in members
    }
    move = best_move(speeds, may)
    if move is None or context.step - context.changed_step >= STEADY_STEPS:
        return move
    sure = all(context.router.measured(member.peer_id) for member in members)
    return move if sure and move.after >= GREAT_GAIN * move.before else None
