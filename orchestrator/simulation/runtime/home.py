"""One simulated home: a machine with a disk, and the participant's process that runs on it now."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from actors.arrivals import Arrivals
from actors.clock import Clock
from actors.faults.inject import Faults, Victim
from actors.node import Node, NodeCrypto
from actors.protocol import build_registry
from actors.spec import ParticipantSpec
from actors.steps import effects
from actors.steps.participant import Participant
from actors.transport.memory import MemoryTransport
from actors.transport.memory_hub import MemoryHub
from actors.workshop import MakeShards
from orchestrator.simulation.kernel import Kernel
from orchestrator.simulation.runtime.process_loop import ProcessKilledError, ProcessLoop
from orchestrator.simulation.world import Condition

if TYPE_CHECKING:
    from orchestrator.simulation.runtime.numpy_shards import NumpyShardGroup

REGISTRY = build_registry()
LINGER_S, ALONE_S = 12.0, 60.0
"""As in `Host`: a process whose run has ended stays for so long, and one that finds no run ends after so long."""
WATCH_S = 0.5
EPOCH = 1_750_000_000.0
"""Unix time at the beginning of a world."""


@dataclass
class Home:
    """What outlives the process is here; the process itself is `node` in `loop`."""

    peer: str
    spec: ParticipantSpec
    folder: Path
    condition: Condition = Condition.CRASHED
    since: float = 0.0
    """When it came into this condition."""
    clock_off_s: float = 0.0
    """How much the machine's clock is wrong."""
    lost_lives: set[int] = field(default_factory=set)
    """Lives whose votes went with the disk."""
    gone: bool = False
    """Its process ended by itself: it has left, or its run is over."""
    loop: ProcessLoop | None = None
    node: Node | None = None
    transport: MemoryTransport | None = None
    shards: NumpyShardGroup | None = None
    dies_after: int = 0
    """The process dies in the middle of the next event of which so many effects are done; 0 for not at all."""
    dies_then: Callable[[], None] | None = None
    """Called when it has died so."""
    event: int = -1
    """Number of the world's event in which the last effect was seen."""
    done: int = 0
    """Effects of that event so far."""
    errors: list[str] = field(default_factory=list)
    """What no code of its processes has caught."""

    @property
    def name(self) -> str:
        """Of the participant."""
        return self.spec.name

    @property
    def up(self) -> bool:
        """Whether its process runs."""
        return self.condition is Condition.UP

    def inside(self, call: Callable[..., None], *args: object) -> None:
        """Call something in the process that runs."""
        assert self.loop is not None
        self.loop.call_soon(call, *args)

    @property
    def participant(self) -> Participant | None:
        """The protocol of the process that runs, once the run has begun there."""
        return self.node.participant if self.node is not None else None


def start(
    home: Home,
    kernel: Kernel,
    hub: MemoryHub,
    crypto: NodeCrypto,
    first: tuple[str, ...],
    make_shards: MakeShards,
    make_faults: Callable[[ParticipantSpec, Victim], Faults | None],
    ended: Callable[[Home], None],
) -> None:
    """Start a process of this home; it takes part until it is killed, or its run is over here.

    Args:
        home: where.
        kernel: the world's clock.
        hub: the network.
        crypto: signs for this identity.
        first: addresses through which it finds the mesh.
        make_shards: makes its shards.
        make_faults: makes what watches its effects.
        ended: called when the process ends by itself.
    """
    loop = home.loop = ProcessLoop(kernel, home.name)  # type: ignore[abstract]  # sockets and threads are not needed
    home.errors = loop.errors
    clock = Clock(loop.time, lambda: EPOCH + kernel.now + home.clock_off_s)
    rng = random.Random(kernel.rng.getrandbits(64))
    home.condition, home.since, home.gone = Condition.UP, kernel.now, False

    async def live() -> None:
        def transport(arrivals: Arrivals) -> MemoryTransport:
            made = home.transport = MemoryTransport(home.peer, hub, REGISTRY, arrivals, arrivals.gossip)
            return made

        node = home.node = Node(home.spec, transport, clock, rng, make_faults)
        address = await node.transport.listen("", 0)
        await node.start(address, crypto, first, make_shards)

    alone_since = kernel.now

    def watch() -> None:
        """As `Host` does: the process stays a while after the run has ended here, and ends when it finds no run."""
        nonlocal alone_since
        node = home.node
        if node is None or not (node.alone and node.joining):
            alone_since = loop.time()
        ended_at = node.journal.ended_at if node is not None else None
        over = ended_at is not None and loop.time() - ended_at > LINGER_S
        if node is not None and (over or loop.time() - alone_since > ALONE_S):
            loop.create_task(leave(node))
        else:
            loop.call_later(WATCH_S, watch)

    async def leave(node: Node) -> None:
        await node.close()
        ended(home)

    loop.start(live())
    loop.call_later(WATCH_S, watch)


class Watcher:
    """Implements `Faults`: shows every effect to the world before it is done, and lets the process die between two.

    Args:
        home: whose process it is.
        seen: called with each effect; may kill the process.
    """

    def __init__(self, home: Home, seen: Callable[[Home, effects.Effect], None]) -> None:
        self._home, self._seen = home, seen

    def training(self) -> None:
        """Nothing."""

    def step(self, step: int, *, leads: bool) -> None:
        """Nothing."""

    def before(self, effect: effects.Effect, step: int, *, leads: bool) -> None:
        """Raises ProcessKilledError when the process dies here."""
        self._seen(self._home, effect)
        if self._home.loop is not None and self._home.loop.dead:
            raise ProcessKilledError(self._home.name)

    def close(self) -> None:
        """Nothing."""
