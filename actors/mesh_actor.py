"""A participant on Ray: a detached actor whose process runs a `Host`. Does not import torch.

The actor's methods are plain ones, and the host has an event loop in a thread of its own: only so is the process's main
thread Python's to take signals in. Ray ends a process of an actor with async methods at SIGTERM, whatever it says.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

import ray

from actors.host import Host

if TYPE_CHECKING:
    from actors.records import MeshStatus
    from actors.spec import ParticipantSpec

CALLS = 64
"""That can be answered at the same time."""


@ray.remote(num_cpus=0, max_restarts=-1, max_concurrency=CALLS)
class MeshActor:
    """Identity, links, routing and step driving of one participant."""

    def __init__(self, spec: ParticipantSpec) -> None:
        context = ray.get_runtime_context()
        me = context.current_actor
        self._loop = asyncio.new_event_loop()
        self._host = Host(spec, lambda: ray.kill(me, no_restart=True))
        threading.Thread(target=self._loop.run_forever, name="mesh", daemon=True).start()
        self._listen_for_signals()
        if context.was_current_actor_reconstructed:
            asyncio.run_coroutine_threadsafe(self._host.come_back(), self._loop)

    def _listen_for_signals(self) -> None:
        """SIGTERM: whoever shuts this machine down gives us a moment to go politely.

        The handler itself would run only when the main thread comes back from Ray; the byte in the pipe is there at
        once.
        """
        signal.signal(signal.SIGTERM, lambda number, frame: None)
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)

        def listen() -> None:
            while number := os.read(reading, 1):
                if number[0] == signal.SIGTERM:
                    self._loop.call_soon_threadsafe(self._host.leave, "its process was asked to end (SIGTERM)")

        threading.Thread(target=listen, name="signals", daemon=True).start()

    def _wait(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run in the host's loop; what it raises is raised here."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _call(self, work: Callable[[], Any]) -> Any:
        """The same for what does not wait for anything."""

        async def run() -> Any:
            return work()

        return self._wait(run())

    def open(self, *, anew: bool = False) -> tuple[str, bytes, bool]:
        """Load or make the identity; return (peer id, public key, whether it has a certificate). See `Host.open`."""
        opened: tuple[str, bytes, bool] = self._wait(self._host.open(anew=anew))
        return opened

    def listen(self, cert_pem: bytes, ca_pem: bytes) -> str:
        """Take the certificate (empty: keep the one in the folder) and listen; return host:port."""
        return str(self._wait(self._host.listen(cert_pem, ca_pem)))

    def start(self, first: list[str]) -> None:
        """Find the mesh through the first addresses, and begin; the shards are built in the background."""
        self._wait(self._host.start(first))

    def poll(self, era: int, step: int, event: int) -> dict[str, Any]:
        """The driver's question, which also says that it lives: commits from `step` of `era` on, and later events."""
        answer: dict[str, Any] = self._call(lambda: self._host.poll(era, step, event))
        return answer

    def stop(self, reason: str) -> None:
        """End the whole run, because a person wants it."""
        self._call(lambda: self._host.stop(reason))

    def address(self) -> str:
        """host:port where it listens; empty as long as it does not."""
        return str(self._call(self._host.address))

    def leave(self, reason: str) -> None:
        """Go politely: finish what is under way, get out of the view, say goodbye."""
        self._call(lambda: self._host.leave(reason))

    def dismiss(self, view_number: int, voters: dict[str, int], signature: str) -> None:
        """Let the run go on without these votes; signed by the run's owner."""
        self._call(lambda: self._host.dismiss(view_number, voters, signature))

    def status(self) -> MeshStatus:
        """What `orchestrator status` prints."""
        status: MeshStatus = self._call(self._host.status)
        return status

    def audit(self) -> dict[str, Any]:
        """What this process and its shards ever held, for tests."""
        audit: dict[str, Any] = self._wait(self._host.audit())
        return audit

    def end(self) -> None:
        """Release everything; the caller kills the actor afterwards."""
        self._wait(self._host.end())
