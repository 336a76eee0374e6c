"""One local rank reads a state, all get it: nobody reads the same bytes twice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch
import torch.distributed as dist
from torch import Tensor

from sharding.named import Box, StateSlice


def from_first_rank(
    inventory: Sequence[StateSlice], tensors: Iterable[tuple[Box, Tensor]] | None, device: str
) -> Iterator[tuple[StateSlice, Tensor]]:
    """Yield the inventory's tensors on every rank; only rank 0 has them. On all ranks together.

    Args:
        inventory: the same on all ranks.
        tensors: on rank 0 the inventory's boxes in its order, with values; None elsewhere.
        device: that the process group's backend can send from.

    Raises:
        ValueError: on rank 0 the boxes are others than the inventory's; on the others rank 0 has failed.
        Exception: on rank 0 whatever `tensors` raises.
    """
    source = iter(tensors) if tensors is not None else None
    for expected in inventory:
        good = torch.ones(1, dtype=torch.int32, device=device)
        values = torch.empty(expected.sizes, dtype=getattr(torch, expected.dtype), device=device)
        failure: Exception | None = None
        if source is not None:
            try:
                values.copy_(_next(source, expected))
            except Exception as error:  # the other ranks must be told, or they would wait
                failure = error
                good.zero_()
        dist.broadcast(good, 0)
        if failure is not None:
            raise failure
        if not good.item():
            raise ValueError("the local rank that reads the state could not: its own message says why.")
        dist.broadcast(values, 0)
        yield expected, values


def _next(source: Iterator[tuple[Box, Tensor]], expected: StateSlice) -> Tensor:
    box, values = next(source, (None, None))
    if box is None or values is None:
        raise ValueError(f"the state ends before {expected.name!r}.")
    if (box.name, tuple(box.offsets)) != (expected.name, expected.offsets) or tuple(values.shape) != expected.sizes:
        raise ValueError(f"the state has {box.name!r} of {tuple(values.shape)} where {expected.name!r} was expected.")
    return values
