"""What outlives processes in a world: votes and states on participants' disks, and a checkpoint store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from actors.steps import effects, events
from actors.steps.context import LostStage, StepSetup
from actors.steps.eras import Returns, origin
from actors.steps.participant import Participant
from actors.steps.vote import Vote
from checkpoint.shelf import KEPT
from orchestrator.simulation.exact_model import Engine, ExactModel, Vector, parameter_hash
from orchestrator.simulation.network import Quality
from orchestrator.simulation.trace import Trace
from orchestrator.simulation.world import Condition, Node, World
from orchestrator.simulation.world_store import WorldStore

LOAD_S = 0.3
"""Taking over a state."""


class KeepingWorld(World):
    """Disks and the store, as the shards and processes of a world use them.

    Args:
        seed: replays everything.
        quality: of the network.
        trace: takes what happens.
        setup: of the run.
        durable: whether disks keep votes and states when a process dies.
    """

    def __init__(self, seed: int, quality: Quality, trace: Trace | None, setup: StepSetup, durable: bool) -> None:
        super().__init__(seed, quality, events.Tick(), trace)
        self.setup, self.durable = setup, durable
        self.model = ExactModel(setup.microbatches)
        self.load_s = LOAD_S
        self.votes: dict[str, Vote] = {}
        """Peer -> what is on its disk; empty where disks do not survive."""
        self.disks: dict[str, dict[tuple[int, int, int], Vector]] = {}
        """Peer -> (stage, era, commit) -> state."""
        self.store = WorldStore(self.violation)

    def core(self, node: Node) -> Participant:
        """A node's core."""
        assert isinstance(node.core, Participant)
        return node.core

    def stage(self, node: Node) -> int:
        """Which stage a node serves."""
        return self.core(node).context.me.stage

    def _runs(self, node: Node) -> bool:
        return node.condition in (Condition.UP, Condition.PAUSED)

    def _job(
        self, node: Node, seconds: float, work: Callable[[], events.Event | None], *, building: bool = False
    ) -> None:
        """Run on the node's shards after what is queued there."""
        raise NotImplementedError

    def _returns(self, node: Node) -> Returns:
        return self.core(node).context.decision.returns

    def _on_disk(self, node: Node) -> frozenset[tuple[int, int]]:
        mine = self.stage(node)
        return frozenset((era, commit) for stage, era, commit in self.disks.get(node.peer, ()) if stage == mine)

    def _keep(self, node: Node, engine: Engine, era: int, commit: int) -> None:
        """Export now; on disk a while later, if the process still runs then."""
        if engine.commit != commit:
            raise self.violation(f"{node.name} keeps commit {engine.commit} as {commit}")
        state, stage = engine.state(), self.stage(node)
        self.kernel.after(
            self.kernel.rng.uniform(0.05, 1.0), self._written, node, node.life, (stage, era, commit), state
        )

    def _written(self, node: Node, life: int, key: tuple[int, int, int], state: Vector) -> None:
        if node.life != life:
            return
        disk = self.disks.setdefault(node.peer, {})
        disk[key] = state
        for old in sorted(one for one in disk if one[0] == key[0])[:-KEPT]:
            del disk[old]
        self.deliver(node, life, events.Kept(self._on_disk(node)))

    def _checkpoint(self, node: Node, engine: Engine, effect: Any) -> None:
        """What shards do for checkpoints; writing takes a while, and goes on when the shards are dead."""
        id, stage, life = (effect.history, effect.commit), self.stage(node), node.life
        slow = self.kernel.rng.choice([0.0, 0.01, 0.3, 2.0])
        match effect:
            case effects.SavePart(_, commit, part, parts):

                def save() -> None:
                    if engine.commit != commit:
                        raise self.violation(f"{node.name} saves commit {engine.commit} as {commit}")
                    self.kernel.after(slow, self._part_written, node, life, effect, engine.state(), stage, parts)

                self._job(node, 0.0, save)
                assert part < parts
            case effects.SealStage(_, _, receipts):
                sealed = events.StageSealed(*id, self.store.seal(id, stage, receipts))
                self.kernel.after(slow, self.deliver, node, life, sealed)
            case effects.CommitCheckpoint(_, _, receipts):
                self.store.commit(id, receipts, self.setup.stages)
                self.kernel.after(slow, self.deliver, node, life, events.CheckpointCommitted(*id))
            case effects.FetchCheckpoint():
                self._job(node, slow, lambda: self._fetch(node, engine, id))

    def _part_written(
        self, node: Node, life: int, effect: effects.SavePart, state: Vector, stage: int, parts: int
    ) -> None:
        if node.life != life:
            return
        id = (effect.history, effect.commit)
        receipt = self.store.write(id, stage, effect.part, parts, state)
        self.deliver(node, life, events.PartSaved(*id, effect.part, receipt))

    def _fetch(self, node: Node, engine: Engine, id: tuple[int, int]) -> events.Event:
        state, stage = self.store.read(id, self.stage(node)), self.stage(node)
        if state is None:
            return events.FetchFailed(*id, "there is no such checkpoint")
        engine.load(state)
        if engine.commit != id[1] or not self.model.right(stage, id[1], engine.parameters, self._returns(node)):
            raise self.violation(f"{node.name} takes up a checkpoint that is not commit {id[1]}")
        return events.Restored(id[1], parameter_hash(stage, engine.parameters))

    def _restore(self, node: Node, engine: Engine, era: int, commit: int) -> events.Event:
        stage = self.stage(node)
        engine.load(self.disks[node.peer][stage, era, commit])
        if engine.commit != commit or not self.model.right(stage, commit, engine.parameters, self._returns(node)):
            raise self.violation(f"{node.name} restores a state that is not commit {commit}")
        return events.Restored(commit, parameter_hash(stage, engine.parameters))

    def _can_return(self, returns: Returns) -> bool:
        """Whether those who run have kept a commit of every stage, or can take up a checkpoint."""
        here = {self.stage(node) for node in filter(self._runs, self.nodes.values())}
        if self.setup.lost_stage is LostStage.ROLLBACK:
            return bool(self.store.complete) and len(here - {-1}) == self.setup.stages
        kept: dict[int, set[int]] = {stage: set() for stage in range(self.setup.stages)}
        for node in filter(self._runs, self.nodes.values()):
            kept[self.stage(node)] |= {commit for era, commit in self._on_disk(node) if origin(returns, commit) == era}
        return bool(set.intersection(*kept.values()))
