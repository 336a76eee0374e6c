"""A participant on Ray: a detached actor around a `Node`. Does not import torch."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray

if TYPE_CHECKING:
    from actors.node import Node
    from actors.records import MeshStatus
    from actors.spec import ParticipantSpec

LEASE_S = 15.0
"""The driver asks every second; when it has not asked for this long it is lost, and the run ends."""
LINGER_S = 12.0
"""After the end the actor stays this long for whoever wants to know how it ended."""


@ray.remote(num_cpus=0, max_restarts=0, max_concurrency=64)
class MeshActor:
    """Identity, links, routing and step driving of one participant."""

    def __init__(self, spec: ParticipantSpec) -> None:
        self._spec = spec
        self._node: Node | None = None
        self._identity: Any = None
        self._address = ""
        self._asked_at = time.monotonic()
        self._scratch = tempfile.mkdtemp(prefix="tessera-")
        self._ending = False

    async def open(self) -> tuple[str, bytes, bool]:
        """Load or make the identity; return (peer id, public key, whether it has a certificate)."""
        from actors.transport.identity import Identity

        self._identity = Identity.load_or_create(Path(self._spec.folder or self._scratch))
        self._asked_at = time.monotonic()
        return self._identity.peer_id, self._identity.public_key, self._identity.has_certificate

    async def listen(self, cert_pem: bytes, ca_pem: bytes) -> str:
        """Take the certificate (empty: keep the one in the folder) and listen; return host:port."""
        from actors.node import Node
        from actors.protocol import build_registry
        from actors.transport.profile import PROFILES
        from actors.transport.shaping import Shape
        from actors.transport.tcp import TcpTransport

        spec, emulate = self._spec, self._spec.emulate
        if cert_pem:
            self._identity.install(cert_pem, ca_pem)
        shape = Shape(emulate.up_mbps, emulate.down_mbps, emulate.delay_ms, emulate.jitter_ms, seed=spec.train.seed)
        shaped = any((shape.up_mbps, shape.down_mbps, shape.delay_ms, shape.jitter_ms))
        profile = PROFILES[spec.profile]
        self._node = Node(
            spec,
            lambda node: TcpTransport(
                self._identity, spec.run_id, build_registry(), node, profile, shape if shaped else None, gossip=node
            ),
        )
        host = ray.util.get_node_ip_address() if spec.host == "auto" else spec.host
        self._address = await self._node.transport.listen(host, spec.port)
        return self._address

    async def start(self, first: list[str]) -> None:
        """Find the mesh through the first addresses, and begin; the shards are built in the background."""
        from actors.shards import RayShardGroup
        from actors.transport.credentials import RunCrypto

        assert self._node is not None
        node = self._node
        shards = RayShardGroup(self._spec, os.path.join(self._scratch, "rendezvous"), node.fail)
        crypto = RunCrypto(self._identity, self._spec.run_id)
        await node.start(self._address, crypto, tuple(first), shards)
        self._watchdog = asyncio.get_running_loop().create_task(self._watch())

    async def poll(self, commits: int, event: int) -> dict[str, Any]:
        """The driver's question, which also says that it lives: what is new since (`commits`, `event`)."""
        self._asked_at = time.monotonic()
        node = self._node
        assert node is not None
        return {
            "phase": node.phase(),
            "failure": node.failure,
            "records": node.records[commits:] if commits >= 0 else [],
            "events": [(number, item) for number, item in node.events if number > event],
        }

    async def status(self) -> MeshStatus:
        """What `orchestrator status` prints."""
        assert self._node is not None
        return self._node.status()

    async def audit(self) -> dict[str, Any]:
        """What this process and its shards ever held, for tests."""
        assert self._node is not None
        shards = await self._node._shards._all("inventory")  # type: ignore[union-attr]
        return {"torch": "torch" in sys.modules, "pid": os.getpid(), "shards": shards}

    async def end(self) -> None:
        """Release everything; the caller kills the actor afterwards."""
        self._ending = True
        if self._node is not None:
            await self._node.close()

    async def _watch(self) -> None:
        node = self._node
        assert node is not None
        while not self._ending:
            await asyncio.sleep(0.5)
            now = time.monotonic()
            if node.ended_at is not None and now - node.ended_at > LINGER_S:
                break
            if now - self._asked_at > LEASE_S and node.ended_at is None:
                node.fail(f"lost the driver of {self._spec.name}: it has not asked for {LEASE_S:.0f} s")
        if not self._ending:
            await node.close()
            ray.kill(ray.get_runtime_context().current_actor, no_restart=True)
