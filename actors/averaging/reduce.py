"""All-reduce between the replicas of a stage: reduce-scatter, then all-gather, in chunks.

The flat gradient is cut into chunks; chunk k belongs to replica k mod R. Every replica sends its values of a chunk to
the owner, the owner adds them in the order of identities (so that all replicas get the same bits) and sends the sum to
the others. Each replica sends and receives 2 (R-1)/R times the vector (Patarasuk & Yuan 2009 show that no all-reduce
moves less); chunks overlap both halves on the link.

Gradients come weighted by their share of the step's tokens, so the sum over replicas is the average of the step.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from actors.steps.messages import Phase

Float32 = npt.NDArray[np.float32]

CHUNK = 1 << 18
"""Elements of a chunk: 1 MiB of float32. Larger chunks overlap less, smaller ones cost more headers."""


@dataclass(frozen=True)
class SliceOut:
    """A chunk to send."""

    to: str
    phase: Phase
    chunk: int
    values: Float32


def chunk_size(length: int, replicas: int) -> int:
    """Return the elements of one chunk, so that every replica owns some of a short vector too."""
    return max(1, min(CHUNK, math.ceil(length / max(1, replicas))))


def chunk_length(length: int, replicas: int, chunk: int) -> int | None:
    """Return the elements of chunk number `chunk`, None when there is no such chunk."""
    size = chunk_size(length, replicas)
    start = chunk * size
    return min(size, length - start) if 0 <= start < length else None


class AllReduce:
    """One round at one replica, as a state machine: values in, slices out.

    Args:
        group: identities of the stage's replicas, in the order that all of them use.
        me: own identity, one of `group`.
        values: own flat gradient, shape [N]; read only.
    """

    def __init__(self, group: Sequence[str], me: str, values: Float32) -> None:
        self._group = tuple(group)
        self._me = me
        self._values = values
        self._size = chunk_size(len(values), len(self._group))
        self._chunks = math.ceil(len(values) / self._size)
        self.average: Float32 = np.empty_like(values)
        """The result; complete when `complete` is true."""
        self._parts: dict[int, dict[str, Float32]] = {}
        self._digests: dict[int, bytes] = {}
        self._squares: dict[int, float] = {}

    def start(self) -> list[SliceOut]:
        """Return what goes to the owners of the other chunks."""
        out: list[SliceOut] = []
        for chunk in range(self._chunks):
            owner = self._owner(chunk)
            if owner == self._me:
                out += self._add(chunk, self._me, self._values[self._span(chunk)])
            else:
                out.append(SliceOut(owner, Phase.SCATTER, chunk, self._values[self._span(chunk)]))
        return out

    def receive(self, sender: str, phase: Phase, chunk: int, values: Float32) -> list[SliceOut]:
        """Take a slice from another replica and return what follows from it. What does not fit changes nothing."""
        if sender not in self._group or not 0 <= chunk < self._chunks or chunk in self._digests:
            return []
        span = self._span(chunk)
        if values.shape != self._values[span].shape:
            return []
        if phase is Phase.SCATTER and self._owner(chunk) == self._me:
            return self._add(chunk, sender, values)
        if phase is Phase.GATHER and self._owner(chunk) == sender:
            self._finish(chunk, values)
        return []

    @property
    def complete(self) -> bool:
        """Whether every chunk of the average is here."""
        return len(self._digests) == self._chunks

    @property
    def digest(self) -> str:
        """Hash of the complete average (chunk by chunk)."""
        total = hashlib.blake2b(digest_size=16)
        for chunk in range(self._chunks):
            total.update(self._digests[chunk])
        return total.hexdigest()

    @property
    def sum_of_squares(self) -> float:
        """Of the complete average, in float64."""
        return math.fsum(self._squares[chunk] for chunk in range(self._chunks))

    def missing(self) -> list[str]:
        """Return the identities from which something is still awaited."""
        awaited: set[str] = set()
        for chunk in range(self._chunks):
            if chunk in self._digests:
                continue
            if self._owner(chunk) == self._me:
                awaited |= set(self._group) - set(self._parts.get(chunk, {}))
            else:
                awaited.add(self._owner(chunk))
        return sorted(awaited)

    def _owner(self, chunk: int) -> str:
        return self._group[chunk % len(self._group)]

    def _span(self, chunk: int) -> slice:
        return slice(chunk * self._size, (chunk + 1) * self._size)

    def _add(self, chunk: int, sender: str, values: Float32) -> list[SliceOut]:
        parts = self._parts.setdefault(chunk, {})
        parts.setdefault(sender, values)
        if len(parts) < len(self._group):
            return []
        total = parts[self._group[0]].copy()
        for peer in self._group[1:]:
            total += parts[peer]
        del self._parts[chunk]
        self._finish(chunk, total)
        result = self.average[self._span(chunk)]
        return [SliceOut(peer, Phase.GATHER, chunk, result) for peer in self._group if peer != self._me]

    def _finish(self, chunk: int, values: Float32) -> None:
        span = self._span(chunk)
        self.average[span] = values
        self._digests[chunk] = hashlib.blake2b(self.average[span].data, digest_size=16).digest()
        wide = self.average[span].astype(np.float64)
        self._squares[chunk] = float(np.dot(wide, wide))
