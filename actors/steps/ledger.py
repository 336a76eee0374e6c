"""Who has counted what in a step: the leader's book. Pure bookkeeping; the members' reports are the truth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from actors.steps.messages import Route


class Ledger:
    """What every participant has counted.

    Args:
        stages: number of stages.
        stage_of: peer id -> stage, None for strangers.
    """

    def __init__(self, stages: int, stage_of: Callable[[str], int | None]) -> None:
        self._stages, self._stage_of = stages, stage_of
        self.among: frozenset[str] = frozenset()
        """Who works: what others have counted is of no use."""
        self.counted: dict[str, dict[int, float]] = {}
        """Peer -> microbatch -> loss."""
        self.touched: set[int] = set()
        """Microbatches that anybody has ever counted in this step: when one is missing, it was lost."""

    def report(self, peer: str, counted: Mapping[int, float]) -> None:
        """A participant says all that it has counted."""
        self.counted[peer] = dict(counted)
        self.touched.update(counted)

    def through(self, index: int, loss: float, route: Iterable[str]) -> None:
        """An origin says that a microbatch went through these."""
        self.touched.add(index)
        for peer in route:
            self.counted.setdefault(peer, {}).setdefault(index, loss)

    def forget(self, peer: str) -> None:
        """What it counted is lost."""
        self.counted.pop(peer, None)

    def holders(self, index: int) -> Route:
        """Who has counted a microbatch, one a stage; empty where nobody has."""
        found = [""] * self._stages
        for peer, indices in sorted(self._relevant()):
            stage = self._stage_of(peer)
            if index in indices and stage is not None and not found[stage]:
                found[stage] = peer
        return tuple(found)

    def missing(self, indices: Iterable[int]) -> list[int]:
        """Microbatches that some stage has not counted."""
        have: list[set[int]] = [set() for _ in range(self._stages)]
        for peer, counted in self._relevant():
            stage = self._stage_of(peer)
            if stage is not None:
                have[stage] |= set(counted)
        return [index for index in indices if not all(index in stage for stage in have)]

    def to_reset(self) -> set[str]:
        """Participants that must forget what they counted, so that nothing is counted twice; those with least."""
        chosen: set[str] = set()
        for stage in range(self._stages):
            peers = [peer for peer, _ in self._relevant() if self._stage_of(peer) == stage]
            taken: Counter[int] = Counter()
            for peer in sorted(peers, key=lambda peer: (-len(self.counted[peer]), peer)):
                if any(index in taken for index in self.counted[peer]):
                    chosen.add(peer)
                else:
                    taken.update(self.counted[peer].keys())
        return chosen

    def _relevant(self) -> list[tuple[str, dict[int, float]]]:
        return [(peer, counted) for peer, counted in self.counted.items() if peer in self.among]

    def loss(self, index: int) -> float:
        """Loss of a microbatch that was counted."""
        return next(counted[index] for _, counted in sorted(self._relevant()) if index in counted)
