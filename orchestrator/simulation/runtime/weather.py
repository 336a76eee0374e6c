"""The links between simulated homes: what the world's network does, and how soon each side notices."""

from __future__ import annotations

import random
from collections.abc import Callable

from orchestrator.simulation.network import Network
from orchestrator.simulation.world import Condition

FORM_S, BREAK_S, SILENCE_S = (0.05, 0.5), (0.02, 0.3), (4.0, 8.0)
"""A link forms, a broken connection is noticed, and a silent one is given up after so long, at least and at most."""


class WorldWeather:
    """Implements `Weather`.

    Args:
        now: returns the world's time.
        network: carries messages.
        rng: of the world.
        condition: returns the condition of a peer's process.
    """

    def __init__(
        self, now: Callable[[], float], network: Network, rng: random.Random, condition: Callable[[str], Condition]
    ) -> None:
        self._now, self._network, self._rng, self._condition = now, network, rng, condition

    def link_arrivals(self, sender: str, receiver: str) -> tuple[float, ...]:
        """As over TCP: in order, and late instead of lost; what is sent into a cut is lost with its link."""
        at = self._network.ordered_arrival(self._now(), sender, receiver)
        return () if at is None else (at - self._now(),)

    def gossip_arrivals(self, sender: str, receiver: str) -> tuple[float, ...]:
        """As datagrams: lost, doubled and out of order, as the network is."""
        return tuple(at - self._now() for at in self._network.arrivals(self._now(), sender, receiver))

    def cut(self, one: str, other: str) -> bool:
        """A cut in either direction ends a link, and so does a process that stands still."""
        standing = Condition.PAUSED in (self._condition(one), self._condition(other))
        return standing or self._network.blocked(one, other) or self._network.blocked(other, one)

    def notice_s(self, observer: str, peer: str, *, up: bool, vanished: bool) -> float:
        """Soon where the connection breaks; after a silence where nothing is heard."""
        if up:
            return self._rng.uniform(*FORM_S)
        broken = vanished and self.refuses(peer) and not self._network.blocked(peer, observer)
        return self._rng.uniform(*(BREAK_S if broken else SILENCE_S))

    def refuses(self, peer: str) -> bool:
        """Unless the whole machine is gone."""
        return self._condition(peer) is not Condition.DARK
