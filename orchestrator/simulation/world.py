"""Nodes in virtual time, each around a pure core; crashes, restarts and pauses of their processes.

A world knows nothing of any protocol: a subclass says what the core's effects mean. A core is whatever has
`handle(now, event) -> effects` and `next_deadline()`.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from orchestrator.simulation.kernel import Kernel
from orchestrator.simulation.network import Network, Quality
from orchestrator.simulation.trace import Trace, Violation

_SAME_TIME = 1000
"""A core that wants to be woken at one and the same time so often is stuck."""
_BACKLOG = 100_000


class Core(Protocol):
    """A pure state machine."""

    def handle(self, now: float, event: Any) -> Sequence[Any]:
        """Take an event; return effects."""

    def next_deadline(self) -> float | None:
        """When it wants to be woken at the latest."""


class Condition(enum.Enum):
    """Of a node's process and machine."""

    UP = "up"
    PAUSED = "paused"
    CRASHED = "crashed"
    """The process is gone; its machine answers that nobody listens."""
    DARK = "dark"
    """The machine is gone, too: silence."""


class Node:
    """One process in the world."""

    __slots__ = (
        "armed",
        "backlog",
        "condition",
        "core",
        "dies_after",
        "dies_then",
        "life",
        "linked",
        "name",
        "peer",
        "second",
        "sent",
        "slow_s",
        "spins",
        "woken_at",
    )

    def __init__(self, peer: str, name: str, core: Core) -> None:
        self.peer = peer
        self.name = name
        self.core = core
        self.condition = Condition.UP
        self.dies_after = 0
        """The process dies when so many effects of one event are done, and more of them are not; 0: it does not."""
        self.dies_then: Callable[[], None] = _nothing
        """Called when it has died so."""
        self.life = 0
        """Counts processes: what was meant for an earlier one does not reach a later one."""
        self.armed = math.inf
        self.backlog: list[Any] = []
        self.linked: set[str] = set()
        """Peers that have a standing link to this process."""
        self.second = self.sent = 0
        """Messages sent in this second of the world."""
        self.slow_s = 0.0
        """Every event is handled so much later."""
        self.woken_at = -math.inf
        self.spins = 0
        """How often it was woken at this very time already."""


def _nothing() -> None:
    """What follows on a death where nothing does."""


class World:
    """Drives cores. `tick` is the event that says that time has passed."""

    def __init__(self, seed: int, quality: Quality, tick: Any, trace: Trace | None = None) -> None:
        self.seed = seed
        self.kernel = Kernel(seed)
        self.network = Network(self.kernel.rng, quality)
        self.nodes: dict[str, Node] = {}
        self.trace = trace
        self._tick = tick

    # --- what a subclass says ------------------------------------------------------------------------------------

    def perform(self, node: Node, effect: Any) -> None:
        """Do what a core wants done."""
        raise NotImplementedError

    def reborn(self, node: Node, *, memory: bool) -> Core:
        """A core for a process that starts again."""
        raise NotImplementedError

    def process_gone(self, node: Node) -> None:
        """A process crashed: tell those who had links to it."""

    # --- time ----------------------------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        """Seconds since the beginning."""
        return self.kernel.now

    def run(self, seconds: float) -> None:
        """Let so much time pass."""
        self.kernel.run(self.kernel.now + seconds)

    def add(self, peer: str, name: str, core: Core) -> Node:
        """A new node."""
        node = self.nodes[peer] = Node(peer, name, core)
        self.arm(node)
        return node

    def give(self, node: Node, event: Any) -> None:
        """Let a node's core handle an event now, whatever else waits."""
        life = node.life
        for done, effect in enumerate(node.core.handle(self.kernel.now, event)):
            if node.dies_after and done >= node.dies_after:
                self.crash(node)
                node.dies_then()
            if node.life != life:
                return
            self.perform(node, effect)
        self.arm(node)

    def arm(self, node: Node) -> None:
        """One wake-up a node, moved only when it would come too late."""
        due = node.core.next_deadline()
        if due is not None and due < node.armed:
            node.armed = due
            self.kernel.at(due, self._wake, node, node.life, due)

    def _wake(self, node: Node, life: int, armed: float) -> None:
        if node.life != life or node.armed != armed:
            return
        node.armed = math.inf
        if node.condition is not Condition.UP:
            return
        due = node.core.next_deadline()
        if due is None or due > self.kernel.now:
            self.arm(node)
            return
        node.spins = node.spins + 1 if node.woken_at == self.kernel.now else 0
        node.woken_at = self.kernel.now
        if node.spins > _SAME_TIME:
            raise self.violation(f"{node.name} wants to be woken at {due:.3f} again and again")
        self.give(node, self.tick(node))

    def tick(self, node: Node) -> Any:
        """The event that says to a node that time has passed."""
        return self._tick

    def deliver(self, node: Node, life: int, event: Any) -> None:
        """An event reaches a node, unless its process is another one by now."""
        if node.life != life:
            return
        if node.condition is Condition.UP:
            if node.slow_s:
                self.kernel.after(node.slow_s, self._late, node, life, event)
            else:
                self.give(node, event)
        elif node.condition is Condition.PAUSED and len(node.backlog) < _BACKLOG:
            node.backlog.append(event)

    def _late(self, node: Node, life: int, event: Any) -> None:
        if node.life == life and node.condition is Condition.UP:
            self.give(node, event)

    # --- faults --------------------------------------------------------------------------------------------------

    def pause(self, node: Node, seconds: float) -> None:
        """Its process stops where it stands, and goes on later."""
        if node.condition is Condition.UP:
            node.condition = Condition.PAUSED
            self.say(node, ("pause", f"{seconds:.2f}"))
            self.kernel.after(seconds, self._resume, node, node.life)

    def _resume(self, node: Node, life: int) -> None:
        """Timers first or messages first: either may happen in a real event loop."""
        if node.life != life or node.condition is not Condition.PAUSED:
            return
        node.condition = Condition.UP
        self.say(node, ("resume",))
        backlog, node.backlog = node.backlog, []
        node.armed = math.inf
        if self.kernel.rng.random() < 0.5:
            self.give(node, self.tick(node))
        for event in backlog:
            self.give(node, event)
        self.arm(node)

    def crash(self, node: Node, *, machine: bool = False) -> None:
        """Its process is gone, or its whole machine."""
        if node.condition in (Condition.CRASHED, Condition.DARK):
            return
        node.condition = Condition.DARK if machine else Condition.CRASHED
        node.life += 1
        node.dies_after = 0
        node.backlog.clear()
        node.armed = math.inf
        self.say(node, ("machine gone" if machine else "crash",))
        if not machine:
            self.process_gone(node)

    def crash_between(self, node: Node, effects: int, then: Callable[[], None]) -> None:
        """Its process dies in the middle of the next event that has more effects than so many; then call this."""
        node.dies_after, node.dies_then = effects, then

    def restart(self, node: Node, *, memory: bool) -> None:
        """A new process of the same identity."""
        if node.condition in (Condition.CRASHED, Condition.DARK):
            node.condition = Condition.UP
            node.core = self.reborn(node, memory=memory)
            self.say(node, ("restart", "with memory" if memory else "without memory"))
            self.arm(node)

    # --- telling -------------------------------------------------------------------------------------------------

    def up(self) -> list[Node]:
        """Nodes whose process runs."""
        return [node for node in self.nodes.values() if node.condition is Condition.UP]

    def say(self, node: Node, what: Any) -> None:
        """A line for the trace."""
        if self.trace is not None:
            self.trace.add(self.kernel.now, node.name, what)

    def violation(self, what: str) -> Violation:
        """An invariant broke."""
        return Violation(self.seed, what, self.trace or Trace())
