"""A training run of whole participants in virtual time: gossip mesh, step protocol, links, disks and shards together.

Every participant is a real `Node` with the product's mesh, executor, queues, votes on disk and shard supervisor. What
is replaced is below them: clock, network, certificates and the model. See `Contract` for what is checked.
"""

from __future__ import annotations

import dataclasses
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from actors.spec import ParticipantSpec
from actors.steps import effects
from actors.steps.config import TrainConfig
from actors.steps.participant import Participant
from actors.transport.config import EmulateConfig
from actors.transport.memory_hub import MemoryHub
from orchestrator.simulation.kernel import Kernel
from orchestrator.simulation.network import Network, Quality
from orchestrator.simulation.runtime.contract import Contract
from orchestrator.simulation.runtime.home import Home, Watcher, start
from orchestrator.simulation.runtime.numpy_model import CountingTokens, Reference, reference
from orchestrator.simulation.runtime.numpy_shards import NumpyShardGroup
from orchestrator.simulation.runtime.weather import WorldWeather
from orchestrator.simulation.stub_crypto import StubCrypto
from orchestrator.simulation.trace import Trace, Violation
from orchestrator.simulation.world import Condition
from sharding.config import LayoutConfig, ModelConfig, OptimizerConfig
from sharding.partition import no_stage, partition

RUN = "simulated"
FINGERPRINT = "counting"
SLICE_S = 0.5
"""Problems are looked for so often."""
SHM = Path("/dev/shm")
"""Where there is memory that looks like a disk, disks of worlds are there."""
KNOWN_S = {Condition.CRASHED: 25.0, Condition.DARK: 75.0}
"""A process that is gone for so long is out of the committed view, if steps are committed meanwhile."""
BACK_S = 60.0
"""A process that runs undisturbed for so long has a vote."""


def base_spec(stages: int, replicas: int, **train: Any) -> ParticipantSpec:
    """A small run; values of `train` replace those of its `TrainConfig`."""
    layers = max(stages, 2)
    model = ModelConfig("", vocab_size=11, width=4, layers=layers, heads=1, kv_heads=1, ffn=4)
    values = {
        "steps": 6,
        "microbatches": 6,
        "microbatch_size": 2,
        "sequence": 3,
        "validate_every": 3,
        "validation_microbatches": 2,
        "keep_every": 2,
        **train,
    }
    return ParticipantSpec(
        run_id=RUN,
        name="",
        replica=0,
        stage=no_stage(stages),
        model=model,
        optimizer=OptimizerConfig("sgd", lr=0.2, momentum=0.9, clip=0.0, schedule="constant", warmup_steps=2),
        layout=LayoutConfig(stages=stages, replicas=replicas, max_model_share=1.0),
        train=TrainConfig(**values),
        emulate=EmulateConfig(),
        profile="local",
        host="",
        port=0,
        folder="",
        config_hash="same",
        fingerprint=FINGERPRINT,
        tokens=_no_tokens,
    )


def _no_tokens() -> CountingTokens:
    raise ValueError("the world gives every home its tokens")


def _reborn(home: Home, life: int) -> bool:
    """Whether another life runs there: a process that dies while the run forms has no vote on disk yet."""
    participant = home.participant
    return home.up and participant is not None and participant.context.me.life not in (0, life)


class RuntimeWorld:
    """Homes, their processes, and what happens to them. Use it as a context: it removes the homes' disks.

    Args:
        seed: replays everything.
        layout: replicas of each stage.
        spec: the run; see `base_spec`.
        quality: of the network.
        compute_s: a microbatch takes a stage so long.
        trace: takes what happens.
        training: the reference training of `spec`, where it is known.
    """

    def __init__(
        self,
        seed: int,
        layout: Iterable[int],
        spec: ParticipantSpec | None = None,
        quality: Quality | None = None,
        compute_s: float = 0.3,
        trace: Trace | None = None,
        training: Reference | None = None,
    ) -> None:
        replicas = list(layout)
        self.seed, self.compute_s, self.trace = seed, compute_s, trace
        self.kernel = Kernel(seed)
        self.network = Network(self.kernel.rng, quality or Quality(0.02, 0.02))
        self.spec = spec if spec is not None else base_spec(len(replicas), min(replicas))
        self.folder = Path(tempfile.mkdtemp(prefix="tessera-world-", dir=SHM if SHM.is_dir() else None))
        self.homes: dict[str, Home] = {}
        self.problems: list[str] = []
        self.may_end = False
        """Whether the run may end before its last step, for scenarios in which it has to."""
        self.reached: Counter[str] = Counter()
        self.closed = False
        training = training if training is not None else reference(self.spec, CountingTokens(self.spec))
        self.reference = training
        self.contract = Contract(self.spec, training, self.problems.append, lambda: self.now)
        self.watch: Callable[[Home, effects.Effect], None] = lambda home, effect: None
        """Called before each effect of each participant, for tests."""
        self.hub = MemoryHub(
            WorldWeather(lambda: self.now, self.network, self.kernel.rng, lambda peer: self.homes[peer].condition)
        )
        self._secrets: dict[str, bytes] = {"": b"the owner's secret"}
        self._disturbed_at = 0.0
        self._voted: dict[str, float] = {}
        """Peer -> when it had a vote last."""
        for stage, count in enumerate(replicas):
            for replica in range(count):
                self._settle_in(f"s{stage}r{replica}", stage, replica)
        for number, home in enumerate(self.homes.values()):
            doors = tuple(f"memory:{place + 1}" for place in range(min(3, len(self.homes))) if place != number)
            self._start(home, doors)

    def __enter__(self) -> RuntimeWorld:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End all processes and remove the disks."""
        self.closed = True
        for home in self.homes.values():
            if home.loop is not None:
                home.loop.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    # --- homes -------------------------------------------------------------------------------------------------------

    def _settle_in(self, name: str, stage: int, replica: int, **changes: Any) -> Home:
        peer = self.kernel.rng.randbytes(32).hex()
        self._secrets[peer] = self.kernel.rng.randbytes(16)
        folder = self.folder / name
        folder.mkdir()
        place = partition(self.spec.model, self.spec.layout.stages)[stage] if stage >= 0 else self.spec.stage
        given = {"name": name, "replica": replica, "stage": place, "folder": str(folder), **changes}
        spec = dataclasses.replace(self.spec, tokens=lambda: CountingTokens(self.spec), **given)
        home = self.homes[peer] = Home(peer, spec, folder)
        return home

    def _start(self, home: Home, first: tuple[str, ...]) -> None:
        def shards(spec: ParticipantSpec, on_lost: Callable[[str], None], number: int) -> NumpyShardGroup:
            made = home.shards = NumpyShardGroup(
                spec,
                on_lost,
                random.Random(self.kernel.rng.getrandbits(64)),
                self.compute_s,
                lambda engine: self.contract.holds(home.participant, engine),
            )
            return made

        crypto = StubCrypto(self._secrets, home.peer)
        watcher = Watcher(home, self._seen)
        start(home, self.kernel, self.hub, crypto, first, shards, lambda spec, victim: watcher, self._ended)

    def named(self, name: str) -> Home:
        """The home of that participant."""
        return next(home for home in self.homes.values() if home.name == name)

    def up(self) -> list[Home]:
        """Homes whose process runs."""
        return [home for home in self.homes.values() if home.up]

    def arrive(self, name: str, **changes: Any) -> Home:
        """A newcomer without a stage joins through one of those that are here."""
        home = self._settle_in(name, -1, 0, **changes)
        self.say(home, "arrives")
        self._start(home, self._door())
        return home

    def _door(self) -> tuple[str, ...]:
        """The address of one participant that runs."""
        meshes = [home.node.mesh for home in self.up() if home.node is not None and home.node.mesh is not None]
        addresses = [mesh.core.record.addresses[0].removeprefix("tcp:") for mesh in meshes]
        return (self.kernel.rng.choice(addresses),) if addresses else ()

    # --- processes ---------------------------------------------------------------------------------------------------

    def crash(self, home: Home, *, machine: bool = False) -> None:
        """Its process is killed, or its whole machine is gone."""
        if home.condition in (Condition.CRASHED, Condition.DARK):
            return
        self._end(home, Condition.DARK if machine else Condition.CRASHED)
        self.say(home, "machine gone" if machine else "crash")

    def _end(self, home: Home, condition: Condition) -> None:
        assert home.loop is not None
        home.loop.kill()
        home.condition, home.since, home.dies_after = condition, self.now, 0
        if home.transport is not None:
            home.transport.vanish()
        home.node = home.transport = home.shards = None
        self._disturbed_at = self.now

    def _ended(self, home: Home) -> None:
        """The process ended by itself."""
        if home.up:
            self._end(home, Condition.CRASHED)
            home.gone = True
            self.say(home, "ends")

    def restart(self, home: Home, *, memory: bool = True, clock_off_s: float = 0.0) -> None:
        """A new process of the same identity. Without memory the disk is empty, and it gets an address to join by."""
        if home.condition not in (Condition.CRASHED, Condition.DARK) or home.gone:
            return
        home.clock_off_s = clock_off_s
        doors: tuple[str, ...] = ()
        if not memory:
            shutil.rmtree(home.folder)
            home.folder.mkdir()
            if (vote := self.contract.votes.pop(home.peer, None)) is not None:
                home.lost_lives.add(vote.life)
            doors = self._door()
        self.say(home, "restarts" if memory else "restarts without memory")
        self._disturbed_at = self.now
        self._start(home, doors)

    def pause(self, home: Home, seconds: float) -> None:
        """Its process stands still, and goes on later."""
        if home.up and home.loop is not None:
            home.condition = Condition.PAUSED
            home.loop.pause()
            self.say(home, f"pauses for {seconds:.1f} s")
            self.kernel.after(seconds, self._resume, home, home.loop)
            self.changed()

    def _resume(self, home: Home, loop: object) -> None:
        if home.loop is loop and home.condition is Condition.PAUSED and home.loop is not None:
            home.condition, home.since = Condition.UP, self.now
            self.say(home, "goes on")
            home.loop.resume()
            self.changed()

    def changed(self) -> None:
        """Something of the network changed: links look again."""
        self._disturbed_at = self.now
        self.hub.changed()

    def _seen(self, home: Home, effect: effects.Effect) -> None:
        participant = home.participant
        assert participant is not None
        if home.event != self.kernel.events:
            home.event, home.done = self.kernel.events, 0
        if home.dies_after and home.done >= home.dies_after:
            self.reached["death between effects"] += 1
            self.crash(home)
            if home.dies_then is not None:
                home.dies_then()
            return
        home.done += 1
        self.watch(home, effect)
        self.contract.before(home.peer, effect, participant)

    # --- time --------------------------------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        """Seconds since the beginning."""
        return self.kernel.now

    def run(self, seconds: float) -> None:
        """Let so much time pass. Raises Violation."""
        self.until(lambda: False, seconds, must=False)

    def until(self, condition: Callable[[], bool], seconds: float, what: str = "", *, must: bool = True) -> bool:
        """Let time pass until something is so, for so long at most.

        Raises Violation when the contract breaks; and, with `must`, when it does not come true.
        """
        end = self.now + seconds
        while self.now < end and not condition():
            self.kernel.run(min(end, self.now + SLICE_S))
            self.look()
        if must and not condition():
            raise self.violation(f"waited {seconds:.0f} s for {what or 'something'}")
        return condition()

    def look(self) -> None:
        """Raise Violation for whatever is wrong."""
        for home in self.homes.values():
            if home.errors:
                raise self.violation(f"{home.name}: {home.errors[0]}")
            node = home.node
            if home.up and node is not None and node.failure and not self.may_end:
                raise self.violation(f"{home.name} gave up: {node.failure}")
            participant = home.participant
            if home.up and participant is not None:
                self._look_at_view(participant)
                self._look_at_vote(home, participant)
        if self.problems:
            raise self.violation(self.problems[0])

    def _look_at_view(self, participant: Participant) -> None:
        """What gossip knows reaches the committed view: the dead lose their vote."""
        context = participant.context
        if not participant.started or participant.finished or not participant.inside or participant.paused:
            return
        for member in context.view.members:
            home = self.homes[member.peer_id]
            patience = KNOWN_S.get(home.condition)
            if patience is None or self.now - home.since < patience or self.now - self._disturbed_at < patience:
                continue
            if context.now - context.decided_at < self.now - home.since - patience:  # decided something since
                raise self.violation(f"{home.name} is gone for {self.now - home.since:.0f} s, and has a vote still")

    def _look_at_vote(self, home: Home, participant: Participant) -> None:
        """Who is back, and left alone, gets its vote back: what gossip knows of the living reaches the view, too."""
        if participant.inside:
            self._voted[home.peer] = self.now
        quiet = self.now - max(home.since, self._disturbed_at, self._voted.get(home.peer, 0.0))  # it may have moved
        if participant.inside or home.peer not in self._voted or participant.context.leaving or quiet < BACK_S:
            return
        newest = max(self.contract.decisions, default=-1)
        if self.contract.decided_at.get(newest, 0.0) > self.now - quiet + BACK_S / 2 and not participant.finished:
            raise self.violation(f"{home.name} runs undisturbed for {quiet:.0f} s, and has no vote")

    @property
    def finished(self) -> bool:
        """Whether the run is over for all that are here. One that comes back when all others have gone waits."""
        over = not self.contract.missing()
        nodes = [home.node for home in self.homes.values() if home.condition in (Condition.UP, Condition.PAUSED)]
        if not nodes:
            return over
        return all(node and (node.phase() in ("finished", "left") or (over and node.alone)) for node in nodes)

    @property
    def majority_lost(self) -> bool:
        """Whether so many votes are lost with their disks or machines that the newest view can decide nothing more."""
        if not self.contract.decisions:
            return False
        view = self.contract.decisions[max(self.contract.decisions)].view
        homes = [(member, self.homes[member.peer_id]) for member in view.members]
        left = [m for m, home in homes if m.life not in home.lost_lives and not home.gone and not _reborn(home, m.life)]
        return view.number > 0 and len(left) < view.quorum

    def settle(self, seconds: float) -> str:
        """Let the run come to its end. Returns why that is impossible, empty when it is there. Raises Violation."""
        self.until(lambda: self.finished or self.majority_lost, seconds, "the end of the run")
        if not self.finished:
            return "majority lost"
        if missing := self.contract.missing():
            raise self.violation(f"steps {missing} were never committed")
        for home in self.up():
            engine = home.shards.engine if home.shards is not None else None
            if engine is not None and engine.commit == self.spec.train.steps:
                self.contract.holds(home.participant, engine)
        self.look()
        return ""

    def say(self, home: Home, what: Any) -> None:
        """A line for the trace."""
        if self.trace is not None:
            self.trace.add(self.now, home.name, what)

    def violation(self, what: str) -> Violation:
        """Something does not hold."""
        return Violation(self.seed, what, self.trace or Trace())
