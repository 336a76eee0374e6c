"""What the parts of the step protocol share at one participant."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from actors.averaging.reduce import Float32
from actors.steps.agreement import Agreement
from actors.steps.ballots import Decision
from actors.steps.chunks import SMALLEST
from actors.steps.effects import Effect, Failed, Note, Send
from actors.steps.eras import origin, stamp
from actors.steps.jobs import Payload
from actors.steps.messages import Abort, Forward, Purpose
from actors.steps.router import Router
from actors.steps.view import CommittedView, Voter
from actors.steps.waits import Waits


class LostStage(StrEnum):
    """What happens when all who held a stage are gone."""

    WAIT = "wait"
    """The run pauses until it can return to the newest commit that participants of every stage have kept."""
    SPARE = "spare"
    """Somebody who stood by goes on with it; when they are gone, too, as with `wait`."""
    ROLLBACK = "rollback"
    """The run returns to the newest checkpoint."""
    STOP = "stop"
    """It ends."""


@dataclass(frozen=True)
class StepSetup:
    """What the protocol needs of the run config."""

    stages: int
    steps: int
    microbatches: int
    tokens_per_microbatch: int
    in_flight: int
    """Microbatches that one origin keeps in flight."""
    validate_every: int
    validation_microbatches: int
    clip: float
    learning_rate: Callable[[int], float]
    """Step -> learning rate, for the record."""
    config_hash: str
    """Hash of what all participants must agree on."""
    floor_s: float
    """Shortest patience of a wait in seconds."""
    shares: tuple[float, ...] = ()
    """Share of the model's parameters in each stage; empty: all the same."""
    max_share: float = 1.0
    """Of the model that one key may ever have held."""
    stage_bytes: tuple[int, ...] = ()
    """Memory that each stage takes; empty: not known."""
    moves: bool = True
    """Whether replicas of rich stages move to poor ones."""
    smallest_chunk: int = SMALLEST
    """Elements of a chunk of a state, at least."""
    keep_every: int = 0
    """Each participant writes its stage's state to its own disk every so many commits; 0: never."""
    save_every: int = 0
    """A checkpoint is written every so many commits; 0: never."""
    first: int = 0
    """The commit that the run begins with."""
    history: int = 0
    """Of its checkpoints: above those of all that were in the store before."""
    resumed: int = -1
    """History of the checkpoint that it begins with; -1 where it begins anew."""
    lost_stage: LostStage = LostStage.WAIT
    """What happens when nobody holds a stage any more."""
    beat_s: float = 2.0
    """The leader says that it is there this often; what did not arrive is said again within about that."""

    def share(self, stage: int) -> float:
        """Share of the model in a stage."""
        return self.shares[stage] if self.shares else 1.0 / self.stages

    def needs(self, stage: int) -> int:
        """Bytes of memory that a stage takes, 0 where it is not known."""
        return self.stage_bytes[stage] if self.stage_bytes else 0


@dataclass(frozen=True)
class Update:
    """A decided average on its way into the own shards, or there."""

    commit: int
    """Of the parameters afterwards."""
    average: Float32
    clip_factor: float
    average_hash: str
    replicas: int
    """How many made it."""


@dataclass
class Context:
    """One participant's state that more than one part reads, and the effects collected while an event is handled."""

    setup: StepSetup
    me: Voter
    agreement: Agreement
    waits: Waits
    router: Router = field(default_factory=Router)
    now: float = 0.0
    held: int = -1
    """Commit of the parameters in the own shards; -1 for none."""
    parameter_hash: str = ""
    applying: Update | None = None
    """On its way into the own shards."""
    order: tuple[int, int, int] = (0, 0, 0)
    """Slot, ballot and number of the leader's newest order that was followed."""
    plan: tuple[int, int, int] = (0, 0, 0)
    """The newest plan of the step that was followed."""
    drivers: dict[int, str] = field(default_factory=dict)
    """Training microbatch -> who drives it, as that plan says; those that are through are not in it."""
    finished: bool = False
    """The closing decision is known."""
    data_ok: bool = False
    usable: set[str] = field(default_factory=set)
    """Who can be worked with; ourselves, too."""
    lives: dict[str, int] = field(default_factory=dict)
    """Newest life of each peer that was heard of."""
    gone: dict[str, str] = field(default_factory=dict)
    """Peers that the mesh holds dead, or that left -> why."""
    workers: frozenset[str] = frozenset()
    """Who can serve its stage in this step, as the leader says."""
    decided_at: float = 0.0
    """When the step before was decided, as far as is known here."""
    out: list[Effect] = field(default_factory=list)
    inbox: list[tuple[object, Payload]] = field(default_factory=list)
    """Messages to ourselves, handled within the same event."""
    spare: bool = False
    """We follow our stage without working, as long as others work."""
    starts: int = 0
    """How many processes of this life there were before this one."""
    kept: frozenset[tuple[int, int]] = frozenset()
    """(Era, commit) of the own stage's states that are on the own disk."""
    stored: tuple[int, int] = (-1, -1)
    """History and commit of the newest checkpoint, as far as is known here."""
    unsaved: tuple[int, int] = (-1, -1)
    """The newest checkpoint that somebody could not write."""
    restoring: bool = False
    """A state is on its way from the own disk, or the checkpoint store, into the shards."""
    unusable: dict[tuple[int, int], str] = field(default_factory=dict)
    """Checkpoints that could not be read here -> why."""
    listed: tuple[tuple[int, int], ...] = ()
    """Checkpoints of this run that were in the store when it was last looked into."""
    memory: int = 0
    """Bytes that the own machine has for a stage; 0: not said."""
    changed_step: int = 0
    changed_at: float = 0.0
    """Step and time when members or assignments last changed, as far as is known here."""
    leaving: bool = False
    """We want to go: nobody shall let us in again."""
    failed: str = ""
    ignored: Counter[str] = field(default_factory=Counter)
    """Messages that changed nothing, by reason."""

    @property
    def decision(self) -> Decision:
        """The newest one known."""
        return self.agreement.decision

    @property
    def view(self) -> CommittedView:
        """Who decides."""
        return self.agreement.view

    @property
    def step(self) -> int:
        """The step under way."""
        return self.agreement.decision.step

    @property
    def stamp(self) -> int:
        """What messages about the step under way carry."""
        return stamp(self.decision.returns, max(0, self.step))

    @property
    def ready(self) -> bool:
        """Whether the own shards hold what the step under way needs."""
        return self.held == self.step

    @property
    def returnable(self) -> tuple[int, ...]:
        """Commits that we could return to by ourselves; what is kept of eras that were given up does not count."""
        returns = self.decision.returns
        return tuple(sorted(commit for era, commit in self.kept if origin(returns, commit) == era))

    def may_exist(self, place: tuple[int, int]) -> bool:
        """Whether there can be such a checkpoint: of an era that was not given up, and of no later commit."""
        history, commit = place
        made_by = origin(self.decision.returns, commit)
        return 0 <= commit <= max(0, self.step) + 1 and history == self.setup.history + made_by

    @property
    def last_stage(self) -> int:
        """Number of the stage with the loss."""
        return self.setup.stages - 1

    @property
    def leader(self) -> Voter:
        """Who leads, as far as is known here."""
        return self.agreement.leader

    def reborn(self) -> set[str]:
        """Members that are back with another life: the one that had the vote, and may have to lead, is no more."""
        if self.view.number == 0:
            return set()
        return {m.peer_id for m in self.view.members if self.lives.get(m.peer_id, m.life) > m.life}

    def votes_lost(self) -> dict[str, str]:
        """Members whose vote cannot be had now -> why."""
        lost = {}
        reborn = self.reborn()
        for member in self.view.members:
            peer = member.peer_id
            if peer in self.view.dismissed:
                continue
            if peer in reborn:
                lost[peer] = "restarted, and has lost the memory of its vote"
            elif peer not in self.usable:
                lost[peer] = "cannot be reached"
        return lost

    @property
    def has_majority(self) -> bool:
        """Whether enough votes can be had for a decision."""
        return self.view.voters - len(self.votes_lost()) >= self.view.quorum

    def why_no_majority(self) -> str:
        """For a person."""
        lost = self.votes_lost()
        names: dict[str, list[str]] = {}
        for peer, why in lost.items():
            names.setdefault(why, []).append(self.name(peer))
        reasons = "; ".join(f"{', '.join(sorted(group))} {why}" for why, group in names.items())
        here = self.view.voters - len(lost)
        return f"{here} of {self.view.voters} votes can be had, and {self.view.quorum} must agree ({reasons})"

    def named(self, peer: str) -> str:
        """Return name and stage of a peer, for messages."""
        member = self.view.member(peer)
        return f"{member.name} (stage {member.stage})" if member else f"peer {peer[:12]}"

    def name(self, peer: str) -> str:
        """Return the name of a peer."""
        member = self.view.member(peer)
        return member.name if member else peer[:12]

    def names(self, peers: Iterable[str]) -> str:
        """Return names in a sentence."""
        return ", ".join(sorted(self.name(peer) for peer in peers))

    def candidates(self, stage: int) -> list[str]:
        """Who can be sent work of a stage."""
        return [m.peer_id for m in self.view.replicas(stage) if m.peer_id in self.workers and m.peer_id in self.usable]

    def at_work(self, peers: Iterable[str]) -> list[str]:
        """Of members that could work, those who should: spares only where nobody else serves their stage."""
        able, spares = list(peers), set(self.decision.spares)
        stages = {peer: member.stage for peer in able if (member := self.view.member(peer)) is not None}
        served = {stage for peer, stage in stages.items() if peer not in spares}
        return [peer for peer in able if peer not in spares or stages.get(peer) not in served]

    def substitute(self, stage: int, index: int, besides: str = "") -> str:
        """Whoever serves a stage when the planned replica cannot: the same for everybody; empty when nobody can."""
        able = self.candidates(stage)
        able = [peer for peer in able if peer != besides] or able
        return min(able, key=lambda peer: zlib.crc32(f"{peer}/{index}".encode()), default="")

    def superseded(self, message: Forward) -> bool:
        """Whether a newer plan than the one that sent it has given a microbatch to another origin, or to nobody."""
        train = message.purpose is Purpose.TRAIN
        return train and message.order < self.plan and self.drivers.get(message.index) != message.origin

    def note(self, kind: str, detail: str) -> None:
        """Tell a person."""
        self.out.append(Note(kind, detail))

    def ignore(self, reason: str) -> None:
        """A message changed nothing."""
        self.ignored[reason] += 1

    def send(self, to: str, message: object, payload: Payload = ()) -> None:
        """Send to a participant; what is for ourselves is handled before the event is over."""
        if to == self.me.peer_id:
            self.inbox.append((message, payload))
        else:
            self.out.append(Send(to, message, payload))

    def send_known(self, message: object) -> None:
        """Send to everybody else who can be reached, with a vote or without."""
        for peer in sorted(self.usable - {self.me.peer_id}):
            self.send(peer, message)

    def send_all(self, message: object) -> None:
        """Send to every member that can be worked with, ourselves included."""
        for member in self.view.members:
            if member.peer_id in self.usable:
                self.send(member.peer_id, message)

    def fail(self, reason: str, *, stopped: bool = False, tell: bool = True) -> None:
        """End the run here and tell everyone why."""
        if self.failed:
            return
        self.failed = reason
        self.waits.clear()
        self.inbox.clear()
        if tell:
            for peer in sorted(self.usable | {member.peer_id for member in self.view.members}):
                if peer != self.me.peer_id:
                    self.out.append(Send(peer, Abort(reason, stopped)))
        self.out.append(Failed(reason, stopped))
