"""What participants say to each other about work. Plain values: `actors/protocol.py` puts them on the wire.

Tensors travel beside a message, not in it. Messages about work name the step they belong to; activations and gradients
carry the commit number of the parameters that made them, and the purpose they serve. What is said in order to decide
is in `ballots.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


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


Route = tuple[str, ...]
"""Peer ids, one a stage, stage 0 first; empty where nobody was chosen."""


@dataclass(frozen=True)
class Forward:
    """An activation for `stage` (token ids when it is 0), with its tensors beside it."""

    commit: int
    index: int
    purpose: Purpose
    stage: int
    origin: str
    """Peer id of the participant that drives this microbatch."""
    retry: int
    """Raised by whoever sends the same again on purpose; the network's own repeats have the same number."""
    route: Route
    """Who should serve it at each stage. A sender that replaces a lost hop changes that entry only."""
    order: tuple[int, int, int] = (0, 0, 0)
    """Slot, ballot and number of the plan by which the origin drives it: what a newer plan gave to another origin is
    dropped wherever it arrives."""

    @property
    def boundary(self) -> int:
        """The boundary it crosses; -1 for token ids on their way to stage 0."""
        return self.stage - 1


@dataclass(frozen=True)
class Backward:
    """The gradient of the activation that `stage` sent, with its tensors beside it."""

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
class Dropped:
    """To whoever sent an activation: it was forgotten together with all that was counted, so send it again."""

    commit: int
    index: int
    purpose: Purpose
    stage: int
    retry: int
    """Of the activation."""


@dataclass(frozen=True)
class Taken:
    """To whoever sent an activation in training: a newer one has taken its place, so nothing comes back for it.

    Order and retry say which activation is meant.
    """

    commit: int
    index: int
    stage: int
    retry: int
    order: tuple[int, int, int]


@dataclass(frozen=True)
class Returned:
    """To the origin: its microbatch is through (from stage 0 for training, from the last stage for validation)."""

    commit: int
    index: int
    purpose: Purpose
    loss: float
    route: tuple[str, ...]
    """Peer ids of the stages that counted it, last stage first; the last stage alone for validation."""


@dataclass(frozen=True)
class Done:
    """Origin to leader: one of its microbatches is through."""

    commit: int
    index: int
    purpose: Purpose
    loss: float
    route: tuple[str, ...]


@dataclass(frozen=True)
class Slice:
    """Part of a gradient between two replicas of a stage, with its tensor beside it."""

    commit: int
    slot: int
    ballot: int
    number: int
    """Which averaging round: the leader's order that began it."""
    phase: Phase
    chunk: int
    """Number of the chunk of the flat vector."""


@dataclass(frozen=True)
class Want:
    """To a replica of the own stage: send me what comes after the commit that I hold, and all that follows."""

    held: int
    """-1 for nothing: the whole state is wanted."""


@dataclass(frozen=True)
class StateChunk:
    """Part of a stage's state (parameters, then optimizer) after `commit`, with its tensor beside it."""

    commit: int
    chunk: int
    parameter_hash: str


@dataclass(frozen=True)
class AverageChunk:
    """Part of the decided average that leads from `commit` - 1 to `commit`, with its tensor beside it."""

    commit: int
    chunk: int
    clip_factor: float
    average_hash: str


@dataclass(frozen=True)
class Abort:
    """To all: the run cannot go on, or somebody stopped it."""

    reason: str
    stopped: bool = False
    """Whether a person ended it on purpose."""
