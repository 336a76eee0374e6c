"""A participant without Ray: drives the mesh and the step protocol with real links, real shards and the real clock."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from actors.admission import Admission
from actors.membership.profile import MEMBERSHIP_PROFILES
from actors.membership.roster import Roster
from actors.membership.statements import Card, Notary, State
from actors.membership.view import complete, missing
from actors.mesh import GossipLinks, Mesh
from actors.node_status import describe_run
from actors.records import CommitRecord, Event, MeshStatus, Traffic
from actors.shards import Built, ShardGroup, ShardLostError
from actors.spec import ParticipantSpec, step_setup
from actors.steps import events
from actors.steps.events import JobKind, Payload, TokensOf
from actors.steps.messages import Purpose
from actors.steps.participant import Participant
from actors.tokens import TokenSource
from actors.transport.base import Array, Peer, TensorSpec, Transport
from actors.transport.credentials import RunCrypto
from actors.transport.deadline import Deadline
from actors.transport.errors import LinkError
from actors.transport.messages import SOFTWARE

log = logging.getLogger("tessera.node")
SEND_S = 120.0
"""A message that cannot even be queued for this long is a fault of the link."""
GATHER_S = {"local": 180.0, "lan": 600.0, "wan": 3600.0}
"""The run's participants have so long to find each other, by network profile: the slowest start of a whole run."""
THROUGHPUT_S, THROUGHPUT_SHARE = 30.0, 0.2
"""The measured speed is told to the mesh at most this often, and when it changed by this share."""


class MeshTransport(Transport, Protocol):
    """A transport that carries gossip, too."""

    @property
    def gossip(self) -> GossipLinks:
        """Links of the mesh."""


class Node:
    """One participant: transport below, protocol in the middle, shards beside it.

    Implements `TransportEvents` and `GossipEvents`. Not thread-safe: everything runs in one event loop.
    """

    def __init__(self, spec: ParticipantSpec, make_transport: Callable[[Node], MeshTransport]) -> None:
        self.spec = spec
        self.transport = make_transport(self)
        self.mesh: Mesh | None = None
        self.records: list[CommitRecord] = []
        self.events: deque[tuple[int, Event]] = deque(maxlen=512)
        self._event_count = 0
        self._participant: Participant | None = None
        self._roster = Roster(())
        self._shards: ShardGroup | None = None
        self._tokens: TokenSource | None = None
        self._built: Built | None = None
        self._admission = Admission(spec)
        self._outgoing: dict[tuple[str, bool], asyncio.Queue[tuple[object, Payload]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._reported = Traffic()
        self._up: set[str] = set()
        self._early: list[events.Event] = []
        self.ended_at: float | None = None
        self._failure = ""
        self._throughput_at = -THROUGHPUT_S

    # Life

    async def start(self, address: str, crypto: RunCrypto, first: tuple[str, ...], shards: ShardGroup) -> None:
        """Find the mesh through the first addresses (host:port each), build the shards, open the corpus, take part."""
        spec = self.spec
        self._shards = shards
        self.mesh = Mesh(
            Card(self.transport.peer_id, spec.name, spec.stage.index, (f"tcp:{address}",), version=SOFTWARE),
            Notary(spec.run_id, crypto, crypto.credential),
            MEMBERSHIP_PROFILES[spec.profile],
            self.transport.gossip,
            Path(spec.folder) if spec.folder else None,
            self._view_changed,
            self.note,
        )
        self.mesh.join(tuple(f"tcp:{one}" for one in first if one != address))
        self._spawn(self._gather())
        self._spawn(self._prepare())

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
            self._ended(f"{self.spec.name} did not find the whole run within {patience:.0f} s: {lack}")
            return
        members = [member for member in self.mesh.view.members if member.stage >= 0]
        self._begin(Roster(members))

    def _begin(self, roster: Roster) -> None:
        me = roster.member(self.transport.peer_id)
        assert me is not None, "the own record is always in the view"
        self._roster = roster
        self._participant = Participant(step_setup(self.spec), roster, me, self._traffic)
        self._admission.open(roster)
        self.transport.set_members({m.peer_id: Peer(m.peer_id, m.name, m.address) for m in roster.members})
        early, self._early = self._early, []
        for event in early:
            self.handle(event)
        self._spawn(self._keep_time())

    async def _prepare(self) -> None:
        assert self._shards is not None
        try:
            self._tokens = await asyncio.to_thread(self.spec.tokens)
            data_ok = self._tokens.fingerprint == self.spec.fingerprint
        except ValueError as error:
            self.note("data", f"{self.spec.name} cannot read the corpus: {error}")
            data_ok = False
        self._built = await self._shards.build()
        self._admission.gradient_length = sum(self._built.gradient_lengths)
        if self.mesh is not None:
            self.mesh.update(state=State.ACTIVE)
        self.handle(events.LocalReady(self._built.parameter_hash, self._built.parameters, data_ok))

    async def _keep_time(self) -> None:
        while self.ended_at is None:
            assert self._participant is not None
            deadline = self._participant.next_deadline()
            now = time.monotonic()
            await asyncio.sleep(0.5 if deadline is None else min(0.5, max(0.01, deadline - now)))
            self.handle(events.Tick())

    async def close(self) -> None:
        """Release links and shards."""
        if self.mesh is not None:
            await self.mesh.leave()
        for task in list(self._tasks):
            task.cancel()
        if self._shards is not None:
            self._shards.close()
        await self.transport.close()

    def _spawn(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            error = task.exception()
            if isinstance(error, ShardLostError):
                self.fail(str(error))
                return
            log.error("%s: %s", self.spec.name, error, exc_info=error)
            self.fail(f"{self.spec.name} (stage {self.spec.stage.index}) failed: {type(error).__name__}: {error}")

    # Protocol

    def handle(self, event: events.Event) -> None:
        """Give an event to the protocol and do what it wants."""
        if self._participant is None:
            self._early.append(event)
            return
        for effect in self._participant.handle(time.monotonic(), event):
            self._do(effect)

    def fail(self, reason: str) -> None:
        """End the run because something of our own broke."""
        if self._participant is None:
            self._ended(reason)
        self.handle(events.LocalFailure(reason))

    def _ended(self, reason: str) -> None:
        """The run is over here before it began."""
        self._failure = reason
        self.note("failed", reason)
        self.ended_at = time.monotonic()

    def _do(self, effect: events.Effect) -> None:
        match effect:
            case events.Send(to, message, payload):
                self._enqueue(to, message, payload)
            case events.Compute(job):
                self._spawn(self._compute(job, self._submit(job)))
            case events.ExportGradient(step):
                self._spawn(self._export(step))
            case events.ApplyUpdate(step, average, clip_factor):
                self._spawn(self._apply(step, average, clip_factor))
            case events.Committed(record):
                self.records.append(record)
                self._tell_throughput(record.throughput.get(self.spec.name, 0.0))
            case events.Note(kind, detail):
                self.note(kind, detail)
            case events.Doubt(peer, reason):
                if self.mesh is not None:
                    self.mesh.hint(peer, reason)
            case events.Failed(reason):
                self.note("failed", reason)
                self.ended_at = time.monotonic()
            case events.Finished():
                self.note("finished", f"{self.spec.name} has the closing decision")
                self.ended_at = time.monotonic()

    def _submit(self, job: events.Job) -> Any:
        assert self._shards is not None
        tensors = self._resolve(job.payload)
        labels = None
        if job.kind in (JobKind.LOSS, JobKind.EVALUATE):
            labels = np.ascontiguousarray(self._sample(job.step, job.index, job.purpose)[:, 1:])
        index = job.index if job.purpose is Purpose.TRAIN else -1 - job.index
        return self._shards.run(job.kind, (job.step, index), tensors, labels)

    async def _compute(self, job: events.Job, running: Any) -> None:
        outcome = await running
        self.handle(events.Computed(job, outcome.tensors, outcome.loss, outcome.seconds))

    async def _export(self, step: int) -> None:
        assert self._shards is not None
        self.handle(events.GradientExported(step, await self._shards.export_gradient()))

    async def _apply(self, step: int, average: Array, clip_factor: float) -> None:
        assert self._shards is not None
        self.handle(events.Applied(step, await self._shards.apply(average, clip_factor, step)))

    def _resolve(self, payload: Payload) -> tuple[Array, ...]:
        if isinstance(payload, TokensOf):
            sample = self._sample(payload.step, payload.index, payload.purpose)
            return (np.ascontiguousarray(sample[:, :-1]),)
        return payload

    def _sample(self, step: int, index: int, purpose: Purpose) -> Array:
        assert self._tokens is not None, "only participants with the run's corpus are asked for tokens"
        return self._tokens.microbatch(step, index) if purpose is Purpose.TRAIN else self._tokens.validation(index)

    # Sending: one queue a peer and lane, so that a plan never waits behind a tensor

    def _enqueue(self, to: str, message: object, payload: Payload) -> None:
        bulk = isinstance(payload, TokensOf) or len(payload) > 0
        queue = self._outgoing.get((to, bulk))
        if queue is None:
            queue = self._outgoing[(to, bulk)] = asyncio.Queue(maxsize=65536)
            self._spawn(self._drain(to, queue))
        try:
            queue.put_nowait((message, payload))
        except asyncio.QueueFull:
            self.fail(f"{self.spec.name} has 65536 messages waiting for {self._name(to)}: the link is too slow")

    async def _drain(self, to: str, queue: asyncio.Queue[tuple[object, Payload]]) -> None:
        while True:
            message, payload = await queue.get()
            try:
                await self.transport.send(to, message, self._resolve(payload), deadline=Deadline.after(SEND_S))
            except LinkError as error:
                if self.ended_at is None:
                    self.handle(events.PeerLost(to, str(error)))

    # The mesh

    def _view_changed(self, peer_id: str, what: str) -> None:
        """Whoever is dead or left does not come back into this run's roster."""
        if what not in ("dead", "left") or self._participant is None or self._roster.member(peer_id) is None:
            return
        assert self.mesh is not None
        gone = self.mesh.core.gone[peer_id]
        if gone.accusation is None:
            why = "it left the mesh"
        else:
            why = f"the mesh holds it dead ({gone.accusation.evidence.name.lower()})"
        self.handle(events.PeerLost(peer_id, why))

    def _tell_throughput(self, speed: float) -> None:
        mesh, now = self.mesh, time.monotonic()
        if mesh is None or now - self._throughput_at < THROUGHPUT_S:
            return
        if abs(speed - mesh.core.record.throughput) > THROUGHPUT_SHARE * mesh.core.record.throughput:
            self._throughput_at = now
            mesh.update(throughput=speed)

    def on_gossip(self, peer_id: str, data: bytes) -> None:
        """A message of a member's core."""
        if self.mesh is not None:
            self.mesh.on_gossip(peer_id, data)

    def on_gossip_broken(self, peer_id: str) -> None:
        """A gossip link ended, not on purpose."""
        if self.mesh is not None:
            self.mesh.on_gossip_broken(peer_id)

    def on_gossip_unreachable(self, peer_id: str, address: str, refused: bool) -> None:
        """A gossip link did not form."""
        if self.mesh is not None:
            self.mesh.on_gossip_unreachable(peer_id, address, refused)

    # TransportEvents

    def on_message(self, peer_id: str, message: object, tensors: tuple[Array, ...]) -> None:
        """A message of a member."""
        self.handle(events.Received(peer_id, message, tensors))

    def on_peer_up(self, peer_id: str) -> None:
        """The link to a member stands."""
        self._up.add(peer_id)
        self.handle(events.PeerUp(peer_id))

    def on_peer_down(self, peer_id: str, reason: str) -> None:
        """The link to a member is lost."""
        self._up.discard(peer_id)
        if self.mesh is not None:
            self.mesh.hint(peer_id, f"its link is lost: {reason}")
        self.handle(events.PeerLost(peer_id, reason))

    def admit(self, peer_id: str, message: object, specs: tuple[TensorSpec, ...]) -> str | None:
        """Why these tensors are not expected, or None."""
        step = self._participant.step if self._participant else 0
        return self._admission.check(peer_id, message, specs, step)

    def on_refused(self, reason: str, detail: str) -> None:
        """Something was refused and changed nothing."""
        self.note("refused", f"{reason}: {detail}")

    # Telling

    def note(self, kind: str, detail: str) -> None:
        """Keep an event for whoever asks."""
        self._event_count += 1
        self.events.append((self._event_count, Event(time.time(), kind, self.spec.name, detail)))

    def _name(self, peer: str) -> str:
        member = self._roster.member(peer)
        return member.name if member else peer[:12]

    def _traffic(self) -> Traffic:
        sent, before = self.transport.sent, self._reported
        boundary = {number: total for number, total in sent.boundary.items() if number >= 0}
        tokens = sum(total for number, total in sent.boundary.items() if number < 0)
        self._reported = Traffic(boundary, sent.averaging, sent.control + tokens)
        return Traffic(
            {number: total - before.boundary.get(number, 0) for number, total in boundary.items()},
            sent.averaging - before.averaging,
            sent.control + tokens - before.control,
        )

    @property
    def failure(self) -> str:
        """Why the run failed here; empty otherwise."""
        return self._failure or (self._participant.failed if self._participant else "")

    def phase(self) -> str:
        """starting, training, finished or failed."""
        participant = self._participant
        if participant is None:
            return "failed" if self._failure else "starting"
        if participant.failed:
            return "failed"
        if participant.finished:
            return "finished"
        return "training" if len(participant.ready) == len(self._roster.members) else "starting"

    def status(self) -> MeshStatus:
        """The whole run as this participant sees it."""
        return describe_run(self, self._participant)
