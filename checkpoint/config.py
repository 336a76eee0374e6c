"""Where and how often a run is written down."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CheckpointConfig:
    """Checkpoints of a run."""

    url: str = ""
    """Folder for checkpoints: a path, file://, memory://, s3:// and whatever else fsspec knows. Empty: none are
    written. All participants have to reach it."""
    every: int = 50
    """Write one after every so many commits."""
    last: int = 3
    """Keep so many of the newest ones."""
    keep_multiples: int = 0
    """Also keep those whose commit is a multiple of this; 0: none."""
    keep_hours: float = 0.0
    """Those go when they are older than this; 0: never."""
    resume: str = ""
    """Begin with the newest good checkpoint in this folder, on whatever layout wrote it. Empty: begin anew."""
    resume_history: int = -1
    resume_commit: int = -1
    """Which checkpoint exactly; -1: the newest good one, which the launcher looks up."""
    history: int = 0
    """Of the checkpoints that this run writes: above those that are in its folder already. Set by the launcher."""
