"""A small model of two stages, saved by two writers each, and what a restored checkpoint must hold."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from checkpoint.catalogue import State, catalogue
from checkpoint.commit import commit, seal_stage
from checkpoint.manifest import Manifest
from checkpoint.names import CheckpointId, PartPlace
from checkpoint.parts import write_part
from checkpoint.reader import Reader
from checkpoint.receipts import PartReceipt
from checkpoint.retry import Retry
from checkpoint.slices import Slice
from checkpoint.store import Store
from checkpoint.writer import WriteSizes

STAGES, PARTS = 2, 2
SIZES = WriteSizes(file_bytes=3000, entry_bytes=400, block_bytes=128, in_flight=1)
IMPATIENT = Retry(attempts=4, sleep=lambda seconds: None)


def whole(name: str, shape: tuple[int, ...], dtype: str = "float32") -> Slice:
    """Return a whole tensor."""
    return Slice(name, dtype, shape, (0,) * len(shape), shape)


def inventory(stage: int) -> list[Slice]:
    """Return what a stage holds: a matrix that is cut, a vector, and a scalar."""
    layer = f"layers.{stage}"
    return [
        whole(f"model.{layer}.weight", (20, 9)),
        whole(f"model.{layer}.norm", (9,), "bfloat16"),
        whole(f"optimizer.step.{layer}.norm", ()),
    ]


def values(box: Slice, commit_: int) -> torch.Tensor:
    """Return a tensor's values in a commit; every commit has others."""
    generator = torch.Generator().manual_seed(commit_ * 1000 + sum(map(ord, box.name)))
    return torch.randn(box.shape, generator=generator).to(getattr(torch, box.dtype))


def stream(stage: int, commit_: int) -> Iterator[tuple[Slice, torch.Tensor]]:
    """Yield a stage's state."""
    for box in inventory(stage):
        yield box, values(box, commit_)


def write(store: Store, id: CheckpointId, stage: int, part: int, writer: str) -> PartReceipt:
    """Write one part."""
    place = PartPlace(id, stage, part, PARTS, writer)
    return write_part(store, place, inventory(stage), stream(stage, id.commit), SIZES)


def save(store: Store, id: CheckpointId, created: int = 0) -> Manifest:
    """Save a whole checkpoint; part 1 of stage 0 is written by two writers."""
    stages = []
    for stage in range(STAGES):
        receipts = [write(store, id, stage, part, f"s{stage}-r{part}") for part in range(PARTS)]
        if stage == 0:
            receipts.append(write(store, id, stage, 1, "s0-r0"))
        stages.append(seal_stage(store, id, stage, receipts, inventory(stage)))
    manifest = Manifest(
        id=id,
        run="a-run",
        created=created,
        stages=tuple(stages),
        config="train:\n  steps: 40\n",
        data_position={"step": id.commit},
        random={"seed": 3},
        protocol={"view": [1, 2, {"a": "b"}]},
        layout={"stages": STAGES},
    )
    return commit(store, manifest)


def assert_restores(store: Store, manifest: Manifest) -> None:
    """Assert that every tensor of a checkpoint has the bits of its commit."""
    reader = Reader(store, manifest)
    wanted = [box for stage in range(STAGES) for box in inventory(stage)]
    assert reader.names() == {box.name for box in wanted}
    for box, tensor in reader.read(wanted):
        expected = values(box, manifest.id.commit)
        assert tensor.dtype == expected.dtype
        assert np.array_equal(bits(tensor), bits(expected)), box.name


def bits(tensor: torch.Tensor) -> np.ndarray:
    """Return a tensor's bytes."""
    return np.asarray(tensor.contiguous().reshape(-1).view(torch.uint8).numpy())


def assert_newest_is_whole(store: Store) -> CheckpointId:
    """Assert that the newest listed checkpoint verifies and restores, as do all that are called good."""
    found = [one for one in catalogue(store, deep=True) if one.state is not State.UNFINISHED]
    assert found, "there is no checkpoint left"
    assert found[0].state is State.GOOD, found[0].problems
    for one in found:
        if one.state is State.GOOD:
            assert one.manifest is not None
            assert_restores(store, one.manifest)
    return found[0].id
