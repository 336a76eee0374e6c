"""A participant without Ray: drives the mesh and the step protocol with real links, real shards and the real clock."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import psutil

from actors.admission import Admission
from actors.faults.inject import injector_for
from actors.manifest import commit_checkpoint, whole_checkpoints
from actors.membership.profile import MEMBERSHIP_PROFILES
from actors.membership.statements import Card, Notary, State
from actors.membership.view import complete, missing
from actors.mesh import GossipLinks, Mesh
from actors.node_status import describe_run
from actors.outgoing import Outgoing
from actors.records import CommitRecord, Event, MeshStatus, Traffic
from actors.spec import ParticipantSpec, step_setup
from actors.steps import events
from actors.steps.ballots import Dismiss, dismissal
from actors.steps.participant import Participant
from actors.steps.view import Voter
from actors.steps.vote import Vote
from actors.transport.base import Array, Peer, TensorSpec, Transport
from actors.transport.credentials import RunCrypto
from actors.transport.messages import SOFTWARE
from actors.vote_file import StaleVoteError, VoteFile
from actors.workshop import MakeShards, Workshop

log = logging.getLogger("tessera.node")
GATHER_S = {"local": 180.0, "lan": 600.0, "wan": 3600.0}
"""The run's participants have so long to find each other, by network profile: the slowest start of a whole run."""
THROUGHPUT_S, THROUGHPUT_SHARE = 30.0, 0.2
"""The measured speed is told to the mesh at most this often, and when it changed by this share."""
RECORDS = 8192
"""Newest commit records kept."""
STALLED_S = 1.0
"""A timer that rings so late says that this process did not run."""
VOTE = "vote"
"""File in the participant's folder: what it has promised and accepted."""
BEGAN = "began"
"""File in the participant's folder: the run has begun, so a new process must join it and not begin another."""


class MeshTransport(Transport, Protocol):
    """A transport that carries gossip, too."""

    @property
    def gossip(self) -> GossipLinks:
        """Links of the mesh."""

    def nobody_listens(self, peer_id: str, address: str) -> None:
        """Gossip was refused at the peer's address: what is broken there is lost at once."""

    def block(self, peers: set[str], *, incoming: bool = True) -> None:
        """Fault injection: nothing passes to (and from) these peers any more; an empty set heals."""


class Node:
    """One participant: transport below, protocol in the middle, shards beside it.

    Implements `TransportEvents` and `GossipEvents`. Not thread-safe: everything runs in one event loop.
    """

    def __init__(self, spec: ParticipantSpec, make_transport: Callable[[Node], MeshTransport]) -> None:
        self.spec = spec
        self.transport = make_transport(self)
        self.mesh: Mesh | None = None
        self.records: deque[CommitRecord] = deque(maxlen=RECORDS)
        self.events: deque[tuple[int, Event]] = deque(maxlen=2048)
        self.workshop: Workshop | None = None
        self._event_count = 0
        self._participant: Participant | None = None
        self._admission = Admission(spec, self._stage_of)
        self._faults = injector_for(spec, self)
        self._outgoing: Outgoing | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._reported = Traffic()
        self._up: set[str] = set()
        self._peers: dict[str, Peer] = {}
        self._early: list[events.Event] = []
        self.ended_at: float | None = None
        self._failure = ""
        self.stopped = self.left = False
        self._throughput_at = -THROUGHPUT_S
        self._vote: Vote | None = None
        self._mute = False
        """Nothing that follows on a vote may be said: it is not on disk, and an older one is."""
        self._memory = 0 if spec.gpus else psutil.virtual_memory().available
        """Bytes for a stage; of a GPU's memory nothing is known without torch."""

    # Life

    async def start(
        self,
        address: str,
        crypto: RunCrypto,
        first: tuple[str, ...],
        make_shards: MakeShards,
    ) -> None:
        """Find the mesh through the first addresses (host:port each), build the shards, open the corpus, take part."""
        spec = self.spec
        vote = self._vote = self._earlier_vote()
        if vote is not None and (stages := vote.decision.assigned.get(self.transport.peer_id)):
            spec = self.spec = spec.serving(stages[-1])
            self._admission.serve(spec)
        workshop = self.workshop = Workshop(spec, make_shards, self._local, self.fail, self.note)
        self._outgoing = Outgoing(self.transport, workshop.resolve, self._spawn, self._not_sent)
        self.mesh = Mesh(
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
            self.note,
        )
        self._crypto = crypto
        self.mesh.join(tuple(f"tcp:{one}" for one in first if one != address))
        self._spawn(self._prepare())
        if self._began is not None and self._began.exists():
            self.note("restart", f"{spec.name} is back with a new process and joins the run")
            self._begin(())
        elif spec.stage.index < 0:
            self.note("joining", f"{spec.name} joins the run and asks for a stage")
            self._begin(())
        else:
            self._spawn(self._gather())

    def _earlier_vote(self) -> Vote | None:
        """What an earlier process of this participant had promised and accepted in this run."""
        file = self._vote_file
        return file.read() if file is not None and self._began is not None and self._began.exists() else None

    @property
    def _vote_file(self) -> VoteFile | None:
        return VoteFile(Path(self.spec.folder) / VOTE, self.spec.run_id) if self.spec.folder else None

    @property
    def _began(self) -> Path | None:
        return Path(self.spec.folder) / BEGAN if self.spec.folder else None

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
        self._begin(tuple(Voter(member.peer_id, 0, member.name, member.stage) for member in members))

    def _begin(self, members: tuple[Voter, ...]) -> None:
        assert self.mesh is not None
        spec, now = self.spec, time.monotonic()
        vote = self._vote
        life = vote.life if vote is not None else self.mesh.life
        me = Voter(self.transport.peer_id, life, spec.name, spec.stage.index)
        participant = self._participant = Participant(
            step_setup(spec), me, members, self._traffic, now, self._owner_signed, self._memory, vote, spec.spare
        )
        self._refresh_links()
        early, self._early = self._early, []
        for event in early:
            self.handle(event)
        for effect in participant.handle(now, events.Tick()):
            self._do(effect)
        self._spawn(self._keep_time())

    async def _prepare(self) -> None:
        assert self.workshop is not None
        wrong = await self.workshop.open()
        if wrong:
            self.note("data", wrong)
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
        while self.ended_at is None or not self.failure:
            assert self._participant is not None
            deadline = self._participant.next_deadline()
            now = time.monotonic()
            pause = 0.5 if deadline is None else min(0.5, max(0.01, deadline - now))
            await asyncio.sleep(pause)
            late = time.monotonic() - now - pause
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
        participant = self._participant
        leads, started = participant.leads, participant.started
        for effect in participant.handle(time.monotonic(), event):
            if self._faults is not None:
                self._faults.before(effect, getattr(effect, "step", participant.step), leads=leads)
            self._do(effect)
        if participant.started and not started and self._began is not None:
            self._began.touch(mode=0o600)
        if self._faults is not None and participant.context.workers and not participant.finished:
            self._faults.training()
            self._faults.step(participant.step, leads=participant.leads)

    def fail(self, reason: str) -> None:
        """End the run because something of our own broke for good."""
        if self._participant is None:
            self._ended(reason)
        self.handle(events.LocalFailure(reason))

    def stop(self, reason: str) -> None:
        """End the run because a person wants it."""
        if self._participant is None:
            self.stopped = True
            self._ended(reason)
        self.handle(events.Stop(reason))

    def leave(self, reason: str) -> None:
        """Go when nothing is lost by it: a person, or the machine, wants it."""
        if self.mesh is not None and self.ended_at is None:
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

    def _ended(self, reason: str) -> None:
        """The run is over here before it began."""
        self._failure = reason
        self.note("failed", reason)
        self.ended_at = time.monotonic()

    def _do(self, effect: events.Effect) -> None:
        assert self.workshop is not None and self._outgoing is not None
        match effect:
            case events.Send(to, message, payload):
                if to in self._up and not self._mute:
                    self._outgoing.put(to, message, payload)
            case events.Compute(job):
                self.workshop.compute(job)
            case events.KeepVote(vote):
                self._keep_vote(vote)
            case events.RestartShards(reason):
                self.workshop.restart(reason)
            case events.Serve(stage):
                self._serve(stage)
            case events.Departed(reason):
                self._departed(reason)
            case events.Committed(record):
                self.records.append(record)
                self._tell_throughput(record.throughput.get(self.spec.name, 0.0))
            case events.Note(kind, detail):
                self.note(kind, detail)
            case events.Doubt(peer, reason):
                if self.mesh is not None:
                    self.mesh.hint(peer, reason)
            case events.ListCheckpoints():
                self._spawn(self._list_checkpoints())
            case events.CommitCheckpoint():
                self._spawn(self._commit_checkpoint(effect))
            case events.Failed(reason, stopped):
                self.stopped = stopped
                self.note("stopped" if stopped else "failed", reason)
                self.ended_at = time.monotonic()
            case events.Finished():
                self.note("finished", f"{self.spec.name} has the closing decision")
                self.ended_at = time.monotonic()
            case _:
                self.workshop.do(effect)

    def _keep_vote(self, vote: Vote) -> None:
        """Before anybody hears of it. On a disk that takes nothing the vote is in memory only, and dies with it."""
        file = self._vote_file
        try:
            if file is not None:
                file.write(vote)
        except OSError as error:
            self.note("disk", f"the vote of {self.spec.name} cannot be kept: {error}")
        except StaleVoteError as error:  # whoever comes after us would give this vote again
            self._mute = True
            self.note("disk", f"{self.spec.name} says nothing any more: {error}. Free the disk and start it again")

    async def _list_checkpoints(self) -> None:
        try:
            found = await asyncio.to_thread(whole_checkpoints, self.spec.checkpoint.url)
        except Exception as error:
            self.note("checkpoint", str(error) or type(error).__name__)
            return
        self.handle(events.CheckpointsListed(found))

    async def _commit_checkpoint(self, effect: events.CommitCheckpoint) -> None:
        """Write the manifest, and clear away what is not kept."""
        place = (effect.history, effect.commit)
        participant = self._participant
        assert participant is not None
        about = {"slot": participant.context.decision.slot, "view": participant.context.view.number}
        try:
            said = await asyncio.to_thread(commit_checkpoint, self.spec, *place, effect.receipts, about)
        except Exception as error:  # whatever a store's library raises costs this checkpoint, and nothing else
            self.handle(events.SaveFailed(*place, str(error) or type(error).__name__))
            return
        self.note("checkpoint", said)
        self.handle(events.CheckpointCommitted(*place))

    def _serve(self, stage: int) -> None:
        """The mesh has given us a stage."""
        assert self.workshop is not None
        self.spec = self.spec.serving(stage)
        self._admission.serve(self.spec)
        if self.mesh is not None:
            self.mesh.update(stage=stage)
        layers = f"layers {self.spec.stage.first_layer} to {self.spec.stage.last_layer - 1}"
        self.note("serves", f"{self.spec.name} serves stage {stage} ({layers}) from now on")
        self.workshop.serve(self.spec)

    def _departed(self, reason: str) -> None:
        """We are out of the committed view: say goodbye to the mesh."""
        self.note("left", reason)
        if self._vote_file is not None:
            self._vote_file.forget()
        self.left = True
        self.ended_at = time.monotonic()
        self.transport.set_members({})
        if self.mesh is not None:
            self._spawn(self.mesh.leave())

    def _not_sent(self, peer: str, reason: str) -> None:
        """A link did not take a message; links tell by themselves when they are lost."""
        log.debug("%s: %s", peer[:8], reason)

    # The mesh

    def _view_changed(self, peer_id: str, what: str) -> None:
        """The mesh believes something new about a participant."""
        self._refresh_links()
        if self._participant is None or self.mesh is None:
            return
        gone = self.mesh.core.gone.get(peer_id)
        if gone is not None:
            accusation = gone.accusation
            evidence = "" if accusation is None else accusation.evidence.name.lower()
            why = f"the mesh holds it dead ({evidence})" if evidence else "it left the mesh"
            self._outgoing_drop(peer_id)
            self.handle(events.PeerLost(peer_id, why, gone=True, polite=not evidence))
        elif peer_id in self._up:
            self.handle(events.PeerUp(peer_id))

    def _outgoing_drop(self, peer_id: str) -> None:
        if self._outgoing is not None:
            self._outgoing.drop(peer_id)

    def _refresh_links(self) -> None:
        """Links to everybody in the view who serves a stage."""
        if self.mesh is None or self._participant is None or self.left:
            return
        peers = {m.peer_id: Peer(m.peer_id, m.name, m.address) for m in self.mesh.view.members if m.takes_part}
        before, self._peers = self._peers, peers
        self.transport.set_members(peers)
        for peer_id in [peer for peer in self._up if peers.get(peer) != before.get(peer)]:
            self.on_peer_down(peer_id, "it is at another address now" if peer_id in peers else "it is gone")

    def _stage_of(self, peer_id: str) -> int | None:
        if self.mesh is None:
            return None
        record = self.mesh.core.records.get(peer_id)
        return record.stage if record is not None and record.stage >= 0 else None

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
        if refused and peer_id:
            self.transport.nobody_listens(peer_id, address.removeprefix("tcp:"))
        if self.mesh is not None:
            self.mesh.on_gossip_unreachable(peer_id, address, refused)

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
        if self.mesh is None:
            return
        kept = {name for name, stage, replica in self.spec.places if keep is None or keep(name, stage, replica)}
        known = self.mesh.core.records
        self.transport.block({peer for peer, record in known.items() if record.name not in kept}, incoming=both)

    # TransportEvents

    def on_message(self, peer_id: str, message: object, tensors: tuple[Array, ...]) -> None:
        """A message of a member."""
        self.handle(events.Received(peer_id, message, tensors))

    def on_peer_up(self, peer_id: str) -> None:
        """The link to a member stands."""
        self._up.add(peer_id)
        if self.mesh is None or peer_id not in self.mesh.core.gone:
            self.handle(events.PeerUp(peer_id))

    def on_peer_down(self, peer_id: str, reason: str) -> None:
        """The link to a member is lost."""
        self._up.discard(peer_id)
        self._outgoing_drop(peer_id)
        if self.mesh is not None:
            self.mesh.hint(peer_id, f"its link is lost: {reason}")
        self.handle(events.PeerLost(peer_id, reason))

    def admit(self, peer_id: str, message: object, specs: tuple[TensorSpec, ...]) -> str | None:
        """Why these tensors are not expected, or None."""
        stamp = self._participant.context.stamp if self._participant else 0
        return self._admission.check(peer_id, message, specs, stamp)

    def on_refused(self, reason: str, detail: str) -> None:
        """Something was refused and changed nothing."""
        self.note("refused", f"{reason}: {detail}")

    # Telling

    def note(self, kind: str, detail: str) -> None:
        """Keep an event for whoever asks."""
        self._event_count += 1
        self.events.append((self._event_count, Event(time.time(), kind, self.spec.name, detail)))

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
        """starting, training, paused, finished, stopped or failed."""
        participant = self._participant
        if self.stopped:
            return "stopped"
        if self.left:
            return "left"
        if self.failure:
            return "failed"
        if participant is None or not (participant.started or participant.finished):
            return "starting"
        if participant.finished:
            return "finished"
        return "paused" if participant.paused else "training"

    @property
    def alone(self) -> bool:
        """Whether nobody of the run can be reached."""
        return not self._up

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
