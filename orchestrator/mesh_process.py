"""A member of a mesh as a process of its own, without Ray and shards: what benchmarks and tests kill, freeze and cut.

    python -m orchestrator.mesh_process FOLDER RUN_ID PROFILE [STAGE]

FOLDER holds its identity and certificate. It speaks JSON lines: answers and events on standard output, orders on
standard input; when that ends, so does the process. Every line has `t`, seconds of the machine's monotonic clock.
"""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys
import time
from pathlib import Path
from typing import Any

from actors.gossip_arrivals import GossipArrivals
from actors.membership.profile import MEMBERSHIP_PROFILES
from actors.membership.statements import Card, Notary, State
from actors.membership.view import state_of
from actors.mesh import Mesh
from actors.protocol import build_registry
from actors.transport.base import Array, TensorSpec
from actors.transport.credentials import RunCrypto
from actors.transport.identity import Identity
from actors.transport.messages import SOFTWARE
from actors.transport.profile import PROFILES
from actors.transport.tcp import TcpTransport


class MeshProcess:
    """Transport, mesh, and a person's orders."""

    def __init__(self, folder: Path, run_id: str, profile: str, stage: int) -> None:
        self._identity = Identity.load_or_create(folder)
        self._folder, self._run_id, self._profile, self._stage = folder, run_id, profile, stage
        self._gossip, registry = GossipArrivals(), build_registry()
        self._transport = TcpTransport(self._identity, run_id, registry, self, PROFILES[profile], gossip=self._gossip)
        self._mesh: Mesh | None = None

    async def run(self) -> None:
        """Listen, say where, and obey until standard input ends."""
        address = await self._transport.listen("127.0.0.1", 0)
        crypto = RunCrypto(self._identity, self._run_id)
        name = self._identity.name
        card = Card(
            self._identity.peer_id, name, self._stage, (f"tcp:{address}",), state=State.ACTIVE, version=SOFTWARE
        )
        self._mesh = Mesh(
            card,
            Notary(self._run_id, crypto, crypto.credential),
            MEMBERSHIP_PROFILES[self._profile],
            self._transport.gossip,
            self._folder,
            self._changed,
            lambda kind, detail: say("note", kind=kind, detail=detail),
        )
        self._gossip.connect(self._mesh)
        say("listening", address=address, peer=self._identity.peer_id, name=name)
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        pipe, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        loop.add_signal_handler(signal.SIGTERM, reader.feed_eof)
        try:
            while line := await reader.readline():
                order = json.loads(line)
                await self._obey(order)
                if order["do"] == "leave":
                    break
        finally:
            pipe.close()
            self._mesh.close()
            await self._transport.close()

    async def _obey(self, order: dict[str, Any]) -> None:
        assert self._mesh is not None
        match order["do"]:
            case "join":
                self._mesh.join(tuple(f"tcp:{address}" for address in order["addresses"]))
            case "block":
                self._transport.gossip.block(set(order["peers"]))
            case "update":
                self._mesh.update(**order["changes"])
            case "status":
                self._tell_status()
            case "leave":
                await self._mesh.leave()

    def _tell_status(self) -> None:
        assert self._mesh is not None
        core = self._mesh.core
        states = {record.name: state_of(core, record) for record in core.records.values()}
        incarnations = {record.name: record.incarnation for record in core.records.values()}
        say(
            "status",
            view=f"{core.view_hash:016x}",
            states=states,
            incarnations=incarnations,
            health=core.health,
            beyond=len(core.beyond),
            split=len(core.split),
            refused=dict(core.refused),
        )

    def _changed(self, peer_id: str, what: str) -> None:
        assert self._mesh is not None
        record = self._mesh.core.records.get(peer_id)
        say("changed", name=record.name if record else peer_id[:8], what=what)

    # TransportEvents

    def on_message(self, peer_id: str, message: object, tensors: tuple[Array, ...]) -> None:
        """Nobody sends any here."""

    def on_peer_up(self, peer_id: str) -> None:
        """There are no data links here."""

    def on_peer_down(self, peer_id: str, reason: str) -> None:
        """There are no data links here."""

    def admit(self, peer_id: str, message: object, specs: tuple[TensorSpec, ...]) -> str | None:
        """No tensor is expected."""
        return "no tensor is expected by a member without shards"

    def on_refused(self, reason: str, detail: str) -> None:
        """Something was refused and changed nothing."""
        say("refused", reason=reason, detail=detail)


def say(event: str, /, **values: Any) -> None:
    """One line."""
    sys.stdout.write(json.dumps({"t": time.monotonic(), "event": event, **values}) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Run one member."""
    logging.basicConfig(level=logging.ERROR)
    folder, run_id, profile = sys.argv[1:4]
    stage = int(sys.argv[4]) if len(sys.argv) > 4 else 0

    async def member() -> None:
        await MeshProcess(Path(folder), run_id, profile, stage).run()

    asyncio.run(member())


if __name__ == "__main__":
    main()
