"""What participants say to each other about work. Plain values: `actors/protocol.py` puts them on the wire.

Tensors travel beside a message, not in it. Messages about work carry the stamp of the step they belong to (its number,
and how often the run had returned to an earlier commit: see `eras.py`), which names the parameters that made them, too.
What is said in order to decide is in `ballots.py`.
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

    stamp: int
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

    stamp: int
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

    stamp: int
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

    stamp: int
    index: int
    stage: int
    retry: int
    order: tuple[int, int, int]


@dataclass(frozen=True)
class Returned:
    """To the origin: its microbatch is through (from stage 0 for training, from the last stage for validation)."""

    stamp: int
    index: int
    purpose: Purpose
    loss: float
    route: tuple[str, ...]
    """Peer ids of the stages that counted it, last stage first; the last stage alone for validation."""


@dataclass(frozen=True)
class Done:
    """Origin to leader: one of its microbatches is through."""

    stamp: int
    index: int
    purpose: Purpose
    loss: float
    route: tuple[str, ...]


@dataclass(frozen=True)
class Slice:
    """Part of a gradient between two replicas of a stage, with its tensor beside it."""

    stamp: int
    slot: int
    ballot: int
    number: int
    """Which averaging round: the leader's order that began it."""
    phase: Phase
    chunk: int
    """Number of the chunk of the flat vector."""


class Part(StrEnum):
    """What a replica that is behind gets in chunks."""

    STATE = "state"
    """Parameters and optimizer of the stage after a commit."""
    AVERAGE = "average"
    """The decided average that leads from the commit before to a commit."""


@dataclass(frozen=True)
class Want:
    """To every replica of the own stage: offer me what comes after the commit that I hold, and all that follows."""

    held: int
    """-1 for nothing: a whole state is wanted."""
    least: int
    """The earliest commit of a state that is of use; who holds an earlier one answers when it holds this one."""


@dataclass(frozen=True)
class Offer:
    """To whoever wanted it: this can be fetched here, chunk by chunk."""

    part: Part
    commit: int
    era: int
    """That made the commit: see `eras.py`."""
    chunks: tuple[bytes, ...]
    """BLAKE2b hash of each chunk, 16 bytes."""
    proof: str
    """Of a state the hash of its parameters, of an average the hash that was decided."""
    clip_factor: float
    replicas: int
    """How many made the average; it is hashed in their pieces."""


@dataclass(frozen=True)
class Get:
    """To a donor: send me this chunk."""

    part: Part
    commit: int
    chunk: int


@dataclass(frozen=True)
class Chunk:
    """What was asked for, with its tensor beside it."""

    part: Part
    commit: int
    chunk: int


@dataclass(frozen=True)
class Gone:
    """To whoever asked: this cannot be had here any more."""

    part: Part
    commit: int


@dataclass(frozen=True)
class Denied:
    """To whoever asked for a stage, or for its state: it is not given, and why."""

    reason: str


@dataclass(frozen=True)
class Differs:
    """To a replica that is behind no more: what it holds of this commit are not our parameters."""

    commit: int
    parameter_hash: str
    """Its own, so that it knows which are meant."""


@dataclass(frozen=True)
class Saved:
    """To the own stage: a part of its checkpoint is in the store."""

    history: int
    commit: int
    stage: int
    part: int
    receipt: bytes
    """JSON, which only those look into who seal the stage. Empty: the part's writer has lost what it should write."""


@dataclass(frozen=True)
class Sealed:
    """To all: a stage's checkpoint is whole in the store."""

    history: int
    commit: int
    stage: int
    receipt: bytes
    """JSON, which only those look into who write the manifest."""


@dataclass(frozen=True)
class Stored:
    """To all: this checkpoint exists."""

    history: int
    commit: int
    lost: str = ""
    """Why it does not, and will not."""


@dataclass(frozen=True)
class Abort:
    """To all: the run cannot go on, or somebody stopped it."""

    reason: str
    stopped: bool = False
    """Whether a person ended it on purpose."""
