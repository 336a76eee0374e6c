"""Who drives which microbatch of a slot. It stays the same from plan to plan: another origin has others count it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from actors.steps.router import Router, split_by_speed

Hands = dict[str, tuple[int, ...]]
"""Origin -> microbatches."""
MOST_DOUBLINGS = 5
"""Of the time that the leader gives a plan when nothing comes through."""


class Deal:
    """The leader's memory of whom it told what."""

    def __init__(self, router: Router) -> None:
        self._router = router
        self._drivers: dict[int, str] = {}
        """Training microbatch -> who was told last to drive it."""
        self._turns = 0
        self._stalls = 0
        """How often in a row nothing came through."""

    def stalled(self) -> None:
        """Nothing came through: whoever drives what is left may not reach somebody, so each hands on to the next."""
        self._turns += 1
        self._stalls += 1

    def moves(self) -> None:
        """Something came through."""
        self._stalls = 0

    @property
    def patience(self) -> float:
        """How many times as long a plan is given now.

        A new origin lets all hops begin anew. When plans change faster than a hop gives up a silent replica, no hop
        ever does.
        """
        return 2.0 ** min(self._stalls, MOST_DOUBLINGS)

    def give(
        self, train: Sequence[int], validate: Sequence[int], origins: Sequence[str], driving: Mapping[int, str]
    ) -> tuple[Hands, Hands]:
        """Deal what is missing among the origins; returns the hands for training and for validation.

        Args:
            train: training microbatches that are missing.
            validate: validation microbatches that are missing.
            origins: who can drive any; not empty.
            driving: who drives what, as origins say themselves.
        """
        kept = {index: peer for index, peer in {**driving, **self._drivers}.items() if peer in origins}
        turn, self._turns = self._turns % len(origins), 0
        if turn:
            kept = {index: origins[(origins.index(peer) + turn) % len(origins)] for index, peer in kept.items()}
        given = split_by_speed([index for index in train if index not in kept], origins, self._router)
        self._drivers = kept | {index: peer for peer, part in given.items() for index in part}
        hands = {peer: tuple(index for index in train if self._drivers[index] == peer) for peer in origins}
        turned = [*origins[turn:], *origins[:turn]]
        return {peer: part for peer, part in hands.items() if part}, split_by_speed(validate, turned, self._router)
