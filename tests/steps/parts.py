"""One participant's context without a participant around it, for tests of one part; and what the part wanted done."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from actors.averaging.reduce import Float32
from actors.steps import effects
from actors.steps.agreement import Agreement
from actors.steps.ballots import Decision, Plan
from actors.steps.context import Context, StepSetup
from actors.steps.events import Computed
from actors.steps.hop import Hop
from actors.steps.jobs import Job
from actors.steps.messages import Forward, Purpose, Route
from actors.steps.origin import Origin
from actors.steps.view import Voter
from actors.steps.waits import Waits

FLOOR, BEAT = 2.0, 1.0
"""Shortest patience and beat of these contexts, in seconds. A wait of which nothing is measured may take 12 s."""
STEP = 3
"""The step under way."""
PLAN = (9, 0, 1)
"""The plan that is followed: slot, ballot and number."""
SETUP = StepSetup(
    stages=2,
    steps=10,
    microbatches=8,
    tokens_per_microbatch=100,
    in_flight=4,
    validate_every=0,
    validation_microbatches=4,
    clip=1.0,
    learning_rate=lambda step: 0.1,
    config_hash="same",
    floor_s=FLOOR,
    smallest_chunk=2,
    beat_s=BEAT,
)


def voters(*layout: int) -> tuple[Voter, ...]:
    """Members of these many replicas a stage: s0a, s0b, ..., s1a, ...; their names are S0A and so on."""
    peers = [(f"s{stage}{'abcdefgh'[number]}", stage) for stage, count in enumerate(layout) for number in range(count)]
    return tuple(Voter(peer, 1, peer.upper(), stage) for peer, stage in peers)


def decision(members: tuple[Voter, ...], leader: str = "", /, **changes: Any) -> Decision:
    """The decision that began the step, so that `leader` (else the first member) leads the next slot."""
    number = next((at for at, member in enumerate(members) if member.peer_id == leader), 0)
    slot = 2 * len(members) + number - 1
    assigned: dict[str, tuple[int, ...]] = {member.peer_id: (member.stage,) for member in members}
    holders = tuple(member.peer_id for member in members)
    return replace(Decision(slot, 1, members, STEP, holders=holders, assigned=assigned), **changes)


def context(
    me: str = "s0a", layout: tuple[int, ...] = (2, 2), leader: str = "", decided: Any = None, **setup: Any
) -> Context:
    """The state of `me`, ready for the step: all members work and can be reached.

    `decided`: fields of the newest decision that differ; `setup`: fields of the setup that differ.
    """
    members = voters(*layout)
    newest = decision(members, leader, **(decided or {}))
    mine = next((member for member in members if member.peer_id == me), Voter(me, 1, me.upper(), 0))
    made = Context(
        replace(SETUP, stages=len(layout), **setup), mine, Agreement(me, 1, newest), Waits(FLOOR), data_ok=True
    )
    made.usable = {member.peer_id for member in members} | {me}
    made.workers = frozenset(member.peer_id for member in members)
    made.held, made.parameter_hash = newest.step, "parameters"
    made.plan = PLAN
    return made


def forward(index: int, stage: int, route: Route, **changes: Any) -> Forward:
    """An activation in training for a stage, from the origin s0a by the newest plan."""
    return replace(Forward(STEP, index, Purpose.TRAIN, stage, "s0a", 0, route, PLAN), **changes)


def vector(*values: float) -> Float32:
    """A flat float32 vector."""
    return np.array(values, dtype=np.float32)


def mail(one: Context, *kinds: type) -> list[tuple[str, Any]]:
    """Messages of these kinds that were sent since the last `clear`, each with its receiver, those to itself last."""
    out = [(effect.to, effect.message) for effect in one.out if isinstance(effect, effects.Send)]
    out += [(one.me.peer_id, message) for message, _ in one.inbox]
    return [(to, message) for to, message in out if isinstance(message, kinds)]


def wanted(one: Context, kind: type) -> list[Any]:
    """Effects of this kind since the last `clear`."""
    return [effect for effect in one.out if isinstance(effect, kind)]


def notes(one: Context) -> list[str]:
    """Kinds of what was noted since the last `clear`."""
    return [effect.kind for effect in wanted(one, effects.Note)]


def clear(one: Context) -> None:
    """Forget what was wanted so far."""
    one.out.clear()
    one.inbox.clear()


def jobs(one: Context) -> list[Job]:
    """What the shards were given to compute since the last `clear`."""
    return [effect.job for effect in wanted(one, effects.Compute)]


def finish(hop: Hop, job: Job, *, loss: float = 0.0, seconds: float = 1.0, tensors: tuple[Any, ...] = ("out",)) -> None:
    """The shards are done with a job."""
    hop.computed(Computed(job, tensors, loss, seconds))


def plan_of(one: Context, *train: int, **fields: Any) -> Plan:
    """A plan that gives these microbatches to the participant itself; `fields` may say more."""
    mine = {one.me.peer_id: train} if train else {}
    made = Plan(*PLAN, one.step, mine, {}, tuple(sorted(one.workers)), {}, {}, ())
    return replace(made, **fields)


def follow(one: Context, origin: Origin, plan: Plan) -> None:
    """What a participant does with a plan, as far as it concerns the origin."""
    one.workers = frozenset(plan.workers)
    one.plan = (plan.slot, plan.ballot, plan.number)
    one.drivers = {index: peer for peer, part in plan.train.items() for index in part}
    origin.plan(plan)
