"""A participant without Ray: drives the step protocol with real links, real shards and the real clock."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from actors.admission import Admission
from actors.membership.roster import Member, Roster
from actors.records import CommitRecord, Event, LinkStatus, MeshStatus, ParticipantStatus, Traffic
from actors.shards import Built, ShardGroup, ShardLostError
from actors.spec import ParticipantSpec, step_setup
from actors.steps import events
from actors.steps.events import JobKind, Payload, TokensOf
from actors.steps.messages import Purpose
from actors.steps.participant import Participant
from actors.tokens import TokenSource
from actors.transport.base import Array, Peer, TensorSpec, Transport
from actors.transport.deadline import Deadline
from actors.transport.errors import LinkError
from sharding.partition import partition, share, stage_parameters

log = logging.getLogger("tessera.node")
SEND_S = 120.0
"""A message that cannot even be queued for this long is a fault of the link."""


class Node:
    """One participant: transport below, protocol in the middle, shards beside it.

    Implements `TransportEvents`. Not thread-safe: everything runs in one event loop.
    """

    def __init__(self, spec: ParticipantSpec, make_transport: Callable[[Node], Transport]) -> None:
        self.spec = spec
        self.transport = make_transport(self)
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

    # Life

    async def start(self, roster: Roster, shards: ShardGroup) -> None:
        """Link to the members, build the shards, open the corpus, take part."""
        self._roster, self._shards = roster, shards
        me = roster.member(self.transport.peer_id)
        if me is None:
            raise ValueError(f"{self.spec.name} is not in the roster: start it with the bundle it was invited with")
        self._participant = Participant(step_setup(self.spec), roster, me, self._traffic)
        self._admission.open(roster)
        self.transport.set_members({m.peer_id: Peer(m.peer_id, m.name, m.address) for m in roster.members})
        self._spawn(self._prepare())
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
        self.handle(events.LocalFailure(reason))

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
            case events.Note(kind, detail):
                self.note(kind, detail)
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
        return self._participant.failed if self._participant else ""

    def phase(self) -> str:
        """starting, training, finished or failed."""
        participant = self._participant
        if participant is None:
            return "starting"
        if participant.failed:
            return "failed"
        if participant.finished:
            return "finished"
        return "training" if len(participant.ready) == len(self._roster.members) else "starting"

    def status(self) -> MeshStatus:
        """The whole run as this participant sees it."""
        participant = self._participant
        return MeshStatus(
            run_id=self.spec.run_id,
            phase=self.phase(),
            step=participant.step if participant else 0,
            total_steps=self.spec.train.steps,
            commit=participant.commit if participant else 0,
            observer=self.spec.name,
            failure=self.failure,
            participants=tuple(self._describe(member) for member in self._roster.members),
            links=tuple(
                LinkStatus(
                    link.name,
                    link.up,
                    None if link.rtt_s is None else link.rtt_s * 1000,
                    link.sent_bytes,
                    link.received_bytes,
                )
                for link in self.transport.links()
            ),
            events=tuple(event for _, event in list(self.events)[-20:]),
            refused=self.transport.refused,
        )

    def _describe(self, member: Member) -> ParticipantStatus:
        assert self._participant is not None
        stage = partition(self.spec.model, self.spec.layout.stages)[member.stage]
        ready = self._participant.ready.get(member.peer_id)
        speed = self.records[-1].throughput.get(member.name, 0.0) if self.records else 0.0
        alive = member.peer_id in self._up or member.peer_id == self.transport.peer_id
        return ParticipantStatus(
            name=member.name,
            stage=member.stage,
            state=("active" if alive else "dead") if ready else "joining",
            first_layer=stage.first_layer,
            last_layer=stage.last_layer,
            embedding=stage.embedding,
            head=stage.head,
            parameters=stage_parameters(self.spec.model, stage),
            share=share(self.spec.model, stage),
            tokens_per_s=speed,
            address=member.address,
            data_ok=ready.data_ok if ready else True,
        )
