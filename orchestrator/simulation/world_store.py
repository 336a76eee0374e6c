"""A checkpoint store for worlds: parts, sealed stages, manifests; it notices what must not be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from orchestrator.simulation.exact_model import Vector

Id = tuple[int, int]
"""History and commit."""


@dataclass
class WorldStore:
    """What participants have written.

    Args:
        wrong: makes an exception of a sentence.
    """

    wrong: Callable[[str], Exception]
    parts: dict[tuple[Id, int, int], Vector] = field(default_factory=dict)
    """(Checkpoint, stage, part) -> the state of whoever wrote it."""
    counts: dict[tuple[Id, int], int] = field(default_factory=dict)
    """(Checkpoint, stage) -> in how many parts it is written."""
    complete: dict[Id, int] = field(default_factory=dict)
    """Checkpoints with a manifest -> how many stages they have."""

    def write(self, id: Id, stage: int, part: int, parts: int, state: Vector) -> bytes:
        """A part; returns its receipt."""
        if self.counts.setdefault((id, stage), parts) != parts:
            raise self.wrong(f"stage {stage} of checkpoint {id} is written in {parts} parts and in other ones")
        before = self.parts.setdefault((id, stage, part), state)
        if before.tobytes() != state.tobytes():
            raise self.wrong(f"part {part} of stage {stage} of checkpoint {id} is written with other values")
        return f"{stage}/{part}".encode()

    def seal(self, id: Id, stage: int, receipts: Sequence[bytes]) -> bytes:
        """A stage whose parts are there; returns its receipt."""
        wanted = [f"{stage}/{part}".encode() for part in range(self.counts.get((id, stage), 0))]
        if list(receipts) != wanted:
            raise self.wrong(f"stage {stage} of checkpoint {id} is sealed with other parts than it has")
        states = {self.parts[id, stage, part].tobytes() for part in range(len(wanted))}
        if len(states) != 1:
            raise self.wrong(f"the parts of stage {stage} of checkpoint {id} are of different states")
        return f"{stage}".encode()

    def commit(self, id: Id, receipts: Sequence[bytes], stages: int) -> None:
        """The manifest."""
        if list(receipts) != [f"{stage}".encode() for stage in range(stages)]:
            raise self.wrong(f"checkpoint {id} is committed with other stages than the run has")
        self.complete[id] = stages

    def read(self, id: Id, stage: int) -> Vector | None:
        """A stage's state; None where there is no such checkpoint."""
        return self.parts[id, stage, 0] if id in self.complete else None
