"""What participants tell a person: commit records and snapshots of the mesh.

The commit record is the one source for the report, the metrics, `status` and the progress display. It travels over
the wire as part of a decision, so it holds plain values only.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Traffic:
    """Payload and header bytes that one participant sent during one step, by purpose."""

    boundary: dict[int, int] = field(default_factory=dict)
    """Boundary b (between stages b and b+1) -> bytes sent over it, both directions added by the two senders."""
    averaging: int = 0
    """Bytes of gradient slices sent to replicas of the own stage."""
    control: int = 0
    """All other bytes: plans, reports, decisions, pings."""


@dataclass(frozen=True)
class CommitRecord:
    """One decided step."""

    step: int
    """0-based number of the step; the parameters after it are commit step + 1."""
    commit: int
    """Number of the parameters after the decision was applied. A validation-only closing step keeps the number."""
    loss: float | None
    """Mean training loss in nats a token over all microbatches; None when the step only validates."""
    grad_norm: float | None
    """Global gradient norm before clipping."""
    clip_factor: float
    """What the averaged gradient is multiplied with; 1 where nothing is clipped."""
    lr: float
    """Learning rate of the update."""
    tokens: int
    """Trained tokens."""
    seconds: float
    """Wall-clock duration on the leader, plan to decision."""
    validation_loss: float | None
    """Mean held-out loss of the parameters *before* this step's update (commit `step`), where the plan asked for it."""
    leader: str
    """Name of the participant that led the step."""
    counted: dict[str, list[int]]
    """Participant name -> microbatch indices whose gradient it counted."""
    hashes: dict[str, str]
    """Participant name -> hash of its parameters before the update; equal within a stage."""
    throughput: dict[str, float]
    """Participant name -> measured tokens/s of its shards (forward and backward)."""
    boundary_bytes: dict[int, int]
    """Boundary -> bytes over it in both directions during the step, all senders added."""
    averaging_bytes: int
    """Gradient slices sent between replicas, all participants added."""
    control_bytes: int
    """All other bytes between participants."""
    sources: list[str] = field(default_factory=list)
    """Names of the participants that have the run's corpus."""
    stages: dict[str, int] = field(default_factory=dict)
    """Name -> stage that it served in this step, of all who had a part in it."""
    slot: int = 0
    """Number of the decision; changes of view have numbers, too."""
    view: int = 0
    """Number of the view that decided."""
    era: int = 0
    """How often the run had returned to an earlier commit before: what it committed beyond that was given up."""
    work_seconds: float = 0.0
    """Of `seconds`, the part until every stage had counted every microbatch; the rest is averaging and agreement."""

    def to_dict(self) -> dict[str, Any]:
        """Plain nested dictionaries and lists, for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class LinkStatus:
    """One link as its owner sees it."""

    peer: str
    """Name of the other participant."""
    up: bool
    rtt_ms: float | None
    """Smoothed round trip of pings in milliseconds."""
    sent_bytes: int
    received_bytes: int


@dataclass(frozen=True)
class ParticipantStatus:
    """One participant, as it or a peer describes it."""

    name: str
    stage: int
    state: str
    """What the answering participant believes: joining (not ready yet), active, draining, suspect, dead or left."""
    first_layer: int
    """First decoder block of its stage."""
    last_layer: int
    """One past the last decoder block of its stage."""
    embedding: bool
    head: bool
    parameters: int
    """Parameters that it holds."""
    share: float
    """Those over all parameters of the model."""
    tokens_per_s: float
    """Measured speed of its shards."""
    address: str
    data_ok: bool
    """Whether its corpus and tokenizer are the run's; if not it neither originates nor computes losses."""
    incarnation: int = 0
    """Raised by every new record of it: by a restart, a refutation, a change of what it says about itself."""
    rtt_ms: float | None = None
    """Smoothed round trip of the answering participant's probes."""
    view: str = ""
    """The view hash that it showed last, 16 hex digits; empty when it has shown none."""
    suspected_by: tuple[str, ...] = ()
    """Names of those who accuse it."""


@dataclass(frozen=True)
class VoteStatus:
    """One vote of the committed view, as a participant knows it."""

    name: str
    peer_id: str
    life: int
    """Number of the process that has the vote."""
    lost: str
    """Why it cannot be had now; empty when it can."""


@dataclass(frozen=True)
class Event:
    """Something a person should know: joined, lost, refused bytes, an injected fault, the end."""

    time: float
    """Unix time in seconds."""
    kind: str
    participant: str
    detail: str


@dataclass(frozen=True)
class MeshStatus:
    """What any one participant can tell about the whole run."""

    run_id: str
    phase: str
    """starting, training, finished or failed."""
    step: int
    """The step under way."""
    total_steps: int
    commit: int
    observer: str
    """Name of the participant that answered."""
    failure: str
    """Why the run failed, in one sentence; empty otherwise."""
    participants: tuple[ParticipantStatus, ...]
    links: tuple[LinkStatus, ...]
    """Links of the participant that answered."""
    events: tuple[Event, ...]
    """Newest events that this participant saw, oldest first; bounded."""
    refused: dict[str, int]
    """Refused bytes by reason: counts of handshakes, frames and messages that changed nothing."""
    view: str = ""
    """Hash of the answering participant's view, 16 hex digits: equal where the views are."""
    health: int = 0
    """Lifeguard's local health score of the answering participant: 0 is well, 8 is the worst."""
    beyond: tuple[str, ...] = ()
    """Names of members that fell silent together: they are probably behind a cut of the network."""
    split: tuple[str, ...] = ()
    """Names of members whose view has stayed different from this one."""
    paused: str = ""
    """Why nothing is committed now; empty while steps go on."""
    committed_view: int = -1
    """Number of the view whose majority decides; -1 before there is one."""
    votes: tuple[VoteStatus, ...] = ()
    """Of that view."""
