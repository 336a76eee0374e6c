"""One rank's state as a flat fp32 vector: parameters, then what its optimizer keeps, then the optimizer's step count.

Parameters are whole and in name order. What the optimizer keeps (master weights, moments) is this rank's partition as
DeepSpeed lays it out, so a state fits engines of the same ZeRO stage, number of ranks and dtype.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sharding.codecs.base import Array
from sharding.config import OptimizerConfig

MASTERS = (
    "single_partition_of_fp32_groups",
    "fp32_groups_flat_partition",
    "fp32_partitioned_groups_flat",
    "fp32_groups_flat",
    "fp32_groups",
)
"""Where DeepSpeed's optimizers keep fp32 weights: ZeRO 1 and 2, bf16, ZeRO 3, bf16 without ZeRO (a list a group)."""


def _flatten(masters: Any) -> list[Tensor]:
    """Tensors of all groups, one after the other."""
    return [one for group in masters for one in ([group] if isinstance(group, Tensor) else group)]


def state_kinds(config: OptimizerConfig) -> tuple[str, ...]:
    """What an optimizer keeps for every element of a parameter."""
    if config.name == "adamw":
        return ("exp_avg", "exp_avg_sq")
    return ("momentum_buffer",) if config.momentum > 0 else ()


class FlatState:
    """Reads and writes the state of one engine. With several ranks all of them make the same calls.

    Args:
        parameters: the engine's, by name.
        optimizer: what DeepSpeed returned.
        config: which optimizer it is.
        zero: ZeRO stage.
        whole: yields every parameter whole in fp32, in name order.
    """

    def __init__(
        self,
        parameters: Mapping[str, Any],
        optimizer: Any,
        config: OptimizerConfig,
        zero: int,
        whole: Callable[[], Iterable[tuple[str, Tensor]]],
        elements: int,
    ) -> None:
        self._parameters = dict(sorted(parameters.items()))
        self._inner = getattr(optimizer, "optimizer", optimizer)
        self._kinds, self._zero, self._whole = state_kinds(config), zero, whole
        found = [_flatten(getattr(optimizer, name)) for name in MASTERS if hasattr(optimizer, name)]
        self._own_masters = bool(found)
        self._masters: list[Tensor] = (
            found[0] if found else [p for group in self._inner.param_groups for p in group["params"]]
        )
        kept = sum(master.numel() for master in self._masters)
        self._elements = elements
        self.length = elements + kept * (len(self._kinds) + self._own_masters) + 1

    def export(self) -> Array:
        """Return the state, shape [length] fp32; a copy."""
        flat, at = np.zeros(self.length, np.float32), 0
        for _, values in self._whole():
            flat[at : at + values.numel()] = values.reshape(-1).numpy()
            at += values.numel()
        for master in self._masters:
            state = self._inner.state.get(master, {})
            for values in ([master] if self._own_masters else []) + [state.get(kind) for kind in self._kinds]:
                if isinstance(values, Tensor):
                    flat[at : at + master.numel()] = values.detach().to("cpu", torch.float32).reshape(-1).numpy()
                at += master.numel()
            flat[-1] = max(flat[-1], float(state.get("step", 0.0)))
        return flat

    @torch.no_grad()
    def load(self, flat: Array) -> None:
        """Write a state. Raises ValueError when it has another length."""
        if flat.shape != (self.length,):
            raise ValueError(f"a state of {flat.shape} elements does not fit: this shard's has {self.length}")
        vector, at = torch.from_numpy(flat), 0
        for parameter in self._parameters.values():
            at += self._put(parameter, vector[at:])
        for master in self._masters:
            if self._own_masters:
                master.data.copy_(vector[at : at + master.numel()].view(master.shape))
                at += master.numel()
            at = self._put_moments(master, vector, at)

    def _put(self, parameter: Any, vector: Tensor) -> int:
        """Copy the next elements into a parameter; return how many."""
        if self._zero < 3:
            parameter.data.copy_(vector[: parameter.numel()].view(parameter.shape))
            return int(parameter.numel())
        import deepspeed

        with deepspeed.zero.GatheredParameters([parameter], modifier_rank=0):
            count = int(parameter.numel())
            parameter.data.copy_(vector[:count].view(parameter.shape))
        return count

    def _put_moments(self, master: Tensor, vector: Tensor, at: int) -> int:
        if not self._kinds:
            return at
        state: dict[str, Any] = {}
        for kind in self._kinds:
            state[kind] = vector[at : at + master.numel()].to(master.device, copy=True).view(master.shape)
            at += master.numel()
        if "exp_avg" in state:
            state["step"] = vector[-1].clone()
        self._inner.state[master] = state
        return at
