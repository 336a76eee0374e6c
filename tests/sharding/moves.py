"""Trains engines, saves their named state, and takes it over in others of another layout."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sharding.config import ModelConfig, OptimizerConfig
from sharding.engine import EngineSpec, StageEngine
from sharding.named import StateSlice
from sharding.partition import whole_stage

STEPS, MORE = 3, 2
ONE: dict[str, Any] = {"rank": 0, "world": 1}


def build(zero: int, seed: int, dtype: str, optimizer: str, ranks: dict[str, Any]) -> StageEngine:
    """Return an engine of the whole model."""
    model = ModelConfig(width=32, layers=2, heads=4, kv_heads=2, ffn=48, vocab_size=64, dtype=dtype)
    config = OptimizerConfig(name=optimizer, lr=1e-2, clip=0.0, momentum=0.9 * (optimizer == "sgd"))
    stage = whole_stage(model)
    spec = EngineSpec(
        model=model, stage=stage, optimizer=config, zero=zero, seed=seed, total_steps=20, device="cpu", **ranks
    )
    return StageEngine(spec)


def train(engine: StageEngine, step: int) -> float:
    """Train on this rank's half of the step's data, or on both; return the loss of the whole."""
    data = np.random.default_rng(step).integers(0, 64, (2, 9)).astype(np.int32)
    world, rank = engine.spec.world, engine.spec.rank
    mine = data[rank * (2 // world) : (rank + 1) * (2 // world)]
    x, labels = np.ascontiguousarray(mine[:, :-1]), np.ascontiguousarray(mine[:, 1:])
    loss = torch.tensor(engine.loss((step, 0), x, labels, 1.0 / world).loss / world, dtype=torch.float64)
    if world > 1:
        torch.distributed.all_reduce(loss)
    engine.apply(engine.export_gradient(), 1.0, step)
    return float(loss)


def after(engine: StageEngine) -> dict[str, Any]:
    """What the next steps give."""
    before = engine.parameter_hash()
    losses = [train(engine, step) for step in range(STEPS, STEPS + MORE)]
    return {"before": before, "losses": losses, "after": engine.parameter_hash()}


def write(zero: int, dtype: str, optimizer: str, ranks: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Train, save, train on."""
    engine = build(zero, 0, dtype, optimizer, ranks)
    for step in range(STEPS):
        train(engine, step)
    state = [(one, values.clone()) for one, values in engine.named_state()]
    assert [one for one, _ in state] == list(engine.state_inventory())
    if ranks["rank"] == 0:
        folder.mkdir(parents=True, exist_ok=True)
        torch.save([(vars(one), values) for one, values in state], folder / f"{zero}.pt")
    return after(engine)


def stream_that_breaks(saved: list[tuple[dict[str, Any], torch.Tensor]]) -> Iterator[tuple[StateSlice, torch.Tensor]]:
    """Yield some tensors; then the store fails."""
    for fields, values in saved[:3]:
        yield StateSlice(**fields), values
    raise ValueError("there is no more")


def read(source: int, zero: int, dtype: str, optimizer: str, ranks: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Take over what was saved on the ZeRO stage `source`, compare, train on."""
    saved = torch.load(folder / f"{source}.pt", weights_only=True)
    engine = build(zero, 1, dtype, optimizer, ranks)
    if zero % 2:
        train(engine, 0)  # its optimizer has a state of its own already

    def stream() -> Iterator[tuple[StateSlice, torch.Tensor]]:
        for fields, values in saved if engine.spec.world > 1 else reversed(saved):
            yield StateSlice(**fields), values

    first = engine.spec.rank == 0
    try:
        engine.load_named_state(stream_that_breaks(saved) if first else None)
    except ValueError as error:
        assert ("no more" if first else "its own message says why") in str(error), error
    else:
        raise AssertionError("half a state was taken for a whole one")
    engine.load_named_state(stream() if first else None)
    for (one, values), (fields, expected) in zip(engine.named_state(), saved, strict=True):
        assert vars(one) == fields
        assert values.numpy().tobytes() == expected.numpy().tobytes(), f"{one.name} did not arrive"
    return after(engine)
