"""The network between transports in memory: who reaches whom, and when what is sent arrives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from actors.transport.memory import MemoryTransport


class Weather(Protocol):
    """How messages travel between transports in memory, and how soon a lost link is noticed. All times in seconds."""

    def link_arrivals(self, sender: str, receiver: str) -> tuple[float, ...]:
        """Delays after which a message over a link arrives: none where it is lost, two where it arrives twice."""

    def gossip_arrivals(self, sender: str, receiver: str) -> tuple[float, ...]:
        """The same for a message of the gossip mesh."""

    def cut(self, one: str, other: str) -> bool:
        """Whether the two peers cannot reach each other now, though both processes exist."""

    def notice_s(self, observer: str, peer: str, *, up: bool, vanished: bool) -> float:
        """How long after a change the observer notices it.

        Args:
            observer: the peer that notices.
            peer: the other end of the link.
            up: whether the link can form now, or is lost.
            vanished: whether the other process is gone, so that its machine breaks the connection at once.
        """

    def refuses(self, peer: str) -> bool:
        """Whether the machine of a process that is gone answers that the port is closed, instead of being silent."""


class Calm:
    """Implements `Weather`: everything arrives in the next turn of the loop, and every loss is noticed then."""

    def link_arrivals(self, sender: str, receiver: str) -> tuple[float, ...]:
        """At once."""
        return (0.0,)

    def gossip_arrivals(self, sender: str, receiver: str) -> tuple[float, ...]:
        """At once."""
        return (0.0,)

    def cut(self, one: str, other: str) -> bool:
        """Never."""
        return False

    def notice_s(self, observer: str, peer: str, *, up: bool, vanished: bool) -> float:
        """At once."""
        return 0.0

    def refuses(self, peer: str) -> bool:
        """Always."""
        return True


class MemoryHub:
    """Connects the memory transports of one process, also those of different event loops.

    Args:
        weather: how messages travel.
    """

    def __init__(self, weather: Weather | None = None) -> None:
        self.weather: Weather = weather if weather is not None else Calm()
        self._transports: dict[str, MemoryTransport] = {}
        self._places: dict[str, str] = {}
        """Address -> peer id; an address stays with its peer."""
        self._cut: set[str] = set()

    def join(self, transport: MemoryTransport) -> str:
        """A transport begins to listen; returns its address, the same after every restart of its peer."""
        self._transports[transport.peer_id] = transport
        known = next((place for place, peer in self._places.items() if peer == transport.peer_id), "")
        address = known or f"memory:{len(self._places) + 1}"
        self._places[address] = transport.peer_id
        self.changed()
        return address

    def leave(self, transport: MemoryTransport) -> None:
        """A transport closed, or its process is gone."""
        if self._transports.get(transport.peer_id) is transport:
            del self._transports[transport.peer_id]
            self.changed()

    def cut(self, peer_id: str) -> None:
        """The peer reaches no other peer any more, nor is it reached; all are told."""
        self._cut.add(peer_id)
        self.changed()

    def heal(self, peer_id: str) -> None:
        """Undo a cut."""
        self._cut.discard(peer_id)
        self.changed()

    def changed(self) -> None:
        """Let every transport look again at whom it reaches."""
        for transport in list(self._transports.values()):
            transport.look()

    def at(self, address: str) -> str:
        """The peer id of an address; empty for one at which no peer ever listened."""
        return self._places.get(address, "")

    def process(self, peer_id: str) -> MemoryTransport | None:
        """The transport of a peer's living process."""
        return self._transports.get(peer_id)

    def open_way(self, one: str, other: str) -> MemoryTransport | None:
        """The other transport, when both processes are there and `one` is not cut off from sending to it."""
        a, b = self._transports.get(one), self._transports.get(other)
        if a is None or b is None or {one, other} & self._cut or a.sends_nothing_to(other) or b.hears_nothing_of(one):
            return None
        return b

    def reach(self, one: str, other: str) -> MemoryTransport | None:
        """The other transport, when a link between the two can stand: both list each other as members."""
        a, b = self.open_way(other, one), self.open_way(one, other)
        if a is None or b is None or not (a.knows(other) and b.knows(one)) or self.weather.cut(one, other):
            return None
        return b
