"""What tests of the step protocol are made of: views, decisions, reports, contexts, and a participant driven by hand.

Peers are single letters; the member "a" has the name "A". Every life is 1 where nothing else is said.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from actors.records import CommitRecord, Traffic
from actors.steps import ballots, effects, events
from actors.steps.agreement import Agreement
from actors.steps.ballots import Decision, Prepared, Report
from actors.steps.context import Context, StepSetup
from actors.steps.jobs import JobKind
from actors.steps.participant import Participant
from actors.steps.survey import Survey
from actors.steps.view import Voter
from actors.steps.vote import Vote
from actors.steps.waiting_room import WaitingRoom
from actors.steps.waits import Waits

M = TypeVar("M")
CONFIG = "same"


def step_setup(**changes: Any) -> StepSetup:
    """Two stages, four microbatches of ten tokens, a floor of ten seconds and a beat of one."""
    values: dict[str, Any] = {
        "stages": 2,
        "steps": 100,
        "microbatches": 4,
        "tokens_per_microbatch": 10,
        "in_flight": 4,
        "validate_every": 0,
        "validation_microbatches": 0,
        "clip": 0.0,
        "learning_rate": lambda step: 0.1,
        "config_hash": CONFIG,
        "floor_s": 10.0,
        "beat_s": 1.0,
        "moves": False,
    }
    return StepSetup(**{**values, **changes})


def voters(**stages: int) -> tuple[Voter, ...]:
    """voters(a=0, b=1): members of these stages."""
    return tuple(Voter(peer, 1, peer.upper(), stage) for peer, stage in sorted(stages.items()))


def commit_record(step: int, **changes: Any) -> CommitRecord:
    """Of a step in which nothing remarkable happened."""
    values: dict[str, Any] = {
        "step": step,
        "commit": step + 1,
        "loss": 1.0,
        "grad_norm": 1.0,
        "clip_factor": 1.0,
        "lr": 0.1,
        "tokens": 40,
        "seconds": 1.0,
        "validation_loss": None,
        "leader": "A",
        "counted": {},
        "hashes": {},
        "throughput": {},
        "boundary_bytes": {},
        "averaging_bytes": 0,
        "control_bytes": 0,
    }
    return CommitRecord(**{**values, **changes})


def decision_of(members: Iterable[Voter], slot: int = 5, step: int = 3, view: int = 2, **changes: Any) -> Decision:
    """A change of view in slot 5, in step 3: slot 6 is to be decided, whose ballot 0 is the first member's of three."""
    members = tuple(sorted(members))
    values: dict[str, Any] = {"assigned": {m.peer_id: (m.stage,) for m in members}, **changes}
    return Decision(slot, view, members, step, **values)


def commit_of(members: Iterable[Voter], slot: int = 5, step: int = 3, view: int = 2, **changes: Any) -> Decision:
    """The commit that leads to `step`, made by all members, who all have the corpus."""
    members = tuple(sorted(members))
    record = commit_record(step - 1, sources=[m.name for m in members], view=view, slot=slot)
    values = {"record": record, "holders": tuple(m.peer_id for m in members), "averages": {0: "x", 1: "y"}, **changes}
    return decision_of(members, slot, step, view, **values)


def report_of(held: int = 3, counted: Iterable[int] = (), **changes: Any) -> Report:
    """Of a member that holds commit 3."""
    report = Report(1, held, dict.fromkeys(counted, 1.0), (), 0.0, True, CONFIG)
    return replace(report, **changes)


def join_of(peer: str, stage: int, slot: int = 5, held: int = 3, **changes: Any) -> ballots.Join:
    """A joiner that holds commit 3."""
    return ballots.Join(slot, peer.upper(), stage, report_of(held, parameter_hash="p", **changes))


def enlist_of(peer: str, wish: int = -1, memory: int = 0, **changes: Any) -> ballots.Enlist:
    """Somebody without a stage."""
    return replace(ballots.Enlist(5, 1, peer.upper(), wish, memory, CONFIG), **changes)


def prepared_of(
    counted: Iterable[int] = (),
    average: str = "avg",
    squares: float = 0.0,
    parameters: str = "p",
    at: tuple[int, int, int] = (6, 0, 2),
    **changes: Any,
) -> Prepared:
    """`at`: slot, ballot and number of the order."""
    report = Prepared(*at, average, squares, parameters, tuple(counted), 0.0, Traffic())
    return replace(report, **changes)


def context_of(
    decision: Decision, me: str = "a", usable: str | None = None, now: float = 0.0, **changes: Any
) -> Context:
    """Shared state of a member that reaches all the others, or those in `usable`."""
    mine = decision.view.member(me) or Voter(me, 1, me.upper(), -1)
    context = Context(step_setup(**changes), mine, Agreement(me, 1, decision), Waits(10.0), now=now)
    context.usable = set(usable) if usable is not None else {member.peer_id for member in decision.members} | {me}
    return context


def survey_of(context: Context, **reports: Report) -> Survey:
    """What a leader knows when these have reported."""
    survey = Survey(context)
    for peer, report in reports.items():
        survey.reports[peer] = report
        survey.take(peer, report)
    return survey


def waiting_of(context: Context, **asked: Any) -> WaitingRoom:
    """Each has asked for something: waiting_of(context, x=join_of("x", 0))."""
    waiting = WaitingRoom(context)
    for peer, message in asked.items():
        waiting.receive(peer, message)
    return waiting


def vouch_for(waiting: WaitingRoom, peer: str, commit: int = 3, life: int = 1) -> None:
    """A replica has compared its parameters with the joiner's."""
    waiting.receive("a", ballots.Vouch(6, 0, peer, life, commit))


def sent(done: Iterable[effects.Effect], kind: type[M]) -> list[tuple[str, M]]:
    """(To whom, message) of one kind."""
    return [(one.to, one.message) for one in done if isinstance(one, effects.Send) and isinstance(one.message, kind)]


def notes(done: Iterable[effects.Effect], kind: str) -> list[str]:
    """What a person is told of one kind."""
    return [one.detail for one in done if isinstance(one, effects.Note) and one.kind == kind]


class Desk:
    """One participant with shards that answer at once. Other peers are whoever the test says.

    Args:
        me: whose desk it is.
        decision: the newest one that it knows; None for a process that knows nothing.
        up: peers that can be reached; all other members where nothing is said.
        held: commit that the shards hold; that of the decision where nothing is said, -1 for no shards.
        vote: what an earlier process left on the disk, in place of being told the decision.
        life: of this process.
        stage: of a process that is no member.
        spare: whether it stands by.
        works: whether its shards compute what they are given; the rest they do in any case.
    """

    def __init__(
        self,
        me: str,
        decision: Decision | None,
        up: Iterable[str] | None = None,
        held: int | None = None,
        vote: Vote | None = None,
        life: int = 1,
        stage: int = -1,
        spare: bool = False,
        works: bool = False,
        **changes: Any,
    ) -> None:
        known = decision.view.member(me) if decision is not None else None
        voter = Voter(me, life, me.upper(), known.stage if known is not None else stage)
        self.signed = True
        """Whether the owner has signed whatever is shown."""
        setup = step_setup(**changes)
        self.core = Participant(setup, voter, (), Traffic, 0.0, lambda message: self.signed, vote=vote, spare=spare)
        self.now, self.works = 0.0, works
        self.applies = True
        """Whether an update is in the shards as soon as it is asked for."""
        self.exports = True
        """Whether they hand out their gradient as soon as it is asked for."""
        self.counted: set[int] = set()
        """What the shards hold."""
        self.performed: list[list[effects.Effect]] = []
        """What every event has led to, in order."""
        members = [m.peer_id for m in decision.members] if decision is not None else []
        self.begun: list[effects.Effect] = []
        """What it did as soon as it knew the decision."""
        if held != -1:
            self.give(events.LocalReady("p", 1, True, 4, 5))
            self.core.context.held = decision.step if held is None and decision is not None else held or 0
            self.core.context.parameter_hash = "p"
        for peer in members if up is None else up:
            if peer != me:
                self.begun += self.give(events.PeerUp(peer))
        if decision is not None and vote is None:
            self.begun = self.hear("elsewhere", ballots.Decided(decision))

    def give(self, event: events.Event) -> list[effects.Effect]:
        """Handle an event, and what the shards answer to it; returns all that is to be done."""
        done = list(self.core.handle(self.now, event))
        self.performed.append(list(done))
        for effect in list(done):
            answer = self._shards(effect)
            if answer is not None:
                done += self.give(answer)
        return done

    def hear(self, peer: str, message: object) -> list[effects.Effect]:
        """A message arrives."""
        return self.give(events.Received(peer, message, ("tensor",)))

    def lose(self, peer: str, *, gone: bool = True, polite: bool = False) -> list[effects.Effect]:
        """A peer is held dead, or merely cannot be reached."""
        return self.give(events.PeerLost(peer, "it does not answer", gone, polite))

    def wait(self, seconds: float) -> list[effects.Effect]:
        """Let time pass, with a tick whenever one is due."""
        until, done = self.now + seconds, list[effects.Effect]()
        while (due := self.core.next_deadline()) is not None and due <= until:
            self.now = max(self.now, due)
            done += self.give(events.Tick())
        self.now = until
        return done

    @property
    def agreement(self) -> Agreement:
        """Its votes."""
        return self.core.context.agreement

    def _shards(self, effect: effects.Effect) -> events.Event | None:
        match effect:
            case effects.Compute(job) if self.works:
                if job.kind in (JobKind.LOSS, JobKind.BACKWARD):
                    self.counted.add(job.index)
                return events.Computed(job, ("tensor",), float(job.index), 0.1)
            case effects.ExportGradient(step, number) if self.exports:
                return events.GradientExported(step, number, np.ones(4, np.float32), frozenset(self.counted))
            case effects.Discard():
                self.counted.clear()
            case effects.ApplyUpdate(step) if self.applies:
                self.counted.clear()
                return events.Applied(step, "p")
        return None


def lead(desk: Desk, reports: Mapping[str, Report]) -> list[effects.Effect]:
    """These members promise what the desk's owner asked them for."""
    done: list[effects.Effect] = []
    for peer, report in reports.items():
        slot, ballot = desk.agreement.slot, desk.agreement.promised
        done += desk.hear(peer, ballots.Promise(slot, ballot, -1, None, report))
    return done


def leading(decision: Decision, workers: str, **changes: Any) -> Desk:
    """ "a" leads without shards of its own; the workers have promised, hold the parameters and have counted nothing."""
    desk = Desk("a", decision, held=-1, **changes)
    desk.begun += lead(desk, {peer: report_of(decision.step) for peer in workers})
    return desk
