"""How checkpoints, stages and files are called. Every name that comes from a store is matched against these first.

<root>/h0000-c0000000120/                        history 0, commit 120
    manifest.json                                written last
    stage-0002/.metadata                         for torch.distributed.checkpoint
    stage-0002/p0001-<writer>.index.json         what part 1 holds, and where
    stage-0002/p0001-<writer>-00000.distcp       its tensors
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MANIFEST = "manifest.json"
DCP_METADATA = ".metadata"
MAX_HISTORY, MAX_COMMIT, MAX_STAGES, MAX_PARTS, MAX_FILES = 9999, 10**10 - 1, 10_000, 10_000, 100_000
_FOLDER = re.compile(r"h([0-9]{4})-c([0-9]{10})")
_WRITER = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, order=True)
class CheckpointId:
    """Which checkpoint; the greater one is the newer one.

    A history begins whenever a run is taken up from a checkpoint. Within one, a commit's state is always the same, so
    whoever writes a part of it writes the same; another history gets other folders and never overwrites it.
    """

    history: int
    """How often the run had been taken up from a checkpoint before."""
    commit: int
    """Number of committed steps in the parameters."""

    def __post_init__(self) -> None:
        if not (0 <= self.history <= MAX_HISTORY and 0 <= self.commit <= MAX_COMMIT):
            raise ValueError(f"history {self.history}, commit {self.commit} is out of range.")

    @property
    def folder(self) -> str:
        """Its folder below the root."""
        return f"h{self.history:04d}-c{self.commit:010d}"

    @property
    def manifest(self) -> str:
        """Path of its manifest."""
        return f"{self.folder}/{MANIFEST}"

    def stage(self, stage: int) -> str:
        """Path of a stage's folder, which plain `torch.distributed.checkpoint` can load."""
        return f"{self.folder}/stage-{stage:04d}"

    @classmethod
    def parse(cls, folder: str) -> CheckpointId | None:
        """Return the checkpoint that a folder's name stands for; None when it is not ours."""
        found = _FOLDER.fullmatch(folder)
        return cls(int(found[1]), int(found[2])) if found else None


@dataclass(frozen=True)
class PartPlace:
    """Which part of which stage of which checkpoint, and whose: names all its files.

    Raises ValueError for what cannot be: a part beyond their number, a writer whose name cannot be part of a file's.
    """

    id: CheckpointId
    stage: int
    part: int
    """0-based."""
    parts: int
    """In how many parts the stage is written."""
    writer: str
    """Part of the files' names: whoever takes over a part makes files of its own."""

    def __post_init__(self) -> None:
        if not 0 <= self.part < self.parts:
            raise ValueError(f"there is no part {self.part} of {self.parts}.")
        check_writer(self.writer)

    @property
    def folder(self) -> str:
        """Path of the stage's folder."""
        return self.id.stage(self.stage)


def check_writer(writer: str) -> str:
    """Return the name of a writer. Raises ValueError when it cannot be part of a file's name."""
    if not _WRITER.fullmatch(writer):
        raise ValueError(f"writer {writer!r} must be 1 to 64 letters, digits, _ or -.")
    return writer


def part_stem(part: int, writer: str) -> str:
    """Return how the names of a part's files begin."""
    return f"p{part:04d}-{writer}"


def index_file(part: int, writer: str) -> str:
    """Return the name of a part's index."""
    return f"{part_stem(part, writer)}.index.json"


def data_file(part: int, writer: str, number: int) -> str:
    """Return the name of a part's data file."""
    return f"{part_stem(part, writer)}-{number:05d}.distcp"
