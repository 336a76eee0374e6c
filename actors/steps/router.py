"""Which replica of the next stage gets a microbatch.

As in SWARM (Ryabinin et al. 2023) work follows measured throughput: the replica that would finish first, judged by
what this participant has outstanding there and by the replica's measured tokens/s. Ties rotate with the index.
"""

from __future__ import annotations

from collections.abc import Sequence


class Router:
    """Outstanding work and measured speed of the peers."""

    def __init__(self) -> None:
        self._outstanding: dict[str, int] = {}
        self._speed: dict[str, float] = {}

    def learn(self, speeds: dict[str, float]) -> None:
        """Take the participants' measured tokens/s (identity -> tokens/s) from a commit record."""
        self._speed.update({peer: speed for peer, speed in speeds.items() if speed > 0})

    def speed(self, peer: str) -> float:
        """Return the measured tokens/s of a peer; the mean of the known ones where nothing was measured yet."""
        known = list(self._speed.values())
        return self._speed.get(peer) or (sum(known) / len(known) if known else 1.0)

    def choose(self, candidates: Sequence[str], index: int) -> str:
        """Pick a replica for microbatch `index` and note the work as outstanding there."""
        count = len(candidates)
        order = [candidates[(index + turn) % count] for turn in range(count)]
        chosen = min(order, key=lambda peer: (self._outstanding.get(peer, 0) + 1) / self.speed(peer))
        self._outstanding[chosen] = self._outstanding.get(chosen, 0) + 1
        return chosen

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
