"""A training run in virtual time: the very step protocol that participants run, an exact model, and faults.

The world checks the contract at every commit and every update, with a model that shows what was counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from typing import Any

from actors.records import CommitRecord, Traffic
from actors.steps import effects, events
from actors.steps.ballots import Accepted, Promise
from actors.steps.context import StepSetup
from actors.steps.eras import Returns
from actors.steps.jobs import Job, JobKind
from actors.steps.participant import Participant
from actors.steps.view import Voter
from orchestrator.simulation.exact_model import (
    LENGTH,
    Engine,
    Vector,
    parameter_hash,
    parameters_of,
    stage_of,
)
from orchestrator.simulation.faulty_world import FaultyWorld
from orchestrator.simulation.network import Quality
from orchestrator.simulation.trace import Trace
from orchestrator.simulation.world import Condition, Node

REPAIRS = ("reset", "rerouted", "replaced", "excluded", "averaging", "damaged", "refused", "leader", "resigned", "slow")
"""Kinds of notes that say that something was done again, or otherwise."""
BUILD_S = 2.0
"""Building a stage takes up to so long."""
HOPELESS_S = 100.0
"""A run that nothing can bring back must have been so for this long."""


def step_setup(stages: int, **changes: Any) -> StepSetup:
    """A small run."""
    values: dict[str, Any] = {
        "stages": stages,
        "steps": 4,
        "microbatches": 6,
        "tokens_per_microbatch": 4,
        "in_flight": 3,
        "validate_every": 2,
        "validation_microbatches": 2,
        "clip": 0.0,
        "learning_rate": lambda step: 0.1,
        "config_hash": "same",
        "floor_s": 10.0,
        "beat_s": 1.0,
        "smallest_chunk": 2,
    }
    return StepSetup(**{**values, **changes})


class StepWorld(FaultyWorld):
    """Participants of one run.

    Args:
        seed: replays everything.
        layout: replicas of each stage.
        make: builds a participant's core; planted bugs come in here.
        meddle: may replace what a participant (by name) wants done.
        without_corpus: names of participants that have no data.
        durable: whether disks keep votes and states when a process dies.
    """

    def __init__(
        self,
        seed: int,
        layout: Iterable[int],
        quality: Quality | None = None,
        trace: Trace | None = None,
        make: type[Participant] = Participant,
        meddle: Callable[[str, Any], list[Any]] | None = None,
        compute_s: float = 0.3,
        without_corpus: Collection[str] = (),
        durable: bool = True,
        **changes: Any,
    ) -> None:
        replicas = list(layout)
        setup = step_setup(len(replicas), **changes)
        super().__init__(seed, quality or Quality(0.02, 0.02), trace, setup, durable)
        self._make, self._meddle, self._compute_s = make, meddle, compute_s
        self._without_corpus = frozenset(without_corpus)
        self.members = tuple(
            sorted(
                Voter(f"id-{self.kernel.rng.randbytes(4).hex()}", 0, f"s{stage}r{replica}", stage)
                for stage, count in enumerate(replicas)
                for replica in range(count)
            )
        )
        self.returns: Returns = ()
        """The longest that was decided."""
        self.lives = {member.peer_id: 1 for member in self.members}
        self.placed = {member.peer_id: member.stage for member in self.members}
        """Which stage each process is started for; -1 for those who come later and are given one."""
        self._seen: dict[tuple[str, str], tuple[str, int]] = {}
        """(observer, peer) -> what it was told last, and about which process."""
        self.committed_at: dict[int, float] = {}
        self.slots: dict[int, Any] = {}
        self.finished: set[str] = set()
        self.failures: dict[str, str] = {}
        self.notes: Counter[str] = Counter()
        """What participants told, by kind."""
        self._ignored: Counter[str] = Counter()
        """Messages that changed nothing in processes that are gone, by reason."""
        self.said: list[tuple[float, str, str, str]] = []
        self.slots_begun = False
        """Whether the run's members had agreed that they are all there."""
        for member in self.members:
            core = make(self.setup, self._voter(member), self.members, Traffic, 0.0, lambda message: True)
            self.add(member.peer_id, member.name, core)
        for node in self.nodes.values():
            self._build(node)
        self.review(at_once=True)

    def _voter(self, member: Voter) -> Voter:
        return Voter(member.peer_id, self.lives[member.peer_id], member.name, member.stage)

    # --- peers: an oracle instead of gossip, which tells late ------------------------------------------------------

    def _truth(self, observer: Node, peer: Node) -> str:
        if peer.condition in (Condition.CRASHED, Condition.DARK):
            return "gone"
        if peer.condition is Condition.PAUSED:
            return "gone"
        if self.network.blocked(observer.peer, peer.peer) or self.network.blocked(peer.peer, observer.peer):
            others = [n for n in self.up() if n is not observer and n is not peer]
            open_way = any(not self._cut(observer, n) and not self._cut(n, peer) for n in others)
            return "lost" if open_way else "gone"
        return "up"

    def _cut(self, one: Node, other: Node) -> bool:
        return self.network.blocked(one.peer, other.peer) or self.network.blocked(other.peer, one.peer)

    def review(self, *, at_once: bool = False) -> None:
        """Something changed: everybody notices after a while, if it is still so then."""
        rng = self.kernel.rng
        for observer in self.nodes.values():
            for peer in self.nodes.values():
                if observer is peer or observer.condition in (Condition.CRASHED, Condition.DARK):
                    continue
                truth = self._truth(observer, peer)
                before, life = self._seen.get((observer.peer, peer.peer), ("", 0))
                if truth == before and life == self.lives[peer.peer]:
                    continue
                delay = rng.uniform(0.1, 1.5)
                if truth != "up" and peer.condition is not Condition.CRASHED:
                    delay = rng.uniform(4.0, 7.0)
                self.kernel.after(0.0 if at_once else delay, self._observe, observer, observer.life, peer)

    def _observe(self, observer: Node, life: int, peer: Node) -> None:
        if observer.life != life:
            return
        truth, now_life = self._truth(observer, peer), self.lives[peer.peer]
        key = (observer.peer, peer.peer)
        before, seen_life = self._seen.get(key, ("", 0))
        if truth == before and seen_life == now_life:
            return
        self._seen[key] = (truth, now_life)
        if before == "up" and (truth != "up" or seen_life != now_life):
            lost = events.PeerLost(peer.peer, f"{peer.name} does not answer", truth == "gone")
            self.deliver(observer, life, lost)
        elif truth == "gone":
            self.deliver(observer, life, events.PeerLost(peer.peer, f"{peer.name} is held dead", True))
        if truth == "up":
            self.deliver(observer, life, events.PeerUp(peer.peer))

    def _repeat_up(self, node: Node, life: int, peer: str) -> None:
        if self._seen.get((node.peer, peer), ("", 0))[0] == "up":
            self.deliver(node, life, events.PeerUp(peer))

    # --- shards -----------------------------------------------------------------------------------------------------

    def _build(self, node: Node) -> None:
        engine = self.engines[node.peer] = Engine(free_at=self.now + self.kernel.rng.uniform(0.2, BUILD_S))
        member = self.core(node).context.me

        def ready() -> events.Event:
            engine.built = True
            data_ok = node.name not in self._without_corpus
            self.deliver(node, node.life, events.Kept(self._on_disk(node)))
            return events.LocalReady(parameter_hash(member.stage, engine.parameters), 1, data_ok, LENGTH, LENGTH + 1)

        self._job(node, 0.0, ready, building=True)

    def _job(
        self, node: Node, seconds: float, work: Callable[[], events.Event | None], *, building: bool = False
    ) -> None:
        """Run on the node's shards after what is queued there."""
        engine = self.engines[node.peer]
        if not engine.built and not building:
            return
        begin = max(self.now, engine.free_at, engine.paused_until)
        engine.free_at = begin + seconds * engine.speed
        self.kernel.at(engine.free_at, self._run_job, node, node.life, engine, work)

    def _run_job(self, node: Node, life: int, engine: Engine, work: Callable[[], events.Event | None]) -> None:
        if node.life != life or self.engines[node.peer] is not engine:
            return
        if engine.paused_until > self.now:
            engine.free_at = max(engine.free_at, engine.paused_until)
            self.kernel.at(engine.paused_until + 1e-6, self._run_job, node, life, engine, work)
            return
        event = work()
        if event is not None:
            self.deliver(node, life, event)

    def _seconds(self, job: Job) -> float:
        """How long shards take for a job."""
        return self._compute_s * self.kernel.rng.uniform(0.5, 1.5)

    def _compute(self, node: Node, job: Job) -> None:
        engine, stage = self.engines[node.peer], self.stage(node)
        if job.kind in (JobKind.LOSS, JobKind.EVALUATE) and node.name in self._without_corpus:
            raise self.violation(f"{node.name} computes a loss without the corpus")
        seconds, speed = self._seconds(job), engine.speed

        def work() -> events.Event:
            if job.kind in (JobKind.LOSS, JobKind.BACKWARD) and job.index not in engine.counted:
                if engine.commit != job.step:
                    raise self.violation(f"{node.name} counts for step {job.step} with commit {engine.commit}")
                engine.count(job.step, stage, job.index, self.kernel.rng)
            return events.Computed(job, ("tensor",), float(job.index), seconds * speed)

        self._job(node, seconds, work)

    def _apply(self, node: Node, effect: effects.ApplyUpdate) -> None:
        engine, stage = self.engines[node.peer], self.stage(node)
        self.say(node, ("apply", str(effect.step)))
        returns = self._returns(node)
        if effect.step not in self.decided:
            raise self.violation(f"{node.name} applies step {effect.step}, which was not decided")

        def work() -> events.Event:
            engine.apply(effect.average)
            if engine.commit != effect.step + 1 or not self.model.right(
                stage, engine.commit, engine.parameters, returns
            ):
                raise self.violation(f"{node.name} holds other parameters after commit {engine.commit} than it should")
            return events.Applied(effect.step, parameter_hash(stage, engine.parameters))

        self._job(node, 0.05, work)

    # --- effects ----------------------------------------------------------------------------------------------------

    def perform(self, node: Node, effect: Any) -> None:
        """Carry messages, run the shards, watch what is decided."""
        self._watch_phases(node, effect)
        for one in [effect] if self._meddle is None else self._meddle(node.name, effect):
            self._perform(node, one)

    def _told(self, node: Node, message: Any) -> None:
        """A promise or a vote is on disk before it is told: a process that dies right afterwards must know of it.

        In view 0 all members are needed, and ballot 0 is the lowest: both bind no later process.
        """
        if not isinstance(message, Promise | Accepted) or self.core(node).context.view.number == 0:
            return
        kept = self.votes.get(node.peer)
        same = kept is not None and kept.slot == message.slot
        known = kept.promised if kept is not None and isinstance(message, Promise) else -1
        known = kept.accepted_ballot if kept is not None and isinstance(message, Accepted) else known
        free = isinstance(message, Promise) and message.ballot == 0
        if not free and not (same and known >= message.ballot):
            raise self.violation(f"{node.name} tells {type(message).__name__} {message.ballot} before it is on disk")

    def _perform(self, node: Node, effect: Any) -> None:
        engine = self.engines[node.peer]
        self.slots_begun = self.slots_begun or self.core(node).started
        match effect:
            case effects.Send(to, message, payload):
                self._told(node, message)
                self._send(node, to, message, payload)
            case effects.Compute(job):
                self._compute(node, job)
            case effects.ExportGradient(step, number):
                self._job(node, 0.02, lambda: self._export_gradient(engine, step, number))
            case effects.Discard():
                self._job(node, 0.0, engine.discard)
            case effects.ApplyUpdate():
                self._apply(node, effect)
            case effects.ExportState(commit):
                self._job(node, 0.3, lambda: self._export(node, engine, commit))
            case effects.LoadState(commit, values):
                self.say(node, ("load", str(commit)))
                self._job(node, self.load_s, lambda: self._load(node, engine, commit, values))
            case effects.KeepVote(vote):
                self.votes[node.peer] = vote
            case effects.KeepState(era, commit):
                self._job(node, 0.0, lambda: self._keep(node, engine, era, commit))
            case effects.SavePart() | effects.SealStage() | effects.CommitCheckpoint() | effects.FetchCheckpoint():
                self._checkpoint(node, engine, effect)
            case effects.ListCheckpoints():
                self.kernel.after(
                    0.2, self.deliver, node, node.life, events.CheckpointsListed(tuple(self.store.complete))
                )
            case effects.DropState(era, commit):
                self.disks.get(node.peer, {}).pop((self.stage(node), era, commit), None)
                self.kernel.after(0.0, self.deliver, node, node.life, events.Kept(self._on_disk(node)))
            case effects.RestoreState(era, commit):
                self.say(node, ("restore", str(commit)))
                self._job(node, self.load_s, lambda: self._restore(node, engine, era, commit))
            case effects.RestartShards(reason):
                self.lose_shards(node, reason)
            case effects.Serve():
                self._build(node)
            case effects.Departed():
                self.say(node, effect)
                self.kernel.after(0.0, self.crash, node)
            case effects.Committed(record):
                self._committed(node, record)
            case effects.Note(kind, detail):
                self.notes[kind] += 1
                self.said.append((self.now, node.name, kind, detail))
                self.say(node, effect)
            case effects.Failed(reason):
                self.failures[node.name] = reason
                self.say(node, effect)
            case effects.Finished():
                self.finished.add(node.name)
                self.say(node, effect)

    def _send(self, node: Node, to: str, message: Any, payload: Any) -> None:
        target = self.nodes.get(to)
        if target is None or self._seen.get((node.peer, to), ("", 0))[0] != "up":
            return
        self.say(node, (target.name, message))
        if target.condition in (Condition.CRASHED, Condition.DARK):
            return
        if not isinstance(payload, tuple):
            payload = ("tokens",)
        event = events.Received(node.peer, message, payload)
        for at in self.network.arrivals(self.now, node.peer, to):
            self.kernel.at(at, self.deliver, target, target.life, event)

    def _export_gradient(self, engine: Engine, step: int, number: int) -> events.Event:
        return events.GradientExported(step, number, engine.accumulated.copy(), frozenset(engine.counted))

    def _export(self, node: Node, engine: Engine, commit: int) -> events.Event:
        if engine.commit != commit:
            raise self.violation(f"{node.name} exports commit {engine.commit} as {commit}")
        return events.StateExported(commit, engine.state(), parameter_hash(self.stage(node), engine.parameters))

    def _load(self, node: Node, engine: Engine, commit: int, values: Vector) -> events.Event:
        engine.load(values)
        if engine.commit != commit or not self.model.right(
            self.stage(node), commit, engine.parameters, self._returns(node)
        ):
            raise self.violation(f"{node.name} takes over a state that is not commit {commit}")
        return events.StateLoaded(commit, parameter_hash(self.stage(node), engine.parameters))

    def _committed(self, node: Node, record: CommitRecord) -> None:
        self.say(node, record)
        for peer in self.nodes:  # news of the mesh repeat what is known
            if self._seen.get((node.peer, peer), ("", 0))[0] == "up" and self.kernel.rng.random() < 0.2:
                self.kernel.after(self.kernel.rng.random() * 0.1, self._repeat_up, node, node.life, peer)
        if len(self._returns(node)) > len(self.returns):
            self.returns = self._returns(node)
        known = self.decided.get(record.step, record)
        if record.era > known.era:
            known = record  # it was given up, and trained again
        elif record.era < known.era:
            return
        self.decided[record.step] = known
        self.committed_at.setdefault(record.step, self.now)
        if known != record:
            raise self.violation(f"{node.name} commits another step {record.step} than others did")
        slot = self.slots.setdefault(record.slot, record)
        if slot != record:
            raise self.violation(f"{node.name} knows another decision {record.slot} than others do")
        if record.tokens:
            self._check_counted(record)

    def _check_counted(self, record: CommitRecord) -> None:
        for stage in range(self.setup.stages):
            names = [name for name, hashed in record.hashes.items() if stage_of(hashed) == stage]
            counted = sorted(index for name in names for index in record.counted.get(name, []))
            if counted != list(range(self.setup.microbatches)):
                raise self.violation(f"step {record.step}: stage {stage} counted {counted}")
            hashes = {record.hashes[name] for name in names if name in record.hashes}
            if len(hashes) != 1 or not self.model.right(
                stage, record.step, parameters_of(hashes.pop()), self.returns[: record.era]
            ):
                raise self.violation(f"step {record.step}: stage {stage} does not hold what it should")

    # --- faults -----------------------------------------------------------------------------------------------------

    def lose_shards(self, node: Node, reason: str) -> None:
        """The node's shards are gone; its process builds new ones."""
        if node.condition in (Condition.CRASHED, Condition.DARK):
            return
        self.forgot = True
        self.engines[node.peer] = Engine()
        self.kernel.after(0.05, self._notice_loss, node, node.life, reason)

    def _notice_loss(self, node: Node, life: int, reason: str) -> None:
        """Its process sees that the shards are gone, once it runs, and builds new ones."""
        if node.life != life:
            return
        if node.condition is Condition.PAUSED:
            self.kernel.after(0.2, self._notice_loss, node, life, reason)
            return
        self.deliver(node, life, events.ShardsLost(reason))
        self._build(node)

    def reborn(self, node: Node, *, memory: bool) -> Participant:
        """A new process of the same identity: it knows its key, and that the run had begun."""
        before = self.core(node).context.me
        self._ignored += self.core(node).context.ignored
        self.lives[node.peer] += 1
        self.finished.discard(node.name)
        if not self.durable:
            self.votes.pop(node.peer, None)
            self.disks.pop(node.peer, None)
        vote = self.votes.get(node.peer)
        stage = vote.decision.assigned[node.peer][-1] if vote is not None else self.placed[node.peer]
        me = Voter(before.peer_id, vote.life if vote is not None else self.lives[node.peer], before.name, stage)
        members = () if self.decided or self.slots_begun else self.members
        return self._make(self.setup, me, members, Traffic, self.now, lambda message: True, 0, vote)

    def restart(self, node: Node, *, memory: bool) -> None:
        """Start it again."""
        for key in [key for key in self._seen if key[0] == node.peer]:
            del self._seen[key]
        super().restart(node, memory=memory)
        self.engines[node.peer] = Engine()
        if self.stage(node) >= 0:
            self._build(node)
        self.review()

    @property
    def repairs(self) -> Counter[str]:
        """How often something was repaired or refused that an undisturbed run knows nothing of.

        A fault that a second check repairs bends no invariant; here it shows as a number out of its range.
        """
        ignored = sum((self.core(node).context.ignored for node in self.nodes.values()), self._ignored)
        told = {kind: self.notes[kind] for kind in REPAIRS}
        return Counter({**told, **{f"ignored: {reason}": count for reason, count in ignored.items()}})

    # --- the end ----------------------------------------------------------------------------------------------------

    def hopeless(self) -> str:
        """Why this run cannot go on whatever happens: empty when it can."""
        newest = max((self.core(node).context.decision for node in self.nodes.values()), key=lambda d: d.slot)
        alive = {(node.peer, self.core(node).context.me.life) for node in self.nodes.values() if self._runs(node)}
        voters = [m for m in newest.members if (m.peer_id, m.life) in alive or newest.view_number == 0]
        if len(voters) < newest.view.quorum:
            return "majority lost"
        for stage in range(self.setup.stages):
            replicas = [node for node in self.nodes.values() if self.stage(node) == stage]
            if not any(self._holds(node, newest.step) for node in replicas) and not self._can_return(newest.returns):
                return "stage lost"
        return ""

    def _holds(self, node: Node, step: int) -> bool:
        """Whether it holds a commit, or is about to."""
        if not self._runs(node) or self.core(node).failed:
            return False
        if step <= 0:
            return True  # whoever builds its stage holds commit 0
        applying = self.core(node).context.applying
        return self.core(node).commit == step or (applying is not None and applying.commit == step)

    def settle(self, bound_s: float) -> str:
        """Let it run to its end; returns why it cannot get there, empty when it did. Raises Violation."""
        until = self.now + bound_s
        lost, since = "", self.now
        while self.now < until:
            self.run(5.0)
            for node in self.nodes.values():
                if node.name in self.failures and "lost" not in self.failures[node.name]:
                    raise self.violation(f"{node.name} gave up: {self.failures[node.name]}")
            if all(node.name in self.finished for node in self.up()):
                return ""
            now = self.hopeless()
            if now != lost:
                lost, since = now, self.now
            if lost and self.now - since > HOPELESS_S and not self.finished:
                if not self.forgot:
                    raise self.violation(f"{lost}, although nobody has lost its memory")
                return lost
        behind = [node.name for node in self.up() if node.name not in self.finished]
        raise self.violation(f"{', '.join(behind)} did not finish within {bound_s:.0f} s after the faults")
