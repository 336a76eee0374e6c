"""Where DeepSpeed keeps the fp32 values of a parameter: which elements of which tensor are this rank's.

Every ZeRO stage has its own layout: without ZeRO a tensor a parameter, ZeRO 1 and 2 one flat tensor a group of which
each rank has a contiguous part, ZeRO 3 a padded part of every parameter. Optimizer state has the layout of the
masters, as the inner optimizer works on them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Fragment:
    """Elements start .. start + count of the flattened parameter lie at elements at .. at + count of `master`."""

    master: Tensor
    """What the inner optimizer updates; its state is kept under this tensor."""
    at: int
    start: int
    count: int

    def of(self, like_master: Tensor) -> Tensor:
        """Return the fragment's elements of a tensor with the master's layout; a view, shape [count]."""
        return like_master.detach().view(-1)[self.at : self.at + self.count]

    def within(self, whole: Tensor) -> Tensor:
        """Return the fragment's elements of a whole parameter; a view, shape [count]."""
        return whole.reshape(-1)[self.start : self.start + self.count]


def find_fragments(parameters: Mapping[str, Any], optimizer: Any) -> dict[str, Fragment]:
    """Return each parameter's fragment on this rank; one that has no element here has none.

    Args:
        parameters: the engine's, by name.
        optimizer: what DeepSpeed returned.
    """
    found: dict[str, Fragment | None]
    if hasattr(optimizer, "fp32_partitioned_groups_flat"):
        found = {name: _of_zero_3(parameter, optimizer) for name, parameter in parameters.items()}
    elif hasattr(optimizer, "single_partition_of_fp32_groups"):
        masters = optimizer.single_partition_of_fp32_groups
        found = {name: _of_group(parameter, masters) for name, parameter in parameters.items()}
    elif hasattr(optimizer, "fp32_groups_flat_partition"):
        masters = optimizer.fp32_groups_flat_partition
        found = {name: _of_group(parameter, masters) for name, parameter in parameters.items()}
    elif hasattr(optimizer, "fp32_groups"):
        pairs = zip(chain(*optimizer.fp16_groups), chain(*optimizer.fp32_groups), strict=True)
        masters = {id(parameter): master for parameter, master in pairs}
        found = {name: _whole(masters[id(parameter)]) for name, parameter in parameters.items()}
    elif hasattr(optimizer, "fp32_groups_flat"):
        found = _of_flat_groups(parameters, optimizer)
    else:
        found = {name: _whole(parameter) for name, parameter in parameters.items()}
    return {name: fragment for name, fragment in found.items() if fragment is not None and fragment.count > 0}


def _whole(master: Tensor) -> Fragment:
    return Fragment(master, 0, 0, master.numel())


def _of_group(parameter: Any, masters: list[Tensor]) -> Fragment | None:
    mapping = parameter._hp_mapping
    if mapping is None:
        return None
    here, there = mapping.hp_fragment_address, mapping.lp_fragment_address
    return Fragment(masters[mapping.param_group_index], here.start, there.start, here.numel)


def _of_zero_3(parameter: Any, optimizer: Any) -> Fragment:
    group, at, size = optimizer.grad_position[optimizer.get_param_id(parameter)]
    start = size * optimizer._get_param_partition_rank(parameter)
    count = max(0, min(size, parameter.ds_numel - start))  # the last rank's part is padded
    return Fragment(optimizer.fp32_partitioned_groups_flat[group], at, start, count)


def _of_flat_groups(parameters: Mapping[str, Any], optimizer: Any) -> dict[str, Fragment | None]:
    names = {id(parameter): name for name, parameter in parameters.items()}
    found: dict[str, Fragment | None] = {}
    for group, master in zip(optimizer.fp16_groups, optimizer.fp32_groups_flat, strict=True):
        at = 0
        for parameter in group:
            found[names[id(parameter)]] = Fragment(master, at, 0, parameter.numel())
            at += parameter.numel()
    return found
