"""Which replica of the next stage gets a microbatch.

As in SWARM (Ryabinin et al. 2023) work follows measured throughput. All origins deal the step's microbatches out in
proportion to the same measured tokens/s, so that they do not all choose the same replica, each for itself; who is
behind with what this origin sent it is passed over.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

BEHIND = 2.5
"""A replica is passed over when its outstanding work takes so many times as long as that of the least loaded one."""


class Router:
    """Outstanding work and measured speed of the peers."""

    def __init__(self) -> None:
        self._outstanding: dict[str, int] = {}
        self._speed: dict[str, float] = {}
        self._deals: dict[tuple[tuple[str, ...], int], dict[int, str]] = {}

    def learn(self, speeds: dict[str, float]) -> None:
        """Take the participants' measured tokens/s (identity -> tokens/s) from a commit record."""
        self._speed.update({peer: speed for peer, speed in speeds.items() if speed > 0})
        self._deals.clear()

    def speed(self, peer: str) -> float:
        """Return the measured tokens/s of a peer; the mean of the known ones where nothing was measured yet."""
        known = list(self._speed.values())
        return self._speed.get(peer) or (sum(known) / len(known) if known else 1.0)

    def measured(self, peer: str) -> bool:
        """Whether a peer's tokens/s are known."""
        return peer in self._speed

    def choose(self, candidates: Sequence[str], index: int, microbatches: int) -> str:
        """Pick a replica for microbatch `index` of so many, and note the work as outstanding there."""
        chosen = self._dealt(tuple(candidates), microbatches)[index % microbatches]
        lightest = min(candidates, key=self._load)
        if self._load(chosen) > BEHIND * self._load(lightest):
            chosen = lightest
        self._outstanding[chosen] = self._outstanding.get(chosen, 0) + 1
        return chosen

    def _load(self, peer: str) -> float:
        return (self._outstanding.get(peer, 0) + 1) / self.speed(peer)

    def _dealt(self, candidates: tuple[str, ...], microbatches: int) -> dict[int, str]:
        deal = self._deals.get((candidates, microbatches))
        if deal is None:
            # In another order than origins are dealt theirs, or each origin would feed one replica only.
            order = sorted(range(microbatches), key=lambda index: zlib.crc32(str(index).encode()))
            parts = split_by_speed(order, candidates, self)
            deal = {index: peer for peer, part in parts.items() for index in part}
            self._deals[candidates, microbatches] = deal
        return deal

    def returned(self, peer: str) -> None:
        """Note that work came back from `peer`."""
        self._outstanding[peer] = max(0, self._outstanding.get(peer, 0) - 1)


def split_by_speed(indices: Sequence[int], origins: Sequence[str], router: Router) -> dict[str, tuple[int, ...]]:
    """Deal `indices` to the origins in proportion to their speed, the next one always to who would be done first."""
    given: dict[str, list[int]] = {origin: [] for origin in origins}
    for index in indices:
        chosen = min(origins, key=lambda origin: (len(given[origin]) + 1) / router.speed(origin))
        given[chosen].append(index)
    return {origin: tuple(part) for origin, part in given.items() if part}
