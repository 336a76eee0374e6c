"""Settings of small real runs, and what is looked at in their reports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from checkpoint.catalogue import State, catalogue
from checkpoint.store import Store
from tests.system.conftest import SMALL

EXACT = [
    *SMALL,
    "optimizer.name=sgd",
    "optimizer.lr=0.03",
    "optimizer.clip=0",
    "optimizer.schedule=constant",
    "train.microbatches=4",
]
"""Plain SGD without clipping: an error of counting shows in the losses (AdamW is nearly blind to it)."""


def details(report: dict[str, Any], kind: str) -> list[str]:
    """What was told of that kind."""
    return [event["detail"] for event in report["events"] if event["kind"] == kind]


def good(folder: Path) -> list[str]:
    """Folders of whole checkpoints, every byte looked at; the newest first."""
    return [one.id.folder for one in catalogue(Store.open(str(folder)), deep=True) if one.state is State.GOOD]
