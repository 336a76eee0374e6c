"""States of a few parameters as DeepSpeed would keep them on the ranks of a participant, without DeepSpeed."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from sharding.config import OptimizerConfig
from sharding.named import NamedState

KINDS = ("exp_avg", "exp_avg_sq")
ADAMW = OptimizerConfig(name="adamw")


class Parameter(torch.nn.Parameter):
    """One that may be given DeepSpeed's attributes."""

    _hp_mapping: Any
    ds_numel: int
    ds_tensor: Tensor


@dataclass
class Rank:
    """What one rank keeps."""

    named: NamedState
    parameters: dict[str, Parameter]
    state: Any
    """Of the inner optimizer, by master."""
    masters: list[Tensor]


def whole_layout(shapes: dict[str, torch.Size], world: int, rank: int, config: OptimizerConfig = ADAMW) -> Rank:
    """Without ZeRO: every rank has all of it."""
    parameters = {name: Parameter(torch.zeros(shape)) for name, shape in shapes.items()}
    return _rank(parameters, shapes, SimpleNamespace(), list(parameters.values()), world, config)


def flat_layout(shapes: dict[str, torch.Size], world: int, rank: int, config: OptimizerConfig = ADAMW) -> Rank:
    """ZeRO 1 and 2: all elements behind each other, padded to a multiple of the ranks, a contiguous part each."""
    size = -(-sum(shape.numel() for shape in shapes.values()) // world)
    low, high = rank * size, (rank + 1) * size
    master, parameters, at = torch.zeros(size), {}, 0
    for name, shape in shapes.items():
        parameter = parameters[name] = Parameter(torch.zeros(shape))
        first, stop = max(low, at), min(high, at + shape.numel())
        parameter._hp_mapping = None
        if first < stop:
            parameter._hp_mapping = SimpleNamespace(
                hp_fragment_address=SimpleNamespace(start=first - low, numel=stop - first),
                lp_fragment_address=SimpleNamespace(start=first - at, numel=stop - first),
                param_group_index=0,
            )
        at += shape.numel()
    optimizer = SimpleNamespace(single_partition_of_fp32_groups=[master])
    return _rank(parameters, shapes, optimizer, [master], world, config)


def sliced_layout(shapes: dict[str, torch.Size], world: int, rank: int, config: OptimizerConfig = ADAMW) -> Rank:
    """ZeRO 3: an equal part of every parameter, the last ones padded; the parameters themselves are empty."""
    parameters, positions, at = {}, {}, 0
    for name, shape in shapes.items():
        parameter = parameters[name] = Parameter(torch.zeros(0))
        size = -(-shape.numel() // world)
        parameter.ds_numel, parameter.ds_tensor = shape.numel(), torch.zeros(size)
        positions[id(parameter)] = (0, at, size)
        at += size
    master = torch.zeros(at)
    optimizer = SimpleNamespace(
        fp32_partitioned_groups_flat=[master],
        grad_position=positions,
        get_param_id=id,
        _get_param_partition_rank=lambda parameter: rank,
    )
    return _rank(parameters, shapes, optimizer, [master], world, config)


LAYOUTS = {"whole": whole_layout, "flat": flat_layout, "sliced": sliced_layout}


def _rank(
    parameters: dict[str, Parameter],
    shapes: dict[str, torch.Size],
    optimizer: Any,
    masters: list[Any],
    world: int,
    config: OptimizerConfig,
) -> Rank:
    optimizer.optimizer = SimpleNamespace(state=defaultdict(dict))
    named = NamedState(parameters, shapes, optimizer, config, world)
    return Rank(named, parameters, optimizer.optimizer.state, masters)
