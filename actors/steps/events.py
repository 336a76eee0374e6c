"""What goes into the step protocol's state machine: plain values. What comes out is in `effects`."""

from __future__ import annotations

from dataclasses import dataclass

from actors.averaging.reduce import Float32
from actors.steps.jobs import Job, Tensors


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
