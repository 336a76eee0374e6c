"""Gradients of a step, kept by us: one flat fp32 vector a rank.

With several ranks each parameter's gradient is reduced over the ranks right after its microbatch and every rank keeps
its own part, so full-size gradients are transient and memory stays 1/world. Layout of rank r: for every parameter in
name order, elements r*ceil(n/world) to (r+1)*ceil(n/world) of the flattened gradient, padded with zeros.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
import torch.distributed as dist
from torch import Tensor


class Accumulator:
    """The sum of the counted microbatches' gradients, as this rank's partition.

    Args:
        shapes: full shape of every parameter, in the order of the flat vector.
        world: ranks of the participant.
        rank: which of them this is.
        device: where the vector lives.
    """

    def __init__(self, shapes: Mapping[str, torch.Size], world: int, rank: int, device: str) -> None:
        self._shapes, self._world, self._rank = dict(shapes), world, rank
        self._parts = {name: -(-shape.numel() // world) for name, shape in self._shapes.items()}
        self.flat = torch.zeros(sum(self._parts.values()), dtype=torch.float32, device=device)

    def add(self, gradients: list[Tensor]) -> None:
        """Add one microbatch's gradients, in the order of the parameters; on all ranks together."""
        offset = 0
        for (name, part), gradient in zip(self._parts.items(), gradients, strict=True):
            target = self.flat[offset : offset + part]
            flat = gradient.reshape(-1).float()
            if self._world > 1:
                flat = torch.nn.functional.pad(flat, (0, part * self._world - self._shapes[name].numel()))
                dist.all_reduce(flat)
                flat = flat[self._rank * part : (self._rank + 1) * part]
            target += flat
            offset += part

    def spread(self, average: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Yield each parameter's full average from this rank's partition, one at a time; on all ranks together."""
        offset = 0
        for name, part in self._parts.items():
            mine = average[offset : offset + part]
            offset += part
            if self._world > 1:
                pieces = [torch.empty_like(mine) for _ in range(self._world)]
                dist.all_gather(pieces, mine.contiguous())
                mine = torch.cat(pieces)[: self._shapes[name].numel()]
            yield name, mine.view(self._shapes[name])

    def clear(self) -> None:
        """Begin a new step."""
        self.flat.zero_()
