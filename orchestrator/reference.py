"""The same training in one process with plain torch: what a mesh run is compared with.

It shares the model, the data and the schedule with the mesh, and nothing of how the mesh computes: the gradient comes
from `backward`, the norm and the update from torch.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from actors.steps.config import TrainConfig
from actors.tokens import Int32, TokenSource
from sharding.config import ModelConfig, OptimizerConfig
from sharding.loss import mean_cross_entropy
from sharding.optimizer import build_optimizer, set_learning_rate
from sharding.schedule import learning_rate
from sharding.stage import Stage, whole_model


@dataclass(frozen=True)
class ReferenceStep:
    """One step; the closing one has no loss and no tokens."""

    step: int
    loss: float | None
    grad_norm: float | None
    lr: float
    tokens: int
    seconds: float
    validation_loss: float | None


def run_reference(
    model: ModelConfig,
    optimizer: OptimizerConfig,
    train: TrainConfig,
    tokens: TokenSource,
    on_step: Callable[[ReferenceStep], None],
    threads: int = 2,
) -> None:
    """Train `model` (with its vocabulary resolved) for train.steps steps, calling `on_step` after each."""
    torch.set_num_threads(threads)
    whole = whole_model(model, train.seed)
    updates = build_optimizer(whole.named_parameters(), optimizer)
    for step in range(train.steps + 1):
        began = time.perf_counter()
        closing = step == train.steps
        due = train.validate_every > 0 and (closing or step % train.validate_every == 0)
        validation = _validate(whole, train, tokens) if due else None
        loss, norm, lr = None, None, 0.0
        if not closing:
            loss = _accumulate(whole, train, tokens, step)
            clip = optimizer.clip if optimizer.clip > 0 else float("inf")
            norm = float(torch.nn.utils.clip_grad_norm_(whole.parameters(), clip, foreach=False))
            lr = learning_rate(optimizer, step, train.steps)
            set_learning_rate(updates, lr)
            updates.step()
            updates.zero_grad()
        count = 0 if closing else train.microbatches * train.microbatch_size * train.sequence
        on_step(ReferenceStep(step, loss, norm, lr, count, time.perf_counter() - began, validation))


def _accumulate(whole: Stage, train: TrainConfig, tokens: TokenSource, step: int) -> float:
    total = 0.0
    for index in range(train.microbatches):
        loss = _loss(whole, tokens.microbatch(step, index))
        torch.autograd.backward(loss / train.microbatches)
        total += loss.item()
    return total / train.microbatches


@torch.no_grad()
def _validate(whole: Stage, train: TrainConfig, tokens: TokenSource) -> float:
    losses = [_loss(whole, tokens.validation(index)).item() for index in range(train.validation_microbatches)]
    return sum(losses) / len(losses)


def _loss(whole: Stage, sample: Int32) -> torch.Tensor:
    ids = torch.from_numpy(sample).long()
    return mean_cross_entropy(whole(ids[:, :-1]), ids[:, 1:])
