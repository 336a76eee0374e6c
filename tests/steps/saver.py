"""A participant's part in saving a commit, without a store."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from actors.records import CommitRecord
from actors.steps.context import Context
from actors.steps.effects import CommitCheckpoint, SavePart, SealStage
from actors.steps.messages import Saved, Sealed, Stored
from actors.steps.saving import Saver
from tests.steps.giving import update
from tests.steps.parts import STEP, clear, context, mail

PLACE = (0, STEP)
"""History and commit of what is saved."""


def record(commit: int) -> CommitRecord:
    """Of the step that led to a commit."""
    return CommitRecord(
        commit - 1, commit, 1.0, 1.0, 1.0, 0.1, 800, 1.0, None, "S0A", {}, {}, {}, {}, 0, 0, [], {}, 0, 1
    )


def saver(me: str = "s0a", layout: tuple[int, ...] = (2, 2), **setup: Any) -> tuple[Context, Saver]:
    """Who saves every third commit, and has begun nothing."""
    setup = {"save_every": 3, **setup}
    one = context(me, layout, **setup)
    return one, Saver(one)


def decide(one: Context, made: Saver, commit: int = STEP, **fields: Any) -> None:
    """A commit is decided, and its average is on its way into its shards."""
    one.agreement.decision = replace(one.decision, **{"step": commit, "record": record(commit), **fields})
    one.applying, one.held = update(commit), commit - 1
    made.decided(one.decision)


def hold(one: Context, made: Saver, commit: int = STEP) -> None:
    """The shards hold it."""
    one.applying, one.held = None, commit
    made.consider()


def saving(me: str = "s0a", layout: tuple[int, ...] = (2, 2), **setup: Any) -> tuple[Context, Saver]:
    """Commit 3 is held, and its checkpoint has begun."""
    one, made = saver(me, layout, **setup)
    decide(one, made)
    hold(one, made)
    return one, made


def parts(made: Saver, *numbers: int, stage: int = 0) -> None:
    """These parts are in the store, written by their replicas."""
    for number in numbers:
        made.receive(f"s{stage}{'abcdefgh'[number]}", Saved(*PLACE, stage, number, f"part {number}".encode()))


def stages(made: Saver, *numbers: int) -> None:
    """These stages are whole."""
    for number in numbers:
        made.receive(f"s{number}a", Sealed(*PLACE, number, f"stage {number}".encode()))


def tasks(one: Context) -> list[Any]:
    """What was to be written since the last `clear`."""
    return [effect for effect in one.out if isinstance(effect, SavePart | SealStage | CommitCheckpoint)]


def words(one: Context) -> list[tuple[str, Any]]:
    """What others were told of it since the last `clear`."""
    found = mail(one, Saved, Sealed, Stored)
    clear(one)
    return found
