"""What participants say to each other about steps. Plain values: `actors/protocol.py` puts them on the wire.

Tensors travel beside a message, not in it. Every message names the step it belongs to; activations and gradients carry
the commit number of the parameters that made them, and the purpose they serve.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from actors.records import CommitRecord, Traffic


class Purpose(StrEnum):
    """What a microbatch is computed for."""

    TRAIN = "train"
    VALIDATE = "validate"


class Phase(StrEnum):
    """Halves of an all-reduce."""

    SCATTER = "scatter"
    """A replica's own values, on their way to the slice's owner."""
    GATHER = "gather"
    """The owner's sum, on its way to every replica."""


@dataclass(frozen=True)
class Ready:
    """A participant has built its stage; sent to everyone once, and again when a link comes up."""

    config_hash: str
    """Hash of what all participants of a run must agree on."""
    parameter_hash: str
    """Of commit 0; equal within a stage."""
    data_ok: bool
    """Its corpus and tokenizer are the run's."""
    parameters: int


@dataclass(frozen=True)
class Plan:
    """Leader to all: who originates what in this step. Without train indices it closes the run."""

    step: int
    commit: int
    train: dict[str, tuple[int, ...]]
    """Origin's peer id -> microbatch indices."""
    validate: dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Forward:
    """An activation for `stage` (token ids when it is 0), with its tensors beside it."""

    step: int
    commit: int
    index: int
    purpose: Purpose
    stage: int
    origin: str
    """Peer id of the participant that drives this microbatch."""

    @property
    def boundary(self) -> int:
        """The boundary it crosses; -1 for token ids on their way to stage 0."""
        return self.stage - 1


@dataclass(frozen=True)
class Backward:
    """The gradient of the activation that `stage` sent, with its tensors beside it."""

    step: int
    commit: int
    index: int
    stage: int
    loss: float
    route: tuple[str, ...]
    """Peer ids that counted the microbatch, from the last stage to the one after `stage`."""

    @property
    def boundary(self) -> int:
        """The boundary it crosses; -1 when only the news goes from stage 0 to the origin."""
        return self.stage


@dataclass(frozen=True)
class Returned:
    """To the origin: its microbatch is through (from stage 0 for training, from the last stage for validation)."""

    step: int
    index: int
    purpose: Purpose
    loss: float
    route: tuple[str, ...]
    """Peer ids of the stages that counted it, last stage first; the last stage alone for validation."""


@dataclass(frozen=True)
class Done:
    """Origin to leader: one of its microbatches is through."""

    step: int
    index: int
    purpose: Purpose
    loss: float
    route: tuple[str, ...]


@dataclass(frozen=True)
class Average:
    """Leader to all: every microbatch is done; replicas of a stage average now (at a closing step: only report)."""

    step: int
    commit: int
    counted: dict[str, tuple[int, ...]]
    """Peer id -> indices whose gradients it counted."""


@dataclass(frozen=True)
class Slice:
    """Part of a gradient between two replicas of a stage, with its tensor beside it."""

    step: int
    commit: int
    phase: Phase
    chunk: int
    """Number of the chunk of the flat vector."""


@dataclass(frozen=True)
class Prepared:
    """To the leader: the average is here and could be applied."""

    step: int
    commit: int
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
class Decision:
    """Leader to all: the step is decided."""

    record: CommitRecord
    apply: bool
    """False at the closing step."""
    averages: dict[int, str]
    """Stage -> hash of the only average that may be applied."""


@dataclass(frozen=True)
class Abort:
    """To all: the run cannot go on."""

    reason: str
