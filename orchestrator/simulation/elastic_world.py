"""A run that grows and shrinks: newcomers, polite leavers, moves; and what has to hold whatever they do."""

from __future__ import annotations

from typing import Any

from actors.records import Traffic
from actors.steps import events
from actors.steps.ballots import Decision
from actors.steps.messages import Chunk, Part
from actors.steps.view import Voter
from orchestrator.simulation.exact_model import Engine
from orchestrator.simulation.faults import Fault
from orchestrator.simulation.step_world import StepWorld
from orchestrator.simulation.world import Condition, Node


class ElasticWorld(StepWorld):
    """Also takes the faults `arrive` and `leave`, and checks shares, moves and the log of assignments."""

    def __init__(self, *given: Any, **changes: Any) -> None:
        self._newest = -1
        self._log: dict[str, tuple[int, ...]] = {}
        self.held: dict[str, set[int]] = {}
        """Peer -> stages whose parameters it was ever sent, or built."""
        self.moved = 0
        super().__init__(*given, **changes)

    def arrive(self, name: str, memory: int = 0, *, spare: bool = False) -> Node:
        """Somebody new, without a stage; with so many bytes for one, where it is said."""
        peer = f"id-{self.kernel.rng.randbytes(4).hex()}"
        self.lives[peer], self.placed[peer] = 1, -1
        self.engines[peer] = Engine()
        me, signed = Voter(peer, 1, name, -1), lambda message: True
        core = self._make(self.setup, me, (), Traffic, self.now, signed, memory, None, spare)
        node = self.add(peer, name, core)
        self.say(node, ("arrives",))
        self.give(node, events.Tick())
        return node

    def begin(self, fault: Fault) -> None:
        """Let a fault happen now."""
        if fault.kind == "arrive":
            self.reached[f"arrive / {self.where(fault)}"] += 1
            self.arrive(fault.who[0])
            self.review()
            return
        if fault.who and any(name not in {node.name for node in self.nodes.values()} for name in fault.who):
            return  # whoever it should strike has not arrived
        if fault.kind == "leave":
            node = self.named(fault.who[0])
            self.reached[f"leave / {self.where(fault)}"] += 1
            if node.condition is Condition.UP:
                self.deliver(node, node.life, events.Leave("enough"))
            return
        super().begin(fault)

    def _build(self, node: Node) -> None:
        if self.stage(node) >= 0:
            self._holds_some(node.peer, self.stage(node))
            super()._build(node)

    def _holds_some(self, peer: str, stage: int) -> None:
        self.held.setdefault(peer, set()).add(stage)
        if self.setup.stages > 1 and len(self.held[peer]) / self.setup.stages > self.setup.max_share + 1e-9:
            raise self.violation(f"{self.nodes[peer].name} has held stages {sorted(self.held[peer])}: too much")

    def _send(self, node: Node, to: str, message: Any, payload: Any) -> None:
        if isinstance(message, Chunk) and message.part is Part.STATE:
            self._holds_some(to, self.stage(node))
        super()._send(node, to, message, payload)

    def give(self, node: Node, event: Any) -> None:
        """Let a node handle an event; every new decision is looked at."""
        super().give(node, event)
        decision = self.core(node).context.decision
        if decision.slot > self._newest:
            self._newest = decision.slot
            self._check_log(decision)

    def _check_log(self, decision: Decision) -> None:
        before, self._log = self._log, dict(decision.assigned)
        moved = [peer for peer, stages in before.items() if decision.assigned.get(peer) != stages]
        for peer in moved:
            if decision.assigned.get(peer, ())[: len(before[peer])] != before[peer]:
                raise self.violation(f"slot {decision.slot} forgets an assignment of {self.nodes[peer].name}")
        members = {member.peer_id for member in decision.members}
        under_way = [
            peer
            for peer, stages in decision.assigned.items()
            if len(stages) > 1 and peer not in members and self.nodes[peer].condition is Condition.UP
        ]
        self.moved += len(moved)
        if len(moved) > 1 or (moved and set(under_way) - set(moved)):
            names = ", ".join(self.nodes[peer].name for peer in {*moved, *under_way})
            raise self.violation(f"slot {decision.slot}: {names} move at once")
        for stage in range(self.setup.stages):
            if not any(member.stage == stage for member in decision.members) and moved:
                raise self.violation(f"slot {decision.slot}: a move empties stage {stage}")
