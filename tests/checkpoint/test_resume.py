"""Real engines saved and taken up again: the same bits on the same layout, the same losses on others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from checkpoint.commit import commit, seal_stage
from checkpoint.manifest import Manifest
from checkpoint.names import CheckpointId, PartPlace
from checkpoint.parts import write_part
from checkpoint.reader import Reader, bytes_needed
from checkpoint.slices import part_of
from checkpoint.store import Store
from checkpoint.writer import WriteSizes
from sharding.config import ModelConfig, OptimizerConfig
from sharding.engine import StageEngine
from sharding.partition import partition
from tests.sharding.engines import build_engine

pytestmark = pytest.mark.usefixtures("one_rank")
MODEL = ModelConfig(width=32, layers=4, heads=4, kv_heads=2, ffn=48, vocab_size=64)
STEPS, MORE, PARTS, ID = 3, 3, 2, CheckpointId(0, 3)
SIZES = WriteSizes(file_bytes=1 << 16, entry_bytes=1 << 14, block_bytes=1 << 8)


class RecordingStore(Store):
    """Knows which files were read."""

    paths: frozenset[str] = frozenset()

    def read(self, path: str, start: int, stop: int) -> bytes:
        """Read and remember."""
        self.paths |= {path}
        return super().read(path, start, stop)


def build(stages: int, zero: int, optimizer: str, seed: int) -> list[StageEngine]:
    """Return the engines of a pipeline."""
    config = OptimizerConfig(name=optimizer, lr=1e-2, clip=0.0, momentum=0.9 * (optimizer == "sgd"), warmup_steps=2)
    cut = partition(MODEL, stages)
    return [build_engine(config, zero=zero, model=MODEL, stage=stage, seed=seed, total_steps=9) for stage in cut]


def train(engines: Sequence[StageEngine], step: int) -> float:
    """Train one microbatch through all stages; return its loss."""
    data = np.random.default_rng(step).integers(0, 64, (2, 9)).astype(np.int32)
    x: Any = np.ascontiguousarray(data[:, :-1])
    for engine in engines[:-1]:
        x = engine.forward((step, 0), x, keep=True)
    result = engines[-1].loss((step, 0), x, np.ascontiguousarray(data[:, 1:]), 1.0)
    gradient = result.gradient
    for engine in reversed(engines[:-1]):
        assert gradient is not None
        gradient = engine.backward((step, 0), gradient)
    for engine in engines:
        engine.apply(engine.export_gradient(), 1.0, step)
    return result.loss


def save(engines: Sequence[StageEngine], folder: Path) -> Manifest:
    """Save as two replicas of each stage would."""
    store, sealed = Store.open(str(folder)), []
    for number, engine in enumerate(engines):
        own, receipts = engine.state_inventory(), []
        for part in range(PARTS):
            names = {piece.name for piece in part_of(own, part, PARTS)}
            tensors = engine.named_state(names)
            receipts.append(write_part(store, PartPlace(ID, number, part, PARTS, f"r{part}"), own, tensors, SIZES))
        sealed.append(seal_stage(store, ID, number, receipts, own))
    return commit(store, Manifest(ID, "run", 0, tuple(sealed), "config"))


def resume(engines: Sequence[StageEngine], folder: Path, manifest: Manifest, same_cut: bool) -> None:
    """Take over the state; each engine reads what it needs and nothing else."""
    for number, engine in enumerate(engines):
        store = RecordingStore.open(str(folder))
        assert isinstance(store, RecordingStore)
        reader = Reader(store, manifest, [number] if same_cut else None)
        wanted = engine.state_inventory()
        engine.load_named_state(reader.read(wanted))
        ratio = reader.bytes_read / bytes_needed(wanted)
        assert ratio < 1.5, f"{ratio} of what is needed was read"  # the entries of so small a model are mostly frames
        if same_cut:
            assert all(path.startswith(ID.stage(number)) for path in store.paths), "another stage's file was opened"


Origin = tuple[Path, Manifest, list[float], list[str]]
"""Folder and manifest of a checkpoint, and the losses and hashes with which its run went on."""


@pytest.fixture(scope="module", params=["sgd", "adamw"])
def origin(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, one_rank: None) -> Origin:
    """Two stages on ZeRO 1, saved after three steps, and trained on."""
    engines, folder = build(2, 1, request.param, seed=0), tmp_path_factory.mktemp(request.param)
    for step in range(STEPS):
        train(engines, step)
    manifest = save(engines, folder)
    losses = [train(engines, step) for step in range(STEPS, STEPS + MORE)]
    return folder, manifest, losses, [engine.parameter_hash() for engine in engines]


@pytest.mark.parametrize(("stages", "zero"), [(2, 1), (2, 0), (4, 3), (1, 2)])
def test_training_goes_on_in_another_cut_and_on_another_zero_stage(origin: Origin, stages: int, zero: int) -> None:
    folder, manifest, expected, hashes = origin
    optimizer = folder.name.rstrip("0123456789")
    others = build(stages, zero, optimizer, seed=1)
    resume(others, folder, manifest, same_cut=stages == 2)
    losses = [train(others, step) for step in range(STEPS, STEPS + MORE)]
    if (stages, zero) == (2, 1):
        assert losses == expected, "other losses on the same layout"
        assert [engine.parameter_hash() for engine in others] == hashes, "other bits on the same layout"
    assert losses == pytest.approx(expected, rel=1e-5 if optimizer == "sgd" else 1e-4)
