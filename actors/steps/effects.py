"""What comes out of the step protocol's state machine: plain values, each to be carried out in its turn.

Some are answered by an event (see `events`), which its docstring names.
"""

from __future__ import annotations

from dataclasses import dataclass

from actors.averaging.reduce import Float32
from actors.records import CommitRecord
from actors.steps.jobs import Job, Payload
from actors.steps.vote import Vote


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
