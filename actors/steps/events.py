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


# Events


@dataclass(frozen=True)
class LocalReady:
    """The own shards are built."""

    parameter_hash: str
    parameters: int
    data_ok: bool


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
    values: Float32


@dataclass(frozen=True)
class Applied:
    """The update is in the shards."""

    step: int
    parameter_hash: str


@dataclass(frozen=True)
class PeerUp:
    """The link to a member stands."""

    peer: str


@dataclass(frozen=True)
class PeerLost:
    """The link to a member is gone for good."""

    peer: str
    reason: str


@dataclass(frozen=True)
class LocalFailure:
    """Something of our own broke: a shard died, the driver is gone, the source cannot be read."""

    reason: str


@dataclass(frozen=True)
class Tick:
    """Time has passed."""


Event = LocalReady | Received | Computed | GradientExported | Applied | PeerUp | PeerLost | LocalFailure | Tick


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


@dataclass(frozen=True)
class Finished:
    """The closing step is decided: the run is complete."""


Effect = Send | Compute | ExportGradient | ApplyUpdate | Committed | Note | Doubt | Failed | Finished
