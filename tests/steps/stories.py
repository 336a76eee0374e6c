"""Situations that are arranged, message by message, in a world: each meddles with what participants want done."""

from __future__ import annotations

from typing import Any

from actors.steps import ballots, effects, events
from actors.steps.messages import Forward, Purpose, Want
from orchestrator.simulation.faults import Fault
from orchestrator.simulation.network import Quality
from orchestrator.simulation.step_world import StepWorld
from orchestrator.simulation.trace import Trace


class Story:
    """A world with something arranged in it; `happened` when it was."""

    def __init__(self, seed: int, layout: list[int], **changes: Any) -> None:
        self.world = StepWorld(seed, layout, Quality(0.02, 0.0), Trace(), meddle=self._meddle, **changes)
        self.happened = False

    def _meddle(self, name: str, effect: Any) -> list[Any]:
        return self.on(name, effect, effect.message if isinstance(effect, effects.Send) else None)

    def on(self, name: str, effect: Any, message: Any) -> list[Any]:
        """What is done instead of what `name` wants done; `message` if that is to send one."""
        raise NotImplementedError

    def ends_well(self, seconds: float = 60.0) -> bool:
        """Whether the run commits to its end. Raises Violation."""
        self.world.run(seconds)
        return self.world.settle(3000.0) == ""


def commits(message: Any, step: int) -> bool:
    """Whether this proposes the commit that leads to `step`."""
    if not isinstance(message, ballots.Propose) or message.decision.record is None:
        return False
    return message.decision.step == step


class CutBeforeDecision(Story):
    """All replicas of stage 1 have prepared, and are cut off when the leader, who is not among them, proposes."""

    def on(self, name: str, effect: Any, message: Any) -> list[Any]:
        """Cut once."""
        if commits(message, 2) and not self.happened and not name.startswith("s1"):
            self.happened = True
            stage = tuple(node.name for node in self.world.nodes.values() if node.name.startswith("s1"))
            self.world.begin(Fault(self.world.now, "cut", stage, 15.0))
        return [effect]


class OnlyTheLeaderKnows(Story):
    """A majority has accepted, the leader has decided and applied, and is cut off before anybody hears of it."""

    leader = ""

    def on(self, name: str, effect: Any, message: Any) -> list[Any]:
        """Nobody hears the decision from its leader."""
        decides = isinstance(message, ballots.Decided) and message.decision.record is not None
        if decides and message.decision.step == 2 and not self.happened:
            self.happened, self.leader = True, name
            self.world.begin(Fault(self.world.now, "cut", (name,), 20.0))
        return [] if decides and name == self.leader and message.decision.step == 2 else [effect]


class Overwritten(Story):
    """An accepted proposal names an average; a later round makes another one; the first proposal is revived."""

    _cut = -1

    def __init__(self, seed: int) -> None:
        super().__init__(seed, [2, 2], floor_s=3.0)
        self.led: list[str] = []
        self.averages: list[str] = []

    def on(self, name: str, effect: Any, message: Any) -> list[Any]:
        """Isolate two leaders in turn, each before anybody else has its proposal."""
        if commits(message, 2):
            first = not self.led and name.startswith("s0")
            second = len(self.led) == 1 and name != self.led[0]
            if first or second:
                self.averages.append(message.decision.averages[1])
                self.led.append(name)
                self._isolate(name, for_good=first)
            if self.led and name == self.led[-1]:
                return []
            self.happened = len(set(self.averages)) == 2
        silent = isinstance(message, ballots.Lead | ballots.Promise) and name == self.led[-1:] and len(self.led) == 2
        other = isinstance(message, ballots.Lead) and name == "s1r1" and self.led
        return [] if silent or other else [effect]

    def _isolate(self, leader: str, *, for_good: bool) -> None:
        world = self.world
        if self._cut >= 0:
            world.network.heal(self._cut)
        one, other = world.named(leader).peer, world.named("s1r1").peer
        self._cut = world.network.cut([one], [peer for peer in world.nodes if peer not in (one, other)])
        world.review()
        if for_good:
            world.lose_shards(world.named("s1r1"), "killed")  # what it had counted is computed again, in another order
        else:
            world.kernel.after(25.0, world._heal, self._cut)


class Stray(Story):
    """When the leader calls for the average, a replica just begins with a microbatch that another one has counted."""

    def on(self, name: str, effect: Any, message: Any) -> list[Any]:
        """Send it once."""
        if isinstance(message, ballots.Average) and message.step == 2 and not self.happened:
            self.happened = True
            self.world.kernel.after(0.0, self._stray, message)
        return [effect]

    def _stray(self, order: ballots.Average) -> None:
        world = self.world
        group = order.groups[0]
        victim = world.nodes[min(group, key=lambda peer: len(order.counted[peer]))]
        context = world.core(victim).context
        index = next(i for peer in group if peer != victim.peer for i in order.counted[peer])
        origin = context.drivers.get(index, victim.peer)
        again = Forward(2, index, Purpose.TRAIN, 0, origin, 1, (victim.peer,), context.plan)
        world.give(victim, events.Received(origin, again, ("tokens",)))


class ForgetfulDonor(Story):
    """Whoever is asked for the state loses the asker just then, and is told at once that it is back."""

    def on(self, name: str, effect: Any, message: Any) -> list[Any]:
        """Once, a moment after the request arrived."""
        if isinstance(message, Want) and not self.happened:
            self.happened = True
            self.world.kernel.after(0.1, self._flap, name, effect.to)
        return [effect]

    def _flap(self, asker: str, donor: str) -> None:
        node, peer = self.world.nodes[donor], self.world.named(asker).peer
        self.world.give(node, events.PeerLost(peer, "a word of the mesh came late", True))
        self.world.give(node, events.PeerUp(peer))
