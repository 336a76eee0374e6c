"""What participants say in order to decide: single-decree Paxos (Lamport 1998) for one slot after the other.

`slot` numbers decisions; the view that decides a slot is part of the decision before it. Ballot 0 of a slot belongs to
one member and needs no first phase; every other ballot has an owner, too, who asks a majority first.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from actors.records import CommitRecord, Traffic
from actors.steps.eras import plausible_returns
from actors.steps.messages import Route
from actors.steps.view import CommittedView, Voter


@dataclass(frozen=True)
class Decision:
    """What was decided in `slot`. It holds all that is needed to go on from it, so that nobody needs those before."""

    slot: int
    view_number: int
    members: tuple[Voter, ...]
    """Who decides the next slot."""
    step: int
    """The step under way from now on; also the number of the parameters that it needs."""
    record: CommitRecord | None = None
    """Of the step that this decides; None for a change of view."""
    averages: dict[int, str] = field(default_factory=dict)
    """Stage -> hash of the only average that may be applied to get to `step`; empty where none is."""
    holders: tuple[str, ...] = ()
    """Who held those averages."""
    clip_factor: float = 1.0
    """What they are multiplied with. Changes of view keep all three: whoever missed the step needs them still."""
    finished: bool = False
    assigned: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """Peer id -> stages that it was ever given, the newest last."""
    source: tuple[int, int] = (-1, -1)
    """History and commit of the checkpoint that `step` was taken up from, where it was."""
    stored: tuple[int, int] = (-1, -1)
    """History and commit of the newest checkpoint, as far as is known; (-1, -1) for none."""
    spares: tuple[str, ...] = ()
    """Members that follow their stage without working, as long as others of it work."""
    returns: tuple[tuple[int, int], ...] = ()
    """How often the run had to return to an earlier commit: see `eras.py`."""

    def plausible(self, stages: int) -> bool:
        """Whether it can be a decision at all, of a run with so many stages."""
        ordered = list(self.members) == sorted({member.peer_id: member for member in self.members}.values())
        placed = all(0 <= member.stage < stages for member in self.members)
        return bool(self.members) and ordered and placed and plausible_returns(self.returns)

    @property
    def view(self) -> CommittedView:
        """Who decides the next slot."""
        return CommittedView(self.view_number, self.members)


@dataclass(frozen=True)
class Report:
    """What a participant holds. What members hold is the truth that a new leader goes on from."""

    life: int
    held: int
    """Commit of its parameters; -1 for none."""
    counted: dict[int, float]
    """Training microbatches of the step whose gradient its shards hold -> loss."""
    driving: tuple[int, ...]
    """Training microbatches that it drives as their origin."""
    tokens_per_s: float
    data_ok: bool
    """Its corpus and tokenizer are the run's."""
    config_hash: str
    """Hash of what all participants of a run must agree on."""
    number: int = -1
    """The last order of the leader that it had followed."""
    unreachable: tuple[str, ...] = ()
    """Members that it cannot reach."""
    parameter_hash: str = ""
    """Of the parameters that it holds; empty while an update is under way."""
    kept: tuple[int, ...] = ()
    """Commits of its stage that it can return to by itself."""
    stored: tuple[int, int] = (-1, -1)
    """History and commit of the newest checkpoint that it knows of."""
    restoring: bool = False
    """It gets the step's state from its disk or a checkpoint."""
    unusable: dict[str, str] = field(default_factory=dict)
    """History/commit of checkpoints that it could not read -> why."""
    spare: bool = False
    """It follows its stage without working, as long as others work."""
    era: int = 0
    """How often the run had returned to an earlier commit, as far as it knows."""
    routes: dict[int, tuple[int, ...]] = field(default_factory=dict)
    """Training microbatches that it drives or that are under way with it -> by which route, as far as it knows: numbers
    of members of the view, -1 for nobody."""


@dataclass(frozen=True)
class Lead:
    """I want to lead this slot with this ballot: promise, and say what you have accepted and what you hold."""

    slot: int
    ballot: int
    view_number: int
    dismissed: tuple[str, ...] = ()
    """Whose votes the owner has declared lost, as the candidate knows; members who know it otherwise do not answer."""


@dataclass(frozen=True)
class Promise:
    """I obey no lower ballot any more."""

    slot: int
    ballot: int
    accepted_ballot: int
    """-1 where nothing was accepted."""
    accepted: Decision | None
    report: Report


@dataclass(frozen=True)
class Propose:
    """Accept this decision."""

    slot: int
    ballot: int
    decision: Decision
    dismissed: tuple[str, ...] = ()
    """As in `Lead`: two who count different majorities must not share voters."""


@dataclass(frozen=True)
class Accepted:
    """A vote."""

    slot: int
    ballot: int
    life: int


@dataclass(frozen=True)
class Refused:
    """I have promised a higher ballot."""

    slot: int
    ballot: int


@dataclass(frozen=True)
class Decided:
    """A majority accepted it."""

    decision: Decision


@dataclass(frozen=True)
class Fetch:
    """Which decision came after this one?"""

    slot: int


@dataclass(frozen=True)
class Beat:
    """The leader is there; its last order had this number (0: it has given none)."""

    slot: int
    ballot: int
    number: int
    asks: bool
    """It cannot go on: everybody should say what it holds."""
    resigns: bool = False
    """It cannot reach somebody who is needed, and who may be there: another one should try."""


@dataclass(frozen=True)
class Again:
    """An order of the leader's did not arrive: say it again."""

    slot: int
    ballot: int


@dataclass(frozen=True)
class Plan:
    """Leader to all: who originates what, and who works. Replaces the orders before it."""

    slot: int
    ballot: int
    number: int
    step: int
    train: dict[str, tuple[int, ...]]
    """Origin's peer id -> microbatch indices."""
    validate: dict[str, tuple[int, ...]]
    workers: tuple[str, ...]
    """Who holds the step's parameters and can serve its stage."""
    partial: dict[int, Route]
    """Microbatches to be driven again -> who has counted them already. Those serve the repeat, and count nothing."""
    routes: dict[int, tuple[int, ...]]
    """Microbatches that may be under way -> through whom, as in `Report`. These may count them yet, so they go the same
    way again."""
    reset: tuple[str, ...]
    """Who must forget what it counted in this step, because somebody else has counted some of it, too."""


@dataclass(frozen=True)
class Average:
    """Leader to all: every microbatch is done; average now (at a closing step: only report)."""

    slot: int
    ballot: int
    number: int
    step: int
    groups: dict[int, tuple[str, ...]]
    """Stage -> who averages."""
    counted: dict[str, tuple[int, ...]]
    """Peer id -> indices whose gradients it must have counted, no more and no less."""


@dataclass(frozen=True)
class Prepared:
    """To the leader: the average is here and could be applied."""

    slot: int
    ballot: int
    number: int
    average_hash: str
    """Empty at a closing step."""
    sum_of_squares: float
    """Of the stage's averaged gradient; the same on every replica."""
    parameter_hash: str
    """Of the parameters before the update."""
    counted: tuple[int, ...]
    tokens_per_s: float
    traffic: Traffic
    """Sent since the last report."""


@dataclass(frozen=True)
class Stuck:
    """To the leader: averaging does not get on, because these have not sent their part."""

    slot: int
    ballot: int
    number: int
    missing: tuple[str, ...]


@dataclass(frozen=True)
class Holding:
    """To the leader: what I hold has changed, or is not what you think."""

    slot: int
    ballot: int
    report: Report


@dataclass(frozen=True)
class Enlist:
    """From somebody without a stage, to all: give me one. Sent again and again, until one is."""

    slot: int
    """The newest decision that it knows."""
    life: int
    name: str
    wish: int
    """The stage that it would like, -1 for none."""
    memory: int
    """Bytes that it has for a stage, 0 where it does not say."""
    config_hash: str
    spare: bool = False
    """It wants to follow the stage without working."""


@dataclass(frozen=True)
class Depart:
    """From a member, to all: I want to go. Sent again and again, until it is out of the view."""

    slot: int
    life: int


@dataclass(frozen=True)
class Vouch:
    """To the leader: somebody of my stage who wants to be let in holds the very parameters that I hold."""

    slot: int
    ballot: int
    peer: str
    life: int
    commit: int


@dataclass(frozen=True)
class Dismiss:
    """From the run's owner, passed on by everybody: these votes of that view are lost for good, go on without them."""

    view_number: int
    voters: dict[str, int]
    """Peer id -> life of the process whose vote it was."""
    signature: str
    """Hex of the owner's Ed25519 signature of `dismissal`."""


def dismissal(run_id: str, view_number: int, voters: dict[str, int]) -> bytes:
    """What the owner signs: for one run, one view and these voters only."""
    parts = ["tessera/dismiss/1", run_id, str(view_number), *(f"{peer}:{voters[peer]}" for peer in sorted(voters))]
    return "\n".join(parts).encode()


@dataclass(frozen=True)
class Join:
    """From somebody who has no vote, to all: let me in. Sent again and again, until it is."""

    slot: int
    """The newest decision that it knows."""
    name: str
    stage: int
    report: Report
