"""The virtual clock: a heap of things that will happen, and one seeded source of randomness."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from typing import Any

_push = heapq.heappush


class Kernel:
    """Runs what was scheduled, in the order of time; at equal times in the order in which it was scheduled."""

    __slots__ = ("_count", "_heap", "events", "now", "rng")

    def __init__(self, seed: int) -> None:
        self.now = 0.0
        """Seconds since the beginning of the world."""
        self.rng = random.Random(seed)
        """The only source of randomness of the world itself; cores get their own, seeded from it."""
        self.events = 0
        """How many things have happened."""
        self._heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._count = 0

    def at(self, when: float, call: Callable[..., None], *args: Any) -> None:
        """Call this then; a time that has passed means as soon as possible."""
        self._count = count = self._count + 1
        _push(self._heap, (when if when > self.now else self.now, count, call, args))

    def after(self, seconds: float, call: Callable[..., None], *args: Any) -> None:
        """Call this so much later."""
        self.at(self.now + seconds, call, *args)

    def run(self, until: float) -> None:
        """Let time pass until then."""
        heap, pop = self._heap, heapq.heappop
        while heap and heap[0][0] <= until:
            self.now, _, call, args = pop(heap)
            self.events += 1
            call(*args)
        self.now = max(self.now, until)
