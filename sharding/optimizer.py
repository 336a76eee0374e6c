"""The optimizer, built the same way everywhere."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from sharding.config import OptimizerConfig

OPTIMIZERS = ("adamw", "sgd")


def build_optimizer(
    named_parameters: Iterable[tuple[str, nn.Parameter]], config: OptimizerConfig
) -> torch.optim.Optimizer:
    """Build AdamW (Loshchilov & Hutter, arXiv 1711.05101) or SGD over two groups: matrices decay, vectors do not.

    The plain loop kernel is asked for on every device and layout, neither foreach nor fused: their roundings differ,
    and replicas must end on the same bits. SGD's decay is torch's, added to the gradient. The learning rate given
    here is the peak; the caller sets each step's own (`sharding.schedule`). Raises ValueError for an unknown name.
    """
    matrices: list[nn.Parameter] = []
    vectors: list[nn.Parameter] = []
    for _, parameter in named_parameters:
        (matrices if parameter.ndim > 1 else vectors).append(parameter)
    groups = [
        {"params": parameters, "weight_decay": decay}
        for parameters, decay in ((matrices, config.weight_decay), (vectors, 0.0))
        if parameters
    ]
    if config.name == "adamw":
        betas = (config.beta1, config.beta2)
        return torch.optim.AdamW(groups, lr=config.lr, betas=betas, eps=config.eps, foreach=False, fused=False)
    if config.name == "sgd":
        return torch.optim.SGD(groups, lr=config.lr, momentum=config.momentum, foreach=False, fused=False)
    raise ValueError(f"optimizer.name = {config.name!r} is unknown; use one of {', '.join(OPTIMIZERS)}.")


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set the learning rate of every group."""
    for group in optimizer.param_groups:
        group["lr"] = lr
