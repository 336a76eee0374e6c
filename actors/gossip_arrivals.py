"""What gossip links tell, on its way to a mesh that is made after them."""

from __future__ import annotations

from collections.abc import Callable

from actors.mesh import Mesh


class GossipArrivals:
    """Implements `GossipEvents`.

    A transport listens before its owner has its mesh. What is heard until `connect` has no effect; whoever spoke speaks
    again.
    """

    def __init__(self) -> None:
        self._mesh: Mesh | None = None
        self._nobody_listens: Callable[[str, str], None] | None = None

    def connect(self, mesh: Mesh, nobody_listens: Callable[[str, str], None] | None = None) -> None:
        """Pass on what arrives from now on.

        Args:
            mesh: takes it.
            nobody_listens: called with (peer, host:port) when a peer's address refuses connections.
        """
        self._mesh, self._nobody_listens = mesh, nobody_listens

    def on_gossip(self, peer_id: str, data: bytes) -> None:
        """A message of a member's core."""
        if self._mesh is not None:
            self._mesh.on_gossip(peer_id, data)

    def on_gossip_broken(self, peer_id: str) -> None:
        """A gossip link ended, not on purpose."""
        if self._mesh is not None:
            self._mesh.on_gossip_broken(peer_id)

    def on_gossip_unreachable(self, peer_id: str, address: str, refused: bool) -> None:
        """A gossip link did not form."""
        if self._nobody_listens is not None and refused and peer_id:
            self._nobody_listens(peer_id, address.removeprefix("tcp:"))
        if self._mesh is not None:
            self._mesh.on_gossip_unreachable(peer_id, address, refused)
