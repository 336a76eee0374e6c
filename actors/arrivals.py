"""What arrives from the transport at one participant, and where it goes: to the protocol, to its peers, to the mesh."""

from __future__ import annotations

from collections.abc import Callable

from actors.admission import Admission
from actors.gossip_arrivals import GossipArrivals
from actors.mesh import Mesh
from actors.peers import Peers
from actors.steps import events
from actors.transport.base import Array, TensorSpec


class Arrivals:
    """Implements `TransportEvents`, and has in `gossip` what implements `GossipEvents`.

    A transport listens before the participant has its mesh. Until `connect` there are no members, and what is heard of
    links has no effect.

    Args:
        admission: which tensors are expected.
        stamp: returns the protocol's stamp of the step under way, 0 before the run began.
        tell: takes events for the protocol.
        note: takes (kind, detail) for a person.
    """

    def __init__(
        self,
        admission: Admission,
        stamp: Callable[[], int],
        tell: Callable[[events.Event], None],
        note: Callable[[str, str], None],
    ) -> None:
        self._admission, self._stamp, self._tell, self._note = admission, stamp, tell, note
        self.gossip = GossipArrivals()
        self._peers: Peers | None = None

    def connect(self, mesh: Mesh, peers: Peers) -> None:
        """Pass on what arrives from now on."""
        self._peers = peers
        self.gossip.connect(mesh, peers.nobody_listens)

    def on_message(self, peer_id: str, message: object, tensors: tuple[Array, ...]) -> None:
        """A message of a member."""
        self._tell(events.Received(peer_id, message, tensors))

    def on_peer_up(self, peer_id: str) -> None:
        """The link to a member stands."""
        if self._peers is not None:
            self._peers.up(peer_id)

    def on_peer_down(self, peer_id: str, reason: str) -> None:
        """The link to a member is lost."""
        if self._peers is not None:
            self._peers.down(peer_id, reason)

    def admit(self, peer_id: str, message: object, specs: tuple[TensorSpec, ...]) -> str | None:
        """Why these tensors are not expected, or None."""
        return self._admission.check(peer_id, message, specs, self._stamp())

    def on_refused(self, reason: str, detail: str) -> None:
        """Something was refused and changed nothing."""
        self._note("refused", f"{reason}: {detail}")
