"""One participant's life in its process: from its identity to its end, around a `Node`. Does not import torch."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import fcntl
import logging
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray

from actors.chronicle import Chronicle
from actors.faults.log import FaultLog

if TYPE_CHECKING:
    from actors.node import Node
    from actors.peers import MeshTransport
    from actors.records import MeshStatus
    from actors.spec import ParticipantSpec

log = logging.getLogger("tessera.mesh_actor")
LEASE_S = 10.0
"""The driver asks several times a second; when it has not asked for this long, a participant writes the report."""
LINGER_S = 12.0
"""After the end the actor stays this long for whoever wants to know how it ended."""
LOCK, PORT = "lock", "port"
LOCK_TRIES, LOCK_S = 40, 0.5
"""An earlier process of the participant has so many chances to be gone."""
ALONE_S = 60.0
"""A process that has found nobody of its run for this long gives up: the run ended without it."""


class Host:
    """Everything in one event loop, which is the caller's.

    Args:
        spec: the participant.
        end_process: called when the run is over here, or there is nothing to come back to.
    """

    def __init__(self, spec: ParticipantSpec, end_process: Callable[[], None]) -> None:
        from actors.keepsakes import folder_of

        self._own_folder = not spec.folder
        self._spec = dataclasses.replace(spec, folder=str(folder_of(spec)))
        self._end_process = end_process
        self._node: Node | None = None
        self._identity: Any = None
        self._address = ""
        self._asked_at = time.monotonic()
        self._scratch = Path(self._spec.folder) / "scratch"
        self._ending = False
        self._chronicle: Chronicle | None = None

    async def come_back(self) -> None:
        """Ray started this process because the one before died: take part again, without anybody's help."""
        try:
            if self._spec.faults:  # whose machine is off for a while cannot come back
                log_of_faults = FaultLog(Path(self._spec.faults_folder))
                await asyncio.sleep(log_of_faults.away_s(self._spec.faults, self._spec.name))
            await self.open()
            if not self._identity.has_certificate:
                raise RuntimeError("its certificate was not on this machine")
            await self.listen(b"", b"")
            await self.start([])
        except Exception as error:
            log.error("%s cannot come back: %s", self._spec.name, error)
            self._end_process()

    async def open(self, *, anew: bool = False) -> tuple[str, bytes, bool]:
        """Load or make the identity; return (peer id, public key, whether it has a certificate).

        `anew`: a run begins, so whatever an earlier run of this name left in the own folder is of no use.
        """
        from actors.transport.identity import Identity

        await self._lock()
        if anew and self._own_folder:
            await asyncio.to_thread(self._empty)
        shutil.rmtree(self._scratch, ignore_errors=True)  # a process that was killed left it
        self._scratch.mkdir(mode=0o700, parents=True)
        self._identity = Identity.load_or_create(Path(self._spec.folder))
        self._asked_at = time.monotonic()
        return self._identity.peer_id, self._identity.public_key, self._identity.has_certificate

    async def _lock(self) -> None:
        """One process a participant: two of them would give its vote twice. Raises RuntimeError."""
        for _ in range(LOCK_TRIES):
            if self._try_lock():
                return
            await asyncio.sleep(LOCK_S)
        where = f"{self._spec.folder}: end it, or give {self._spec.name} a folder of its own"
        raise RuntimeError(f"another process uses {where}")

    def _empty(self) -> None:
        """Delete what an earlier run of this name left."""
        for path in Path(self._spec.folder).iterdir():
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name != LOCK:
                path.unlink(missing_ok=True)

    def _try_lock(self) -> bool:
        """The system gives the lock back when this process ends, however it does."""
        folder = Path(self._spec.folder)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return False
        return True

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
            lambda arrivals: TcpTransport(
                self._identity,
                spec.run_id,
                build_registry(),
                arrivals,
                profile,
                shape if shaped else None,
                gossip=arrivals.gossip,
            ),
        )
        host = ray.util.get_node_ip_address() if spec.host == "auto" else spec.host
        self._address = await self._listen_at(host, self._node.transport)
        return self._address

    async def _listen_at(self, host: str, transport: MeshTransport) -> str:
        """Where others know us, if that can be had: after all have died at once nobody could tell them a new port."""
        kept, spec = Path(self._spec.folder) / PORT, self._spec
        if spec.port:
            return await transport.listen(host, spec.port)
        with contextlib.suppress(OSError, ValueError, OverflowError):
            return await transport.listen(host, int(kept.read_text()))
        address = await transport.listen(host, 0)
        with contextlib.suppress(OSError):
            kept.write_text(address.rpartition(":")[2])
        return address

    async def start(self, first: list[str]) -> None:
        """Find the mesh through the first addresses, and begin; the shards are built in the background."""
        from actors.shards import RayShardGroup
        from actors.transport.credentials import RunCrypto

        assert self._node is not None
        node = self._node
        scratch = self._scratch

        def shards(spec: ParticipantSpec, on_lost: Callable[[str], None], number: int) -> RayShardGroup:
            return RayShardGroup(spec, str(scratch / f"rendezvous-{number}"), on_lost, number)

        crypto = RunCrypto(self._identity, self._spec.run_id)
        await node.start(self._address, crypto, tuple(first), shards)
        self._watchdog = asyncio.get_running_loop().create_task(self._watch())
        if self._spec.spot != "none":
            self._notice = asyncio.get_running_loop().create_task(self._heed_notice())

    async def _heed_notice(self) -> None:
        from actors.spot import SpotNotice

        await SpotNotice(self._spec.spot, self._spec.spot_url).wait()
        self.leave(f"{self._spec.spot} takes this spot instance back")

    def poll(self, era: int, step: int, event: int) -> dict[str, Any]:
        """The driver's question, which also says that it lives: commits from `step` of `era` on, and later events."""
        self._asked_at = time.monotonic()
        node = self._node
        if node is None:
            return {"phase": "starting", "failure": "", "records": [], "events": []}
        return {
            "phase": node.phase(),
            "failure": node.failure,
            "records": [record for record in node.journal.records if (record.era, record.step) >= (era, step)],
            "events": [(number, item) for number, item in node.journal.events if number > event],
        }

    def stop(self, reason: str) -> None:
        """End the whole run, because a person wants it."""
        if self._node is not None:
            self._node.stop(reason)

    def address(self) -> str:
        """host:port where it listens; empty as long as it does not."""
        return self._address

    def leave(self, reason: str) -> None:
        """Go politely: finish what is under way, get out of the view, say goodbye."""
        if self._node is not None:
            self._node.leave(reason)
        else:
            self._end_process()

    def dismiss(self, view_number: int, voters: dict[str, int], signature: str) -> None:
        """Let the run go on without these votes; signed by the run's owner."""
        from actors.steps.ballots import Dismiss

        if self._node is not None:
            self._node.dismiss(Dismiss(view_number, voters, signature))

    def status(self) -> MeshStatus:
        """What `orchestrator status` prints."""
        assert self._node is not None
        return self._node.status()

    async def audit(self) -> dict[str, Any]:
        """What this process and its shards ever held, for tests."""
        assert self._node is not None and self._node.workshop is not None
        shards = await self._node.workshop.inventory()
        return {"torch": "torch" in sys.modules, "pid": os.getpid(), "shards": shards}

    async def end(self) -> None:
        """Release everything; the caller kills the actor afterwards."""
        self._ending = True
        if self._node is not None:
            await self._node.close()
        self._tidy()

    def _tidy(self) -> None:
        shutil.rmtree(self._scratch, ignore_errors=True)
        if self._own_folder:
            folder = Path(self._spec.folder)
            shutil.rmtree(folder, ignore_errors=True)
            with contextlib.suppress(OSError):  # the run's folder, when nobody else is in it
                folder.parent.rmdir()

    async def _write(self) -> None:
        """Write the report; a disk that is full must not end the training."""
        assert self._chronicle is not None and self._node is not None
        try:
            await asyncio.to_thread(self._chronicle.write)
        except Exception as error:
            log.warning("%s cannot write the report: %s", self._spec.name, error)
            self._node.journal.note("report", f"cannot be written: {type(error).__name__}: {error}")

    async def _watch(self) -> None:
        """Write the report where no driver does, and end when the run has ended."""
        node = self._node
        assert node is not None
        self._chronicle = Chronicle(self._spec, node)
        alone_since = time.monotonic()
        while not self._ending:
            await asyncio.sleep(0.5)
            now = time.monotonic()
            if not node.alone:
                alone_since = now
            if now - alone_since > ALONE_S and node.joining:
                break
            if now - self._asked_at > LEASE_S:
                await self._write()
            if node.journal.ended_at is not None and now - node.journal.ended_at > LINGER_S:
                break
        if not self._ending:
            await node.close()
            self._tidy()
            self._end_process()
