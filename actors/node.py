"""A participant without Ray: drives the mesh and the step protocol with real links, real shards and the real clock.

Events come together here, those of the transport through `Arrivals`, and go to the protocol. What it wants is done by
`Executor`: `Peers` has the links, `Workshop` the shards, `StableStorage` what outlives the process, `Journal` what a
person is told.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import psutil

from actors.admission import Admission
from actors.arrivals import Arrivals
from actors.checkpointing import Checkpointing
from actors.clock import SYSTEM_CLOCK, Clock
from actors.executor import Executor
from actors.faults.inject import Faults, Victim, injector_for
from actors.journal import Journal
from actors.membership.profile import MEMBERSHIP_PROFILES
from actors.membership.statements import Card, Crypto, Notary, State
from actors.membership.view import complete, missing
from actors.mesh import Mesh
from actors.node_status import describe_run
from actors.peers import MeshTransport, Peers
from actors.records import MeshStatus
from actors.spec import ParticipantSpec, step_setup
from actors.stable_storage import StableStorage
from actors.steps import events
from actors.steps.ballots import Dismiss, dismissal
from actors.steps.participant import Participant
from actors.steps.view import Voter
from actors.steps.vote import Vote
from actors.transport.messages import SOFTWARE
from actors.workshop import MakeShards, Workshop

log = logging.getLogger("tessera.node")
GATHER_S = {"local": 180.0, "lan": 600.0, "wan": 3600.0}
"""The run's participants have so long to find each other, by network profile: the slowest start of a whole run."""
STALLED_S = 1.0
"""A timer that rings so late says that this process did not run."""


class NodeCrypto(Crypto, Protocol):
    """Signatures of one identity in its run."""

    @property
    def credential(self) -> bytes:
        """The certificate of this identity."""

    def owner_signed(self, body: bytes, signature: bytes) -> bool:
        """Whether the run's owner signed `body`."""


class Node:
    """One participant: transport below, protocol in the middle, shards beside it.

    Implements `Victim`. Not thread-safe: everything runs in one event loop.

    Args:
        spec: the participant.
        make_transport: makes a transport that tells `Arrivals` what it hears, of gossip, too.
        clock: of the process; its monotonic clock is that of the event loop.
        rng: chooses whom the mesh probes and tells; None: seeded by the system.
        make_faults: makes what watches this participant's effects and injects faults; it may return None.
    """

    def __init__(
        self,
        spec: ParticipantSpec,
        make_transport: Callable[[Arrivals], MeshTransport],
        clock: Clock = SYSTEM_CLOCK,
        rng: random.Random | None = None,
        make_faults: Callable[[ParticipantSpec, Victim], Faults | None] = injector_for,
    ) -> None:
        self.spec = spec
        self._clock, self._rng = clock, rng
        self.journal = Journal(spec.name, clock)
        self._admission = Admission(spec, self._stage_of)
        self._arrivals = Arrivals(self._admission, self._stamp, self.handle, self.journal.note)
        self.transport = make_transport(self._arrivals)
        self.mesh: Mesh | None = None
        self.workshop: Workshop | None = None
        folder = Path(spec.folder) if spec.folder else None
        self._storage = StableStorage(folder, spec.run_id, spec.name, self.journal.note)
        self._faults = make_faults(spec, self)
        self._peers: Peers | None = None
        self._participant: Participant | None = None
        self._executor: Executor | None = None
        self._vote: Vote | None = None
        """Of an earlier process."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._early: list[events.Event] = []
        """For the protocol, once the run has begun."""
        self._memory = 0 if spec.gpus else psutil.virtual_memory().available
        """Bytes for a stage; of a GPU's memory nothing is known without torch."""

    # Life

    async def start(
        self,
        address: str,
        crypto: NodeCrypto,
        first: tuple[str, ...],
        make_shards: MakeShards,
    ) -> None:
        """Find the mesh through the first addresses (host:port each), build the shards, open the corpus, take part."""
        spec = self.spec
        vote = self._vote = self._storage.vote()
        if vote is not None and (stages := vote.decision.assigned.get(self.transport.peer_id)):
            spec = self.spec = spec.serving(stages[-1])
            self._admission.serve(spec)
        workshop = self.workshop = Workshop(spec, make_shards, self._local, self.fail, self.journal.note)
        mesh = self.mesh = Mesh(
            Card(
                self.transport.peer_id,
                spec.name,
                spec.stage.index,
                (f"tcp:{address}",),
                capacity=self._memory,
                version=SOFTWARE,
            ),
            Notary(spec.run_id, crypto, crypto.credential),
            MEMBERSHIP_PROFILES[spec.profile],
            self.transport.gossip,
            Path(spec.folder) if spec.folder else None,
            self._view_changed,
            self.journal.note,
            self._clock,
            self._rng,
        )
        self._peers = Peers(mesh, self.transport, workshop.resolve, self._spawn, self.handle)
        self._arrivals.connect(mesh, self._peers)
        self._crypto = crypto
        mesh.join(tuple(f"tcp:{one}" for one in first if one != address))
        self._spawn(self._prepare())
        if self._storage.began:
            self.journal.note("restart", f"{spec.name} is back with a new process and joins the run")
            self._begin(())
        elif spec.stage.index < 0:
            self.journal.note("joining", f"{spec.name} joins the run and asks for a stage")
            self._begin(())
        else:
            self._spawn(self._gather())

    async def _gather(self) -> None:
        """Wait until every stage has its replicas; then link to them and begin."""
        assert self.mesh is not None
        layout, patience = self.spec.layout, GATHER_S[self.spec.profile]
        try:
            async with asyncio.timeout(patience):
                while not complete(self.mesh.core, layout.stages, layout.replicas):
                    self.mesh.changed.clear()
                    await self.mesh.changed.wait()
        except TimeoutError:
            lack = missing(self.mesh.core, layout.stages, layout.replicas)
            self.journal.never_began(f"{self.spec.name} did not find the whole run within {patience:.0f} s: {lack}")
            return
        members = [member for member in self.mesh.view.members if member.stage >= 0]
        self._begin(tuple(Voter(member.peer_id, 0, member.name, member.stage) for member in members))

    def _begin(self, members: tuple[Voter, ...]) -> None:
        assert self.mesh is not None and self._peers is not None and self.workshop is not None
        spec, peers, now = self.spec, self._peers, self._clock.monotonic()
        vote = self._vote
        life = vote.life if vote is not None else self.mesh.life
        me = Voter(self.transport.peer_id, life, spec.name, spec.stage.index)
        participant = self._participant = Participant(
            step_setup(spec), me, members, peers.traffic, now, self._owner_signed, self._memory, vote, spec.spare
        )
        checkpointing = Checkpointing(spec, participant, self.handle, self.journal.note)
        executor = self._executor = Executor(
            self.mesh, peers, self.workshop, self._storage, checkpointing, self.journal, self._serve, self._spawn
        )
        peers.begin()
        early, self._early = self._early, []
        for event in early:
            self.handle(event)
        for effect in participant.handle(now, events.Tick()):
            executor.do(effect)
        self._spawn(self._keep_time())

    async def _prepare(self) -> None:
        assert self.workshop is not None
        wrong = await self.workshop.open()
        if wrong:
            self.journal.note("data", wrong)
        if self.spec.stage.index >= 0:
            self.workshop.start()

    def _local(self, event: events.Event) -> None:
        """What the shards say."""
        if isinstance(event, events.LocalReady):
            if self.mesh is not None and self.mesh.core.record.state is State.JOINING:
                self.mesh.update(state=State.ACTIVE)
            self._admission.gradient_length = event.gradient_length
            self._admission.state_length = event.state_length
        self.handle(event)

    async def _keep_time(self) -> None:
        while self.journal.ended_at is None or not self.failure:
            assert self._participant is not None
            deadline = self._participant.next_deadline()
            now = self._clock.monotonic()
            pause = 0.5 if deadline is None else min(0.5, max(0.01, deadline - now))
            await asyncio.sleep(pause)
            late = self._clock.monotonic() - now - pause
            self.handle(events.Tick(late if late > STALLED_S else 0.0))

    async def close(self) -> None:
        """Release links and shards."""
        if self._faults is not None:
            self._faults.close()
        if self.mesh is not None:
            await self.mesh.leave()
        for task in list(self._tasks):
            task.cancel()
        if self.workshop is not None:
            self.workshop.close()
        await self.transport.close()

    def _spawn(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            error = task.exception()
            log.error("%s: %s", self.spec.name, error, exc_info=error)
            self.fail(f"{self.spec.name} (stage {self.spec.stage.index}) failed: {type(error).__name__}: {error}")

    # Protocol

    def handle(self, event: events.Event) -> None:
        """Give an event to the protocol and do what it wants."""
        if self._participant is None:
            self._early.append(event)
            return
        participant, executor = self._participant, self._executor
        assert executor is not None
        leads = participant.leads
        for effect in participant.handle(self._clock.monotonic(), event):
            if self._faults is not None:
                self._faults.before(effect, getattr(effect, "step", participant.step), leads=leads)
            executor.do(effect)
        if participant.started:
            self._storage.begin()
        if self._faults is not None and participant.context.workers and not participant.finished:
            self._faults.training()
            self._faults.step(participant.step, leads=participant.leads)

    def fail(self, reason: str) -> None:
        """End the run because something of our own broke for good."""
        if self._participant is None:
            self.journal.never_began(reason)
        self.handle(events.LocalFailure(reason))

    def stop(self, reason: str) -> None:
        """End the run because a person wants it."""
        if self._participant is None:
            self.journal.never_began(reason, stopped=True)
        self.handle(events.Stop(reason))

    def leave(self, reason: str) -> None:
        """Go when nothing is lost by it: a person, or the machine, wants it."""
        if self.mesh is not None and self.journal.ended_at is None:
            self.mesh.update(state=State.DRAINING)
        self.handle(events.Leave(reason))

    def dismiss(self, message: Dismiss) -> None:
        """Take the owner's word that votes are lost for good."""
        self.handle(events.Received(self.transport.peer_id, message))

    def _owner_signed(self, message: Dismiss) -> bool:
        body = dismissal(self.spec.run_id, message.view_number, message.voters)
        try:
            return self._crypto.owner_signed(body, bytes.fromhex(message.signature))
        except ValueError:
            return False

    def _serve(self, stage: int) -> None:
        """The mesh has given us a stage."""
        assert self.workshop is not None
        self.spec = self.spec.serving(stage)
        self._admission.serve(self.spec)
        if self.mesh is not None:
            self.mesh.update(stage=stage)
        layers = f"layers {self.spec.stage.first_layer} to {self.spec.stage.last_layer - 1}"
        self.journal.note("serves", f"{self.spec.name} serves stage {stage} ({layers}) from now on")
        self.workshop.serve(self.spec)

    def _view_changed(self, peer_id: str, what: str) -> None:
        if self._peers is not None:
            self._peers.view_changed(peer_id)

    def _stage_of(self, peer_id: str) -> int | None:
        return self._peers.stage_of(peer_id) if self._peers is not None else None

    def _stamp(self) -> int:
        return self._participant.context.stamp if self._participant is not None else 0

    # Victim

    def shard_processes(self) -> list[int]:
        """Process ids of the own shards."""
        return self.workshop.processes if self.workshop is not None else []

    def slow_down(self, factor: float, seconds: float) -> None:
        """Let the own shards take so many times the time."""
        if self.workshop is not None:
            self.workshop.slow_down(factor, seconds)

    def cut_off(self, keep: Callable[[str, int, int], bool] | None, *, both: bool) -> None:
        """Cut the links to all but those whose (name, stage, replica) are kept; None heals."""
        kept = None if keep is None else {name for name, *place in self.spec.places if keep(name, *place)}
        if self._peers is not None:
            self._peers.cut_off(kept, both=both)

    # Telling

    @property
    def failure(self) -> str:
        """Why the run failed here; empty otherwise."""
        return self.journal.failure(self._participant)

    def phase(self) -> str:
        """How far the run has got here; see `Journal.phase`."""
        return self.journal.phase(self._participant)

    @property
    def participant(self) -> Participant | None:
        """The protocol's state; None before the run began here."""
        return self._participant

    @property
    def alone(self) -> bool:
        """Whether no participant that serves a stage of the run can be reached."""
        return self._peers is None or self._peers.alone

    @property
    def joining(self) -> bool:
        """Whether this process has not got into its run yet."""
        participant = self._participant
        return participant is not None and not participant.inside and not participant.finished

    @property
    def writes(self) -> bool:
        """Whether this participant keeps the report when no driver does."""
        participant = self._participant
        if participant is None:
            return False
        view = participant.context.view.members
        here = [member.peer_id for member in view if member.peer_id in participant.context.usable]
        return bool(here) and here[0] == self.transport.peer_id

    def status(self) -> MeshStatus:
        """The whole run as this participant sees it."""
        return describe_run(self, self._participant)
