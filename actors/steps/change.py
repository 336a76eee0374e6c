"""The change of view or of assignments that a leader proposes. Pure: what is to be said comes with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from actors.steps.assignment import first_log, may_have, stage_for, strengths
from actors.steps.balance import due_move
from actors.steps.ballots import Decision, Join
from actors.steps.context import Context
from actors.steps.survey import Survey
from actors.steps.view import Voter
from actors.steps.waiting_room import WaitingRoom


@dataclass(frozen=True)
class Change:
    """A change of view or of assignments that is due."""

    decision: Decision | None
    """None where nothing is to be decided."""
    notes: tuple[tuple[str, str], ...] = ()
    """(Kind, detail) for a person, once it is proposed."""
    denied: tuple[str, ...] = ()
    """Who cannot be given any stage."""


class _Draft:
    """Members and assignments as they should be."""

    def __init__(self, context: Context, waiting: WaitingRoom, survey: Survey) -> None:
        view = context.view
        self._context, self._waiting, self._survey = context, waiting, survey
        self.members = {member.peer_id: member for member in view.members}
        self.log = dict(context.decision.assigned)
        self.spares = set(context.decision.spares)
        if view.number == 0:
            lives = survey.lives()
            self.members = {m.peer_id: Voter(m.peer_id, lives.get(m.peer_id, 0), m.name, m.stage) for m in view.members}
            self.log = first_log(self.members.values())
        self.notes: list[tuple[str, str]] = []
        self.denied: list[str] = []

    @property
    def view(self) -> tuple[Voter, ...]:
        """The members in order."""
        return tuple(sorted(self.members.values()))

    def without_the_dead(self) -> None:
        """Who is held dead goes, and a newer process of a member proves that the old one is gone."""
        for peer, member in list(self.members.items()):
            newer = self._waiting.newest_life(peer) > member.life
            if peer != self._context.me.peer_id and (peer in self._context.gone or newer):
                del self.members[peer]

    def let_in(self) -> None:
        """Who wants in, holds the step's parameters, and was vouched for where anybody could vouch."""
        context, waiting = self._context, self._waiting
        served, patient = self._survey.served(), waiting.patient()
        for peer, join in waiting.joiners.items():
            vouched = join.stage not in served or _vouched(context, waiting, peer, join)
            named = any(member.name == join.name for other, member in self.members.items() if other != peer)
            may = vouched and not named and may_have(context, peer, join.stage)
            if may and _admissible(context, peer, join, peer in patient):
                self.members.setdefault(peer, Voter(peer, join.report.life, join.name, join.stage))
                self.spares = self.spares | {peer} if join.report.spare else self.spares - {peer}

    def assign(self) -> None:
        """A stage for everybody who has none."""
        context, waiting = self._context, self._waiting
        strength = strengths(context, waiting.leaving)
        standing_by = Counter(stages[-1] for peer, stages in self.log.items() if peer in self.spares)
        for peer, wanted in waiting.enlisted.items():
            if peer in self.log or peer not in context.usable or peer in context.gone:
                continue
            poor: Mapping[int, float] = {**standing_by} if wanted.spare else strength
            stage = stage_for(context, peer, wanted.wish, wanted.memory, poor)
            if stage is None:
                self.denied.append(peer)
                continue
            self.log[peer] = (stage,)
            if wanted.spare:
                self.spares.add(peer)
                standing_by[stage] += 1
                self.notes.append(("assigned", f"{wanted.name} is given stage {stage} as a spare"))
                continue
            strength[stage] += context.router.speed(peer)
            self.notes.append(("assigned", f"{wanted.name} is given stage {stage}, which limits the run"))

    def let_go(self) -> None:
        """Who wants out, one after the other, so that the last of a stage stays."""
        for peer, life in self._waiting.leaving.items():
            member = self.members.get(peer)
            if member is None or member.life != life:
                continue
            others = [other for other in self._survey.fit() if other in self.members and other != peer]
            if any(self._survey.stage_of(other) == member.stage for other in others):
                del self.members[peer]

    def move(self) -> None:
        """A replica of a rich stage to a poor one."""
        move = due_move(self._context, self._survey.able())
        if move is None:
            return
        del self.members[move.peer]
        self.log[move.peer] = (*self.log[move.peer], move.target)
        detail = (
            f"{self._context.named(move.peer)} moves to stage {move.target}: the slowest stage does {move.before:.0f} "
            f"tokens/s, and should do {move.after:.0f} afterwards"
        )
        self.notes.append(("moves", detail))


def next_view(context: Context, waiting: WaitingRoom, survey: Survey, *, idle: bool, spent: bool = False) -> Change:
    """The change of view or of assignments that is due.

    The dead go at once. While nothing is averaged, joiners come, and who has no stage is given one. Before anything is
    counted leavers go, and a replica moves if nothing else changes.

    Args:
        context: shared state.
        waiting: who asks to be let in, or out, or for a stage.
        survey: who holds what.
        idle: whether nothing is averaged.
        spent: whether anybody has counted anything in this step, as far as is known.
    """
    view, decision, draft = context.view, context.decision, _Draft(context, waiting, survey)
    draft.without_the_dead()
    if idle:
        draft.let_in()
        draft.assign()
    if idle and not spent:
        draft.let_go()
        if not waiting.leaving and draft.view == view.members:
            draft.move()
    after, denied = draft.view, tuple(draft.denied)
    spares = tuple(sorted(draft.spares))
    if (after, draft.log, spares) == (view.members, decision.assigned, decision.spares):
        return Change(None, denied=denied)
    number = view.number + (after != view.members)
    averages, holders, factor = decision.averages, decision.holders, decision.clip_factor
    slot, step = decision.slot + 1, context.step
    proposal = Decision(
        slot,
        number,
        after,
        step,
        None,
        averages,
        holders,
        factor,
        assigned=draft.log,
        source=decision.source,
        stored=context.stored,
        spares=spares,
        returns=decision.returns,
    )
    return Change(proposal, tuple(draft.notes), denied)


def _vouched(context: Context, waiting: WaitingRoom, peer: str, join: Join) -> bool:
    """Whether a replica has compared the joiner's parameters of this very commit with its own."""
    return waiting.vouched.get(peer) == (join.report.life, context.step)


def _admissible(context: Context, peer: str, join: Join, patient: bool) -> bool:
    """Whether somebody can be let in: it can work at once, and lead, and average with those of its stage."""
    others = [member for member in context.view.members if member.peer_id != peer]
    unreachable = context.usable & set(join.report.unreachable)
    near = {member.peer_id for member in others if not patient or member.stage == join.stage}
    return (
        peer in context.usable
        and peer not in context.gone
        and join.report.held == context.step
        and join.report.era == len(context.decision.returns)
        and join.report.config_hash == context.setup.config_hash
        and 0 <= join.stage < context.setup.stages
        and not near & unreachable
    )


def describe_change(before: Sequence[Voter], after: Sequence[Voter]) -> str:
    """Who came and who went, for a person."""
    left = [member.name for member in before if member not in after]
    came = [member.name for member in after if member not in before]
    parts = [f"without {', '.join(left)}"] if left else []
    parts += [f"with {', '.join(came)}"] if came else []
    return " and ".join(parts) or "unchanged"
