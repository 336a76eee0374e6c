"""The network between nodes: delay, jitter, loss, duplicates, reordering, bandwidth, cuts in one or both directions."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass

_LATE_S = 0.3
"""A reordered message is up to so much later than it would have been."""


@dataclass(frozen=True)
class Quality:
    """How messages travel."""

    delay_s: float = 0.02
    jitter_s: float = 0.01
    loss: float = 0.0
    """Share of the messages that vanish."""
    duplicate: float = 0.0
    """Share that arrive twice."""
    reorder: float = 0.0
    """Share that are overtaken by later ones."""
    up_bytes_per_s: float = 0.0
    """Uplink of every node; 0 for unlimited."""


@dataclass(frozen=True)
class Cut:
    """Nothing passes from `one` to `other`, nor back where it is symmetric."""

    one: frozenset[str]
    other: frozenset[str]
    both: bool

    def blocks(self, sender: str, receiver: str) -> bool:
        """Whether a message is lost in it."""
        forward = sender in self.one and receiver in self.other
        return forward or (self.both and sender in self.other and receiver in self.one)


class Network:
    """Says when a message arrives, and how often.

    Args:
        rng: the world's randomness.
        quality: of all links, unless a pair has its own.
    """

    def __init__(self, rng: random.Random, quality: Quality) -> None:
        self.quality = quality
        self._rng = rng
        self._pairs: dict[tuple[str, str], Quality] = {}
        self._cuts: dict[int, Cut] = {}
        self._numbers = 0
        self._free_at: dict[str, float] = {}
        self._ordered: dict[tuple[str, str], float] = {}

    def set_pair(self, sender: str, receiver: str, quality: Quality) -> None:
        """Links from one node to another are different."""
        self._pairs[sender, receiver] = quality

    def cut(self, one: Iterable[str], other: Iterable[str], *, both: bool = True) -> int:
        """Begin a cut; returns its number."""
        self._numbers += 1
        self._cuts[self._numbers] = Cut(frozenset(one), frozenset(other), both)
        return self._numbers

    def heal(self, number: int) -> None:
        """End a cut."""
        self._cuts.pop(number, None)

    def heal_all(self) -> None:
        """End all cuts."""
        self._cuts.clear()

    def blocked(self, sender: str, receiver: str) -> bool:
        """Whether nothing passes from one to the other now."""
        return bool(self._cuts) and any(cut.blocks(sender, receiver) for cut in self._cuts.values())

    def arrivals(self, now: float, sender: str, receiver: str, nbytes: int = 0) -> tuple[float, ...]:
        """When a datagram sent now arrives: once, not at all, or twice."""
        if self._cuts and self.blocked(sender, receiver):
            return ()
        quality = self._pairs.get((sender, receiver), self.quality) if self._pairs else self.quality
        rng = self._rng.random
        at = now + quality.delay_s + quality.jitter_s * rng()
        if quality.up_bytes_per_s and nbytes:
            at += self._queue(now, sender, nbytes / quality.up_bytes_per_s)
        if quality.loss and rng() < quality.loss:
            return ()
        if quality.reorder and rng() < quality.reorder:
            at += _LATE_S * rng()
        if quality.duplicate and rng() < quality.duplicate:
            return at, at + _LATE_S * rng()
        return (at,)

    def ordered_arrival(self, now: float, sender: str, receiver: str, nbytes: int = 0) -> float | None:
        """When a message over a reliable, ordered link arrives; loss is a repetition later. None while it is cut."""
        if self.blocked(sender, receiver):
            return None
        quality = self._pairs.get((sender, receiver), self.quality)
        at = now + quality.delay_s + quality.jitter_s * self._rng.random()
        if quality.up_bytes_per_s and nbytes:
            at += self._queue(now, sender, nbytes / quality.up_bytes_per_s)
        while quality.loss and self._rng.random() < quality.loss:
            at += 2 * quality.delay_s + 0.2
        at = max(at, self._ordered.get((sender, receiver), 0.0))
        self._ordered[sender, receiver] = at
        return at

    def _queue(self, now: float, sender: str, seconds: float) -> float:
        """Seconds until the sender's uplink has taken a message that needs it for `seconds`."""
        free = max(now, self._free_at.get(sender, 0.0)) + seconds
        self._free_at[sender] = free
        return free - now
