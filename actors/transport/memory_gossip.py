"""Gossip links in memory: best effort, as the real ones; a process that is gone breaks all of its own."""

from __future__ import annotations

import asyncio

from actors.transport.gossip import GossipEvents
from actors.transport.memory_hub import MemoryHub

DIAL_S = 2.0
"""A dial to a machine that does not answer ends after this."""
_PREFIX = "tcp:"


class MemoryGossip:
    """Implements `GossipLinks` for one transport in memory.

    Args:
        peer_id: of the owner.
        hub: the network.
        events: told of what arrives.
        loop: the event loop of the owner's process.
    """

    def __init__(self, peer_id: str, hub: MemoryHub, events: GossipEvents, loop: asyncio.AbstractEventLoop) -> None:
        self._peer_id, self._hub, self._events, self._loop = peer_id, hub, events, loop
        self._linked: set[str] = set()
        """Peers with a connection to this process."""

    def send(self, peer_id: str, addresses: tuple[str, ...], data: bytes) -> None:
        """To a peer, wherever it listens; the address is only told when no connection forms."""
        self._carry(peer_id, peer_id, addresses[0] if addresses else "", data)

    def contact(self, address: str, data: bytes) -> None:
        """To the peer that listens there."""
        self._carry("", self._hub.at(address.removeprefix(_PREFIX)), address, data)

    def _carry(self, known_as: str, peer_id: str, address: str, data: bytes) -> None:
        weather, other = self._hub.weather, self._hub.process(peer_id)
        if other is None:
            self._unreachable(known_as, peer_id, address)
        elif peer_id != self._peer_id and self._hub.open_way(self._peer_id, peer_id) is not None:
            for delay in weather.gossip_arrivals(self._peer_id, peer_id):
                other.loop.call_later(delay, other.take_gossip, self._peer_id, bytes(data))

    def _unreachable(self, known_as: str, peer_id: str, address: str) -> None:
        refused = not peer_id or self._hub.weather.refuses(peer_id)
        arrivals = self._hub.weather.gossip_arrivals(self._peer_id, peer_id) if peer_id else (0.0,)
        if refused and not arrivals:
            return  # neither the dial nor the refusal passes a cut
        after = 2 * arrivals[0] if refused else DIAL_S
        self._loop.call_later(after, self._events.on_gossip_unreachable, known_as, address, refused)

    def take(self, peer_id: str, data: bytes) -> None:
        """A message arrived; the connection that it came over stands from now on."""
        other = self._hub.process(peer_id)
        if other is not None:
            self._linked.add(peer_id)
            other.linked(self._peer_id)
        self._events.on_gossip(peer_id, data)

    def add(self, peer_id: str) -> None:
        """A connection stands."""
        self._linked.add(peer_id)

    def broken_for_all(self) -> None:
        """This process is gone: all that had a connection to it notice, unless a cut is between."""
        for peer_id in sorted(self._linked):
            other = self._hub.open_way(self._peer_id, peer_id)
            arrivals = self._hub.weather.gossip_arrivals(self._peer_id, peer_id)
            if other is not None and arrivals:
                other.loop.call_later(arrivals[0], other.gossip_broken, self._peer_id)
        self._linked.clear()

    def broken(self, peer_id: str) -> None:
        """The connection to a peer ended, not on purpose."""
        if peer_id in self._linked:
            self._linked.discard(peer_id)
            self._events.on_gossip_broken(peer_id)
