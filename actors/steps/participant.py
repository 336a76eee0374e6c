"""The step protocol at one participant: `handle(now, event) -> effects`.

Synchronous steps without faults: origins drive microbatches through the stages, replicas of a stage average, the leader
decides, all apply. Whatever goes wrong ends the run with a reason that every participant gets (`Abort`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from actors.averaging.reduce import AllReduce, SliceOut
from actors.membership.roster import Member, View
from actors.records import Traffic
from actors.steps.context import Context, StepSetup
from actors.steps.events import (
    Applied,
    ApplyUpdate,
    Committed,
    Computed,
    Doubt,
    Effect,
    Event,
    ExportGradient,
    Finished,
    GradientExported,
    LocalFailure,
    LocalReady,
    Note,
    Payload,
    PeerLost,
    PeerUp,
    Received,
    Tick,
)
from actors.steps.hop import Hop
from actors.steps.leader import Leader
from actors.steps.messages import (
    Abort,
    Average,
    Backward,
    Decision,
    Done,
    Forward,
    Plan,
    Prepared,
    Ready,
    Returned,
    Slice,
)
from actors.steps.origin import Origin
from actors.steps.waits import Waits

EARLY = 8192
"""Messages of a commit that is not applied here yet, kept at most; more than any step within the config can bring."""


class Participant:
    """One participant's protocol state.

    Args:
        setup: what the protocol needs of the run config.
        view: whom to work with.
        me: our own entry in the view.
        traffic: returns what was sent since it was last asked.
    """

    def __init__(self, setup: StepSetup, view: View, me: Member, traffic: Callable[[], Traffic]) -> None:
        self._context = Context(setup, view, me, Waits(setup.floor_s))
        self._traffic = traffic
        self._origin = Origin(self._context)
        self._hop = Hop(self._context)
        self._leader = Leader(self._context)
        self._ready: dict[str, Ready] = {}
        self._early: list[tuple[str, object, Payload]] = []
        self._slices: list[tuple[str, Slice, Any]] = []
        self._reduce: AllReduce | None = None
        self._deciding: Decision | None = None
        self._average: Average | None = None
        self._parameter_hash = ""
        self._reported_closing = False
        self._decided_at: float | None = None
        self.finished = False

    # What the outside reads

    @property
    def step(self) -> int:
        """The step under way."""
        return self._context.step

    @property
    def commit(self) -> int:
        """Number of the parameters held."""
        return self._context.commit

    @property
    def failed(self) -> str:
        """Why the run ended here; empty while it has not."""
        return self._context.failed

    @property
    def ready(self) -> dict[str, Ready]:
        """Who is ready, by identity."""
        return dict(self._ready)

    @property
    def tokens_per_s(self) -> float:
        """Measured speed of the own shards."""
        return self._hop.tokens_per_s

    def next_deadline(self) -> float | None:
        """When the next `Tick` is due at the latest."""
        return self._context.waits.next_deadline()

    # Events

    def handle(self, now: float, event: Event) -> list[Effect]:
        """Take an event and return what is to be done, in order. Nothing happens after the end of the run."""
        context = self._context
        context.now = now
        if not (context.failed or self.finished):
            self._dispatch(event)
            while context.inbox:
                message, payload = context.inbox.pop(0)
                self._receive(context.me.peer_id, message, payload)
        effects, context.out = context.out, []
        return effects

    def _dispatch(self, event: Event) -> None:
        context = self._context
        match event:
            case Received(peer, message, tensors):
                self._receive(peer, message, tensors)
            case Computed():
                self._hop.computed(event)
            case GradientExported(step, values):
                self._gradient(step, values)
            case Applied(step, parameter_hash):
                self._applied(step, parameter_hash)
            case LocalReady(parameter_hash, parameters, data_ok):
                self._local_ready(parameter_hash, parameters, data_ok)
            case PeerUp(peer):
                if context.me.peer_id in self._ready:
                    context.send(peer, self._ready[context.me.peer_id])
            case PeerLost(peer, reason):
                if not self._may_have_finished(peer):
                    context.fail(f"lost participant {context.named(peer)}: {reason}")
            case LocalFailure(reason):
                context.fail(reason)
            case Tick():
                for peer, reason in context.waits.doubtful(context.now).items():
                    if peer != context.me.peer_id:
                        context.out.append(Doubt(peer, reason))
                overdue = context.waits.expired(context.now)
                if overdue:
                    context.fail(f"deadline passed: {overdue}")

    def _receive(self, peer: str, message: object, payload: Payload) -> None:
        commit = getattr(message, "commit", self._context.commit)
        started = self._decided_at is not None or isinstance(message, Ready | Abort)
        if commit > self._context.commit or not started:
            self._keep_early(peer, message, payload)
            return
        if commit < self._context.commit:
            text = f"{type(message).__name__} of commit {commit} from {self._context.named(peer)} came too late"
            self._context.out.append(Note("stale", text))
            return
        match message:
            case Forward():
                self._hop.forward(peer, message, payload)
            case Backward() if isinstance(payload, tuple):
                self._hop.backward(peer, message, payload)
            case Slice() if isinstance(payload, tuple):
                self._slice(peer, message, payload[0])
            case Returned():
                self._origin.returned(message)
            case Done():
                self._leader.done(peer, message)
            case Prepared():
                self._leader.prepared(peer, message)
            case Ready():
                self._peer_ready(peer, message)
            case Abort(reason):
                self._aborted(reason)
            case Plan() | Average() | Decision():
                self._from_leader(peer, message)

    def _keep_early(self, peer: str, message: object, payload: Payload) -> None:
        if len(self._early) < EARLY:
            self._early.append((peer, message, payload))
        else:
            self._context.fail(f"{self._context.me.name} is a commit behind and its queue of {EARLY} messages is full")

    def _from_leader(self, peer: str, message: Plan | Average | Decision) -> None:
        context = self._context
        step = message.record.step if isinstance(message, Decision) else message.step
        if peer != context.leader.peer_id or step != context.step:
            kind = type(message).__name__
            context.out.append(
                Note("ignored", f"{kind} of step {step} from {context.named(peer)}, who does not lead it")
            )
            return
        match message:
            case Plan():
                self._origin.begin(message)
            case Average():
                self._begin_average(message)
            case Decision():
                self._decision(message)

    # Getting ready

    def _local_ready(self, parameter_hash: str, parameters: int, data_ok: bool) -> None:
        context = self._context
        self._parameter_hash = parameter_hash
        ready = Ready(context.setup.config_hash, parameter_hash, data_ok, parameters)
        if not data_ok:
            text = f"{context.me.name} has another corpus or tokenizer: it originates nothing and computes no losses"
            context.out.append(Note("data", text))
        context.send_all(ready)

    def _peer_ready(self, peer: str, message: Ready) -> None:
        context = self._context
        if message.config_hash != context.setup.config_hash:
            context.fail(
                f"{context.named(peer)} was started with another run config than {context.me.name}: "
                "give every site the same config file"
            )
            return
        self._ready[peer] = message
        if message.data_ok:
            context.data_ok.add(peer)
        if len(self._ready) == len(context.view.members):
            self._all_ready()

    def _all_ready(self) -> None:
        context = self._context
        if self._decided_at is not None:
            return
        last = [
            member.name for member in context.view.replicas(context.last_stage) if member.peer_id in context.data_ok
        ]
        if not context.data_ok or not last:
            what = "compute the loss" if context.data_ok else "originate microbatches"
            context.fail(f"nobody can {what}: no participant there has the run's corpus and tokenizer")
            return
        self._decided_at = context.now
        self._begin_step()

    def _begin_step(self) -> None:
        context = self._context
        self._hop.begin_step()
        self._reduce, self._average, self._deciding = None, None, None
        self._slices.clear()
        text = f"step {context.step}: no decision from its leader {context.named(context.leader.peer_id)}"
        context.waits.start(context.now, ("step",), "step", text, 20)
        if context.leader.peer_id == context.me.peer_id:
            self._leader.begin(context.now if self._decided_at is None else self._decided_at)
        early, self._early = self._early, []
        for peer, message, payload in early:
            self._receive(peer, message, payload)

    def _may_have_finished(self, peer: str) -> bool:
        """Whether a lost link can mean that the other one got the closing decision before us, and left.

        The leader leaves last: it needs everyone's report, and its decision is on the link before its goodbye.
        """
        leader = self._context.leader.peer_id
        return self._reported_closing and leader not in (peer, self._context.me.peer_id)

    # Averaging

    def _begin_average(self, message: Average) -> None:
        context = self._context
        self._average = message
        if context.step >= context.setup.steps:
            self._report("", 0.0)
            self._reported_closing = True
            return
        mine = set(message.counted.get(context.me.peer_id, ()))
        if mine != self._hop.counted:
            context.fail(
                f"step {context.step} was not committed: {context.me.name} (stage {context.me.stage}) counted "
                f"microbatches {sorted(self._hop.counted)}, the routes say {sorted(mine)}"
            )
            return
        text = f"step {context.step}: the shards of {context.me.name} did not hand out their gradient"
        context.waits.start(context.now, ("export",), "export", text)
        context.out.append(ExportGradient(context.step))

    def _gradient(self, step: int, values: Any) -> None:
        context = self._context
        if step != context.step:
            return
        context.waits.done(context.now, ("export",))
        group = [member.peer_id for member in context.view.replicas(context.me.stage)]
        self._reduce = AllReduce(group, context.me.peer_id, values)
        text = f"step {context.step}: averaging of stage {context.me.stage} got stuck at {context.me.name}"
        context.waits.start(context.now, ("reduce",), "reduce", text)
        self._send_slices(self._reduce.start())
        slices, self._slices = self._slices, []
        for peer, message, array in slices:
            self._slice(peer, message, array)
        self._report_average()

    def _slice(self, peer: str, message: Slice, array: Any) -> None:
        if self._reduce is None:
            if len(self._slices) < EARLY:
                self._slices.append((peer, message, array))
            return
        self._send_slices(self._reduce.receive(peer, message.phase, message.chunk, array))
        self._context.waits.restart(self._context.now, ("reduce",))
        self._report_average()

    def _send_slices(self, slices: list[SliceOut]) -> None:
        context = self._context
        for out in slices:
            message = Slice(context.step, context.commit, out.phase, out.chunk)
            context.send(out.to, message, (out.values,))

    def _report_average(self) -> None:
        if self._reduce is not None and self._reduce.complete and self._average is not None:
            self._context.waits.done(self._context.now, ("reduce",))
            self._report(self._reduce.digest, self._reduce.sum_of_squares)
            self._average = None

    def _report(self, average_hash: str, sum_of_squares: float) -> None:
        context, hop = self._context, self._hop
        report = Prepared(
            step=context.step,
            commit=context.commit,
            average_hash=average_hash,
            sum_of_squares=sum_of_squares,
            parameter_hash=self._parameter_hash,
            counted=tuple(sorted(hop.counted)),
            tokens_per_s=hop.measure(),
            traffic=self._traffic(),
        )
        context.send(context.leader.peer_id, report)

    # Deciding

    def _decision(self, message: Decision) -> None:
        context = self._context
        if self._deciding is not None:
            return
        self._deciding = message
        if not message.apply:
            self._committed(message)
            self.finished = True
            context.waits.clear()
            context.out.append(Finished())
            return
        mine = self._reduce
        if mine is None or not mine.complete or message.averages.get(context.me.stage) != mine.digest:
            context.fail(f"step {context.step}: {context.me.name} does not hold the average that was decided")
            return
        text = f"step {context.step}: the shards of {context.me.name} did not apply the update"
        context.waits.start(context.now, ("apply",), "apply", text)
        context.out.append(ApplyUpdate(context.step, mine.average, message.record.clip_factor))

    def _applied(self, step: int, parameter_hash: str) -> None:
        context, decision = self._context, self._deciding
        if decision is None or step != context.step:
            return
        context.waits.done(context.now, ("apply",))
        context.waits.done(context.now, ("step",), 20)
        self._parameter_hash = parameter_hash
        self._committed(decision)
        context.step += 1
        context.commit += 1
        self._begin_step()

    def _committed(self, decision: Decision) -> None:
        context, record = self._context, decision.record
        by_name = {member.name: member.peer_id for member in context.view.members}
        context.router.learn({by_name[name]: speed for name, speed in record.throughput.items() if name in by_name})
        self._decided_at = context.now
        context.out.append(Committed(record))

    def _aborted(self, reason: str) -> None:
        self._context.fail(reason)
