"""What is in a store: complete, damaged and unfinished checkpoints, and the newest good one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from checkpoint.errors import DamagedError, NoCheckpointError
from checkpoint.load import load_manifest
from checkpoint.manifest import Manifest
from checkpoint.names import CheckpointId
from checkpoint.presence import missing_files
from checkpoint.store import Store
from checkpoint.verify import verify


class State(Enum):
    """What a folder is."""

    GOOD = "good"
    """It has a manifest and all files (and, when verified, all bytes are right)."""
    DAMAGED = "damaged"
    """It has a manifest; something is missing or was changed."""
    UNFINISHED = "unfinished"
    """It has no manifest: it is being written, or its writers ended before."""


@dataclass(frozen=True)
class Found:
    """One checkpoint's folder."""

    id: CheckpointId
    state: State
    manifest: Manifest | None
    """None where it has none that can be read."""
    problems: tuple[str, ...] = ()
    """One sentence for each thing that is wrong; names file, stage and part."""


def catalogue(store: Store, *, deep: bool = False) -> list[Found]:
    """Return all checkpoints, the newest first. `deep` reads every byte. Raises StoreError."""
    return [inspect(store, id, deep=deep) for id in checkpoint_ids(store)]


def checkpoint_ids(store: Store) -> list[CheckpointId]:
    """Return the checkpoints that have a folder, the newest first. Raises StoreError."""
    found = [CheckpointId.parse(name) for name in store.folders()]
    return sorted((id for id in found if id is not None), reverse=True)


def inspect(store: Store, id: CheckpointId, *, deep: bool = False) -> Found:
    """Say what one folder is. `deep` reads every byte. Raises StoreError."""
    try:
        manifest = load_manifest(store, id)
    except NoCheckpointError as error:
        return Found(id, State.UNFINISHED, None, (str(error),))
    except DamagedError as error:
        return Found(id, State.DAMAGED, None, (str(error),))
    problems = tuple(missing_files(store, manifest))
    if not problems and deep:
        problems = tuple(str(error) for error in verify(store, manifest))
    return Found(id, State.DAMAGED if problems else State.GOOD, manifest, problems)


def newest_good(
    store: Store, *, deep: bool = False, skip: Callable[[CheckpointId], bool] | None = None
) -> tuple[Manifest, list[Found]]:
    """Return the newest good checkpoint, and the newer ones that were passed over, with what is wrong with them.

    Args:
        deep: read every byte; without it, damage inside files is found when they are read, and whoever finds it asks
            again with `skip`.
        skip: checkpoints that are known not to be good.

    Raises:
        NoCheckpointError: none is good; says what is wrong with the newest.
        StoreError: the store fails.
    """
    passed: list[Found] = []
    for id in checkpoint_ids(store):
        if skip is not None and skip(id):
            continue
        found = inspect(store, id, deep=deep)
        if found.state is State.GOOD and found.manifest is not None:
            return found.manifest, passed
        passed.append(found)
    if not passed:
        raise NoCheckpointError("there is no checkpoint.")
    raise NoCheckpointError(f"none of {len(passed)} checkpoints is good; of the newest: {passed[0].problems[0]}")


def next_history(store: Store) -> int:
    """Return the history for a run that is taken up from a checkpoint of this store: none has had it. Raises
    StoreError."""
    return max((id.history for id in checkpoint_ids(store)), default=-1) + 1
