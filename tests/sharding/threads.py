"""Ranks as threads of this process, with collectives among them in place of torch.distributed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

Answer = TypeVar("Answer")
LONGEST_S = 60.0
"""A rank that waits longer for the others has found a fault; the test then fails, and does not hang."""


class ThreadRanks:
    """Has the collectives that `sharding` uses. All ranks make the same calls, as with torch.distributed."""

    def __init__(self, world: int) -> None:
        self.world = world
        self._local, self._barrier = threading.local(), threading.Barrier(world)
        self._given: list[Any] = [None] * world
        self.broadcasts = 0
        """Made by all ranks together."""

    def run(self, work: Callable[[int], Answer]) -> list[Answer | Exception]:
        """Run `work(rank)` on every rank; return what each gave or raised."""
        found: list[Any] = [None] * self.world

        def rank(number: int) -> None:
            self._local.rank = number
            try:
                found[number] = work(number)
            except Exception as error:
                found[number] = error
                if isinstance(error, threading.BrokenBarrierError):
                    return
            finally:
                if isinstance(found[number], AssertionError):
                    self._barrier.abort()

        threads = [threading.Thread(target=rank, args=(number,)) for number in range(self.world)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LONGEST_S)
        return found

    def all(self, work: Callable[[int], Answer]) -> list[Answer]:
        """Like `run`, where no rank may fail."""
        found: list[Answer] = []
        for answer in self.run(work):
            if isinstance(answer, Exception):
                raise answer
            found.append(answer)
        return found

    def _exchange(self, value: Any) -> list[Any]:
        """What all ranks have given, in their order."""
        self._given[self._local.rank] = value
        self._barrier.wait(LONGEST_S)
        given = list(self._given)
        self._barrier.wait(LONGEST_S)
        return given

    def all_reduce(self, tensor: Tensor) -> None:
        """Add, in the order of the ranks."""
        given = self._exchange(tensor.clone())
        total = given[0].clone()
        for other in given[1:]:
            total += other
        tensor.copy_(total)

    def all_gather(self, pieces: list[Tensor], tensor: Tensor) -> None:
        """Everyone's tensor, in the order of the ranks."""
        for piece, other in zip(pieces, self._exchange(tensor.clone()), strict=True):
            piece.copy_(other)

    def broadcast(self, tensor: Tensor, source: int) -> None:
        """The source's tensor."""
        tensor.copy_(self._exchange(tensor.clone())[source])
        if self._local.rank == source:
            self.broadcasts += 1


def floats(*values: float) -> Tensor:
    """Return an fp32 vector."""
    return torch.tensor(values, dtype=torch.float32)
