"""The end of a checkpoint: its manifest, and what goes of its run's older ones. Does not import torch."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from actors.spec import ParticipantSpec
from checkpoint.catalogue import State, catalogue
from checkpoint.commit import commit
from checkpoint.manifest import Manifest
from checkpoint.names import CheckpointId
from checkpoint.receipts import StageReceipt
from checkpoint.retention import RetentionPolicy, clean_up
from checkpoint.store import Store


def commit_checkpoint(
    spec: ParticipantSpec, history: int, commit_number: int, receipts: Sequence[bytes], protocol: Mapping[str, Any]
) -> str:
    """Write the manifest of a checkpoint whose stages are whole; say what there is now.

    Args:
        spec: of whoever writes it.
        history: of the checkpoint.
        commit_number: of the checkpoint.
        receipts: of all stages, in order.
        protocol: where the step protocol was.

    Raises CheckpointError (a ValueError), or ValueError for a receipt that is none.
    """
    store, id = Store.open(spec.checkpoint.url), CheckpointId(history, commit_number)
    stages = tuple(StageReceipt.from_json(json.loads(receipt)) for receipt in receipts)
    train, layout, rules = spec.train, spec.layout, spec.checkpoint
    manifest = Manifest(
        id,
        spec.run_id,
        int(time.time()),
        stages,
        spec.config_text,
        data_position={"step": commit_number, "microbatches": train.microbatches, "fingerprint": spec.fingerprint},
        random={"seed": train.seed},
        protocol=dict(protocol),
        layout={"stages": layout.stages, "zero": layout.zero, "devices": layout.devices},
    )
    written = commit(store, manifest)
    size = written.tensor_bytes / 1e6
    text = f"{id.folder} is complete: {size:.1f} MB in {sum(len(stage.parts) for stage in stages)} parts"
    policy = RetentionPolicy(rules.last, rules.keep_multiples, rules.keep_hours * 3600.0)
    try:
        others = {one.id for one in catalogue(store) if one.manifest is not None and one.manifest.run != spec.run_id}
        gone = clean_up(store, policy, time.time(), busy={id, *others}).removed
    except Exception as error:  # it is complete all the same
        return f"{text}; older ones could not be cleared away: {error}"
    return f"{text}; {len(gone)} older went" if gone else text


def whole_checkpoints(url: str) -> tuple[tuple[int, int], ...]:
    """History and commit of the checkpoints at `url` that have all their files. Raises StoreError (a ValueError)."""
    found = catalogue(Store.open(url)) if url else []
    return tuple((one.id.history, one.id.commit) for one in found if one.state is State.GOOD)
