"""Two stages in one process, beside plain torch: 1F1B order, a repeated microbatch, a discarded step, an idle one."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch

from sharding.config import ModelConfig, OptimizerConfig
from sharding.engine import EngineSpec, StageEngine
from sharding.loss import mean_cross_entropy
from sharding.optimizer import build_optimizer, set_learning_rate
from sharding.partition import partition
from sharding.schedule import learning_rate
from sharding.stage import whole_model

MODEL = ModelConfig(vocab_size=64, width=32, layers=4, heads=4, kv_heads=2, ffn=48)
STEPS, MICROBATCHES, BATCH, TOKENS = 4, 4, 2, 8
IDLE_STEP = 3
"""In this step the replica has counted nothing."""


def optimizer(name: str) -> OptimizerConfig:
    """Return an unclipped optimizer with a schedule that changes."""
    lr = 0.1 if name == "sgd" else 1e-3
    return OptimizerConfig(name=name, lr=lr, clip=0.0, schedule="cosine", warmup_steps=2, weight_decay=0.1)


def samples(step: int) -> list[np.ndarray]:
    """Return the microbatches of a step, each [B, T + 1]."""
    rng = np.random.default_rng(step)
    return [rng.integers(0, 64, (BATCH, TOKENS + 1), dtype=np.int32) for _ in range(MICROBATCHES)]


@cache
def reference(name: str) -> tuple[list[list[float]], dict[str, torch.Tensor]]:
    """Train the whole model in plain torch; return the losses of every step and the last parameters."""
    whole, config = whole_model(MODEL, 0), optimizer(name)
    updates = build_optimizer(whole.named_parameters(), config)
    losses = []
    for step in range(STEPS):
        set_learning_rate(updates, learning_rate(config, step, STEPS))
        for parameter in whole.parameters():
            parameter.grad = torch.zeros_like(parameter)
        row = []
        for sample in samples(step):
            ids = torch.from_numpy(sample).long()
            loss = mean_cross_entropy(whole(ids[:, :-1]), ids[:, 1:])
            if step != IDLE_STEP:
                torch.autograd.backward(loss / MICROBATCHES)
            row.append(loss.item())
        updates.step()
        losses.append(row)
    return losses, {name: parameter.detach() for name, parameter in whole.named_parameters()}


class Pipeline:
    """Two stages in this process, on this rank's slice of the batch."""

    def __init__(self, zero: int, config: OptimizerConfig, rank: int = 0, world: int = 1, rendezvous: str = "") -> None:
        self.rank, self.world = rank, world
        common: dict[str, Any] = {"zero": zero, "seed": 0, "total_steps": STEPS, "device": "cpu", "threads": 1}
        ranks: dict[str, Any] = {"rank": rank, "world": world, "rendezvous": rendezvous}
        self.engines = [
            StageEngine(EngineSpec(model=MODEL, stage=stage, optimizer=config, **common, **ranks))
            for stage in partition(MODEL, 2)
        ]

    def mine(self, sample: np.ndarray) -> np.ndarray:
        """Return this rank's part of a microbatch."""
        size = len(sample) // self.world
        return np.ascontiguousarray(sample[self.rank * size : (self.rank + 1) * size])

    def forward(self, step: int, index: int, sample: np.ndarray) -> tuple[np.ndarray, ...]:
        """Run stage 0 forward."""
        return self.engines[0].forward((step, index), np.ascontiguousarray(self.mine(sample)[:, :-1]), keep=True)

    def loss(
        self, step: int, index: int, sample: np.ndarray, x: tuple[np.ndarray, ...]
    ) -> tuple[float, tuple[np.ndarray, ...]]:
        """Run stage 1 forward and backward."""
        labels = np.ascontiguousarray(self.mine(sample)[:, 1:])
        result = self.engines[1].loss((step, index), x, labels, 1.0 / (MICROBATCHES * self.world))
        assert result.gradient is not None
        return result.loss, result.gradient

    def train(self, step: int, *, double: bool = False) -> list[float]:
        """Run a step in 1F1B order with a repeated microbatch; before step 2 some work is done and discarded.

        double: a repeat is counted, which is wrong.
        """
        data = samples(step)
        if step == 2:
            x = self.forward(step, 0, data[0])
            self.engines[0].backward((step, 0), self.loss(step, 0, data[0], x)[1])
            self.forward(step, 1, data[1])
            for engine in self.engines:
                engine.discard()
        waiting = {index: self.forward(step, index, data[index]) for index in (0, 1)}
        losses = [0.0] * MICROBATCHES
        for index in range(MICROBATCHES):
            losses[index], gradient = self.loss(step, index, data[index], waiting[index])
            if index == 1:
                _, again = self.loss(step, index, data[index], waiting[index])
                assert all(np.array_equal(a, b) for a, b in zip(gradient, again, strict=True))
            if double and index == 3:
                self.engines[1]._counted.clear()
                self.loss(step, index, data[index], waiting[index])
            self.engines[0].backward((step, index), gradient)
            if index + 2 < MICROBATCHES:
                waiting[index + 2] = self.forward(step, index + 2, data[index + 2])
        for engine in self.engines:
            if step == IDLE_STEP:
                engine.discard()
            engine.apply(engine.export_gradient(), 1.0, step)
        return losses

    def error(self, expected: dict[str, torch.Tensor]) -> float:
        """Return the largest relative difference of any parameter."""
        worst = 0.0
        for engine in self.engines:
            for name, value in engine.full_parameters():
                scale = expected[name].abs().max().item()
                worst = max(worst, (value - expected[name]).abs().max().item() / scale)
        return worst
