"""The learning rate as a pure function of the step, so that every participant computes the same. No torch."""

from __future__ import annotations

import math

from sharding.config import OptimizerConfig

SCHEDULES = ("cosine", "constant")


def learning_rate(config: OptimizerConfig, step: int, total_steps: int) -> float:
    """Return the learning rate of update `step` (0-based) of `total_steps`.

    Linear warm-up over warmup_steps updates, the first at lr / warmup_steps; then constant, or half a cosine that
    reaches min_lr_ratio * lr at the last step (Loshchilov & Hutter, arXiv 1608.03983). Steps beyond the last keep its
    value. Raises ValueError for an unknown schedule.
    """
    if config.schedule not in SCHEDULES:
        raise ValueError(f"optimizer.schedule = {config.schedule!r} is unknown; use one of {', '.join(SCHEDULES)}.")
    if step < config.warmup_steps:
        return config.lr * (step + 1) / config.warmup_steps
    if config.schedule == "constant":
        return config.lr
    span = total_steps - 1 - config.warmup_steps
    progress = min(1.0, (step - config.warmup_steps) / span) if span > 0 else 1.0
    floor = config.min_lr_ratio
    return config.lr * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress)))
