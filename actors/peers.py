"""The other participants, as one of them works with them: links to everybody in the mesh's view who takes part.

The mesh says who is there, the transport whose link stands; the protocol hears from here whom it can work with.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Protocol

from actors.mesh import GossipLinks, Mesh
from actors.outgoing import Outgoing
from actors.records import Traffic
from actors.steps import events
from actors.steps.jobs import Payload
from actors.transport.base import Array, Peer, Transport

log = logging.getLogger("tessera.peers")


class MeshTransport(Transport, Protocol):
    """A transport that carries gossip, too."""

    @property
    def gossip(self) -> GossipLinks:
        """Links of the mesh."""

    def nobody_listens(self, peer_id: str, address: str) -> None:
        """Gossip was refused at the peer's address: what is broken there is lost at once."""

    def block(self, peers: set[str], *, incoming: bool = True) -> None:
        """Fault injection: nothing passes to (and from) these peers any more; an empty set heals."""


class Peers:
    """Keeps the links as the mesh's view is, from `begin` to `leave`. Everything runs in one event loop.

    Args:
        mesh: who is there.
        transport: the links.
        resolve: looks up the tensors that a payload stands for.
        spawn: runs a task until the participant closes.
        tell: takes events for the protocol.
    """

    def __init__(
        self,
        mesh: Mesh,
        transport: MeshTransport,
        resolve: Callable[[Payload], tuple[Array, ...]],
        spawn: Callable[[Any], None],
        tell: Callable[[events.Event], None],
    ) -> None:
        self._mesh, self._transport, self._tell = mesh, transport, tell
        self._outgoing = Outgoing(transport, resolve, spawn, self._not_sent)
        self._members: dict[str, Peer] = {}
        """To whom there should be links."""
        self._up: set[str] = set()
        """Whose link stands."""
        self._began = self._left = False
        self._reported = Traffic()

    def begin(self) -> None:
        """The run begins here: make links, and tell the protocol of them from now on."""
        self._began = True
        self._refresh()

    def leave(self) -> None:
        """The run goes on without us: end all links for good."""
        self._left = True
        self._transport.set_members({})

    @property
    def alone(self) -> bool:
        """Whether no participant that serves a stage of the run can be reached."""
        return all(self.stage_of(peer) is None for peer in self._up)

    def stage_of(self, peer_id: str) -> int | None:
        """The stage that a peer serves; None for one without, or somebody unknown."""
        record = self._mesh.core.records.get(peer_id)
        return record.stage if record is not None and record.stage >= 0 else None

    # What the mesh says

    def view_changed(self, peer_id: str) -> None:
        """The mesh believes something new about a participant."""
        if not self._began:
            return
        self._refresh()
        gone = self._mesh.core.gone.get(peer_id)
        if gone is not None:
            accusation = gone.accusation
            evidence = "" if accusation is None else accusation.evidence.name.lower()
            why = f"the mesh holds it dead ({evidence})" if evidence else "it left the mesh"
            self._outgoing.drop(peer_id)
            self._tell(events.PeerLost(peer_id, why, gone=True, polite=not evidence))
        elif peer_id in self._up:
            self._tell(events.PeerUp(peer_id))

    def _refresh(self) -> None:
        """Links to everybody in the view who serves a stage, or waits to be given one."""
        if self._left:
            return
        members = {m.peer_id: Peer(m.peer_id, m.name, m.address) for m in self._mesh.view.members if m.takes_part}
        before, self._members = self._members, members
        self._transport.set_members(members)
        for peer_id in [peer for peer in self._up if members.get(peer) != before.get(peer)]:
            self.down(peer_id, "it is at another address now" if peer_id in members else "it is gone")

    # What the transport says

    def up(self, peer_id: str) -> None:
        """The link to a member stands."""
        self._up.add(peer_id)
        if peer_id not in self._mesh.core.gone:
            self._tell(events.PeerUp(peer_id))

    def down(self, peer_id: str, reason: str) -> None:
        """The link to a member is lost."""
        self._up.discard(peer_id)
        self._outgoing.drop(peer_id)
        self._mesh.hint(peer_id, f"its link is lost: {reason}")
        self._tell(events.PeerLost(peer_id, reason))

    def nobody_listens(self, peer_id: str, address: str) -> None:
        """Gossip was refused at a peer's address (host:port): a link that is broken there is lost at once."""
        self._transport.nobody_listens(peer_id, address)

    # What goes out

    def send(self, to: str, message: object, payload: Payload) -> None:
        """Send when its turn comes; nothing to whose link does not stand."""
        if to in self._up:
            self._outgoing.put(to, message, payload)

    def _not_sent(self, peer: str, reason: str) -> None:
        """A link did not take a message; links tell by themselves when they are lost."""
        log.debug("%s: %s", peer[:8], reason)

    def traffic(self) -> Traffic:
        """Bytes that were sent since this was last asked."""
        sent, before = self._transport.sent, self._reported
        boundary = {number: total for number, total in sent.boundary.items() if number >= 0}
        tokens = sum(total for number, total in sent.boundary.items() if number < 0)
        self._reported = Traffic(boundary, sent.averaging, sent.control + tokens)
        return Traffic(
            {number: total - before.boundary.get(number, 0) for number, total in boundary.items()},
            sent.averaging - before.averaging,
            sent.control + tokens - before.control,
        )

    def cut_off(self, kept: set[str] | None, *, both: bool) -> None:
        """Fault injection: nothing passes to participants of other names than these, with `both` nor from them.

        None ends it for all, also for those that came meanwhile.
        """
        known = self._mesh.core.records
        others = {peer for peer, record in known.items() if kept is not None and record.name not in kept}
        self._transport.block(others, incoming=both)
