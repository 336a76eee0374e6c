"""What goes into the step protocol's state machine, and what comes out.

Events and effects are plain values. Tensors are opaque to the protocol: it passes on what the shard or a peer gave it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from actors.averaging.reduce import Float32
from actors.records import CommitRecord
from actors.steps.messages import Purpose
from actors.steps.vote import Vote

Tensors = tuple[Any, ...]
"""Arrays in wire form, never looked into by the protocol."""


@dataclass(frozen=True)
class TokensOf:
    """Stands for the token ids of a microbatch; whoever executes the effect looks them up."""

    step: int
    index: int
    purpose: Purpose


Payload = Tensors | TokensOf


class JobKind(StrEnum):
    """What a shard computes."""

    FORWARD = "forward"
    LOSS = "loss"
    """Last stage in training: forward, loss and backward at once."""
    BACKWARD = "backward"
    EVALUATE = "evaluate"
    """Last stage in validation: forward and loss."""


@dataclass(frozen=True)
class Job:
    """One computation of the own shards."""

    kind: JobKind
    step: int
    index: int
    purpose: Purpose
    payload: Payload
    number: int = 0
    """Unlike that of any other job of this participant."""


# Events


@dataclass(frozen=True)
class LocalReady:
    """The own shards are built, with the values of commit 0."""

    parameter_hash: str
    parameters: int
    data_ok: bool
    gradient_length: int = 0
    """Elements of the flat gradient."""
    state_length: int = 0
    """Elements of the flat state: parameters and optimizer."""


@dataclass(frozen=True)
class ShardsLost:
    """The own shards and all that they held are gone; new ones are being built."""

    reason: str


@dataclass(frozen=True)
class Received:
    """A message from a member, authenticated and schema-checked."""

    peer: str
    message: object
    tensors: Tensors = ()


@dataclass(frozen=True)
class Computed:
    """A job is done."""

    job: Job
    tensors: Tensors
    loss: float
    seconds: float
    """Time the shard was busy with it, pacing included."""


@dataclass(frozen=True)
class GradientExported:
    """The own accumulated gradient of the step, shape [N]."""

    step: int
    number: int
    """Of the request."""
    values: Float32
    counted: frozenset[int]
    """What is in it, as the shards know it."""


@dataclass(frozen=True)
class StateExported:
    """The own stage's state, as one flat vector of known length."""

    commit: int
    values: Float32
    parameter_hash: str


@dataclass(frozen=True)
class StateLoaded:
    """A state from elsewhere is in the shards."""

    commit: int
    parameter_hash: str


@dataclass(frozen=True)
class Applied:
    """The update is in the shards."""

    step: int
    parameter_hash: str


@dataclass(frozen=True)
class Kept:
    """These states of the own stage are on the own disk."""

    states: frozenset[tuple[int, int]]
    """(Era, commit)."""


@dataclass(frozen=True)
class Restored:
    """A state from the own disk is in the shards."""

    commit: int
    parameter_hash: str


@dataclass(frozen=True)
class FetchFailed:
    """A checkpoint cannot be used."""

    history: int
    commit: int
    reason: str


@dataclass(frozen=True)
class CheckpointsListed:
    """What is in the run's store."""

    found: tuple[tuple[int, int], ...]
    """History and commit of those that have all their files."""


@dataclass(frozen=True)
class PartSaved:
    """A part of a checkpoint is in the store."""

    history: int
    commit: int
    part: int
    receipt: bytes


@dataclass(frozen=True)
class StageSealed:
    """The own stage's checkpoint is whole in the store."""

    history: int
    commit: int
    receipt: bytes


@dataclass(frozen=True)
class CheckpointCommitted:
    """The manifest is in the store: the checkpoint exists."""

    history: int
    commit: int


@dataclass(frozen=True)
class SaveFailed:
    """Something of a checkpoint could not be written."""

    history: int
    commit: int
    reason: str


@dataclass(frozen=True)
class PeerUp:
    """A participant can be worked with: its link stands, and the mesh does not hold it dead."""

    peer: str


@dataclass(frozen=True)
class PeerLost:
    """A participant cannot be worked with now."""

    peer: str
    reason: str
    gone: bool = False
    """The mesh holds it dead, or it left: it should lose its vote."""
    polite: bool = False
    """It said goodbye to the mesh; the commit that lets it go may reach us later than that."""


@dataclass(frozen=True)
class LocalFailure:
    """Something of our own broke for good."""

    reason: str


@dataclass(frozen=True)
class Stop:
    """A person ends the run."""

    reason: str


@dataclass(frozen=True)
class Leave:
    """A person, or the machine, wants this participant to go: politely, when nothing is lost by it."""

    reason: str


@dataclass(frozen=True)
class Tick:
    """Time has passed."""

    stalled_s: float = 0.0
    """This process did not run for so long (it was stopped, or its machine slept): nobody else is to blame for it."""


Event = (
    LocalReady
    | ShardsLost
    | Received
    | Computed
    | GradientExported
    | StateExported
    | StateLoaded
    | Applied
    | Kept
    | Restored
    | FetchFailed
    | CheckpointsListed
    | PartSaved
    | StageSealed
    | CheckpointCommitted
    | SaveFailed
    | PeerUp
    | PeerLost
    | LocalFailure
    | Stop
    | Leave
    | Tick
)


# Effects


@dataclass(frozen=True)
class Send:
    """Send a message to one member (never to oneself)."""

    to: str
    message: object
    payload: Payload = ()


@dataclass(frozen=True)
class Compute:
    """Give a job to the shards; answered by `Computed`."""

    job: Job


@dataclass(frozen=True)
class ExportGradient:
    """Fetch the accumulated gradient from the shards; answered by `GradientExported`."""

    step: int
    number: int
    """Unlike that of any other request of this participant."""


@dataclass(frozen=True)
class Discard:
    """Let the shards forget what they accumulated and stashed in this step; the parameters stay."""


@dataclass(frozen=True)
class ExportState:
    """Fetch parameters and optimizer state from the shards; answered by `StateExported`."""

    commit: int


@dataclass(frozen=True)
class LoadState:
    """Put a state into the shards; answered by `StateLoaded`."""

    commit: int
    values: Float32


@dataclass(frozen=True)
class KeepVote:
    """Write this down for good before any of the effects that follow; nothing answers."""

    vote: Vote


@dataclass(frozen=True)
class KeepState:
    """Write the shards' state to the own disk, beside the training; answered by `Kept` with all that are there."""

    era: int
    """That made the commit."""
    commit: int


@dataclass(frozen=True)
class RestoreState:
    """Put a state from the own disk into the shards; answered by `Restored`, or by `Kept` without it."""

    era: int
    commit: int


@dataclass(frozen=True)
class DropState:
    """Delete a state from the own disk; answered by `Kept`."""

    era: int
    commit: int


@dataclass(frozen=True)
class SavePart:
    """Write a part of the shards' state to the checkpoint store beside the work; answered by `PartSaved`."""

    history: int
    commit: int
    part: int
    parts: int


@dataclass(frozen=True)
class SealStage:
    """All parts of the own stage are in the store: check them, and make them whole; answered by `StageSealed`."""

    history: int
    commit: int
    receipts: tuple[bytes, ...]


@dataclass(frozen=True)
class CommitCheckpoint:
    """All stages are in the store: write the manifest; answered by `CheckpointCommitted`."""

    history: int
    commit: int
    receipts: tuple[bytes, ...]


@dataclass(frozen=True)
class ListCheckpoints:
    """Look into the run's store; answered by `CheckpointsListed`."""


@dataclass(frozen=True)
class FetchCheckpoint:
    """Put the own stage's state from a checkpoint into the shards; answered by `Restored` or `FetchFailed`."""

    history: int
    commit: int
    first: bool
    """Whether it is the one that the run begins with, which may be in another store."""


@dataclass(frozen=True)
class RestartShards:
    """The own shards do not answer: end them and build new ones; answered by `ShardsLost` and `LocalReady`."""

    reason: str


@dataclass(frozen=True)
class Serve:
    """Another stage is ours from now on: end the shards, if there are any, and build its; answered by `LocalReady`."""

    stage: int


@dataclass(frozen=True)
class Departed:
    """We are out of the view, as we wanted, and nothing is awaited of us any more."""

    reason: str


@dataclass(frozen=True)
class ApplyUpdate:
    """Update the parameters with a decided average; answered by `Applied`."""

    step: int
    average: Float32
    clip_factor: float


@dataclass(frozen=True)
class Committed:
    """A step is decided and applied here."""

    record: CommitRecord


@dataclass(frozen=True)
class Note:
    """Something a person should know."""

    kind: str
    detail: str


@dataclass(frozen=True)
class Doubt:
    """A peer keeps us waiting: the mesh should look whether it is there. Convicts nobody."""

    peer: str
    reason: str


@dataclass(frozen=True)
class Failed:
    """The run cannot go on; everyone has been told."""

    reason: str
    stopped: bool = False
    """Whether a person ended it on purpose."""


@dataclass(frozen=True)
class Finished:
    """The closing step is decided: the run is complete."""


Effect = (
    Send
    | Compute
    | ExportGradient
    | Discard
    | ExportState
    | LoadState
    | KeepVote
    | KeepState
    | RestoreState
    | DropState
    | SavePart
    | SealStage
    | CommitCheckpoint
    | FetchCheckpoint
    | ListCheckpoints
    | RestartShards
    | Serve
    | Departed
    | ApplyUpdate
    | Committed
    | Note
    | Doubt
    | Failed
    | Finished
)
