"""Which checkpoints are kept, and how the others go.

A checkpoint goes manifest first, so that it never exists with files missing; when the manifest is not seen to be gone,
its files stay. Leftovers of saves that were never finished go when they are older than the newest good checkpoint.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from checkpoint.catalogue import Found, State, catalogue
from checkpoint.names import CheckpointId
from checkpoint.store import Store


@dataclass(frozen=True)
class RetentionPolicy:
    """A good checkpoint stays when any of these rules keeps it; the newest good one always stays."""

    last: int = 3
    """Keep so many of the newest good ones; at least 1."""
    every: int = 0
    """Keep those whose commit is a multiple of this; 0: none for this reason."""
    max_age_s: float = 0.0
    """Those kept by `every` go when they are older than this; 0: never."""
    grace_s: float = 3600.0
    """A leftover goes only when nothing in it has changed for so long before the newest good one's manifest."""


@dataclass(frozen=True)
class Removal:
    """What was removed, and what could not be."""

    removed: tuple[CheckpointId, ...]
    swept: tuple[CheckpointId, ...]
    """Leftovers of unfinished saves."""
    kept_back: tuple[CheckpointId, ...]
    """Their manifests are still there after they were deleted, so their files were left alone."""


def outdated(found: Sequence[Found], policy: RetentionPolicy, now: float) -> list[CheckpointId]:
    """Return complete or damaged checkpoints that the policy does not keep. Pure.

    Damaged ones that are newer than the newest good one stay, for somebody to look at.

    Args:
        found: what is there.
        policy: what is kept.
        now: seconds since 1970.
    """
    ordered = sorted(found, key=lambda one: one.id, reverse=True)
    good = [one for one in ordered if one.state is State.GOOD]
    if not good:
        return []
    keep = {one.id for one in good[: max(1, policy.last)]}
    for one in good:
        age = now - (one.manifest.created if one.manifest is not None else now)
        if policy.every and one.id.commit % policy.every == 0 and not 0 < policy.max_age_s < age:
            keep.add(one.id)
    complete = [one for one in ordered if one.state is not State.UNFINISHED and one.id < good[0].id]
    return [one.id for one in complete if one.id not in keep]


def clean_up(
    store: Store, policy: RetentionPolicy, now: float, busy: Collection[CheckpointId] = (), *, deep: bool = False
) -> Removal:
    """Remove what the policy does not keep, and leftovers.

    Args:
        now: seconds since 1970.
        busy: checkpoints that are being written or read now; they stay whatever they are.
        deep: read every byte to see which ones are good; without it a checkpoint is good when its files are all there.

    Raises StoreError; what was done until then stays done.
    """
    found = catalogue(store, deep=deep)
    removed, kept_back = [], []
    for id in outdated(found, policy, now):
        if id in busy:
            continue
        store.delete([id.manifest])
        if store.exists(id.manifest):
            kept_back.append(id)
            continue
        store.delete_folder(id.folder)
        removed.append(id)
    return Removal(tuple(removed), _sweep(store, found, policy, busy), tuple(kept_back))


def _sweep(
    store: Store, found: Sequence[Found], policy: RetentionPolicy, busy: Collection[CheckpointId]
) -> tuple[CheckpointId, ...]:
    newest = next((one.id for one in found if one.state is State.GOOD), None)
    info = store.info(newest.manifest) if newest is not None else None
    if newest is None or info is None or info.modified is None:
        return ()
    swept = []
    for one in found:
        if one.state is not State.UNFINISHED or one.id > newest or one.id in busy:
            continue
        times = [file.modified for file in store.files(one.id.folder).values()]
        settled = all(time is not None and time < info.modified - policy.grace_s for time in times)
        if settled and not store.exists(one.id.manifest):  # it may have been completed meanwhile
            store.delete_folder(one.id.folder)
            swept.append(one.id)
    return tuple(swept)
