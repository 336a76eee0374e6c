"""Serving a stage: compute what arrives, pass it on, remember what was counted.

The local queue is 1F1B in spirit (PipeDream, Narayanan et al. 2019): a gradient that is here goes before a forward, so
stashes are freed as early as possible; how many microbatches are stashed is bounded by what the origins keep in flight.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from itertools import count

from actors.steps.context import Context
from actors.steps.events import Compute, Computed, Job, JobKind, Note, Payload, Tensors
from actors.steps.messages import Backward, Forward, Purpose, Returned

DEPTH = 2
"""Jobs given to the shards at once: one runs, one waits there, so that the shard never idles for a round trip."""

Key = tuple[Purpose, int]


@dataclass
class _Entry:
    """A microbatch at this hop."""

    message: Forward
    sender: str
    next_hop: str = ""
    loss: float = 0.0
    route: tuple[str, ...] = ()


class Hop:
    """The microbatches of the current step at this participant."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._entries: dict[Key, _Entry] = {}
        self._queue: list[tuple[int, int, Job]] = []
        self._order = count()
        self._running = 0
        self.counted: set[int] = set()
        """Training microbatches of this step whose gradient the own shards hold."""
        self._tokens = 0
        self._busy = 0.0
        self.tokens_per_s = 0.0
        """Measured speed of the own shards, forward and backward together."""

    def begin_step(self) -> None:
        """Forget the last step."""
        self._entries.clear()
        self.counted = set()

    def forward(self, sender: str, message: Forward, payload: Payload) -> None:
        """Take an activation (or token ids) for the own stage."""
        context, key = self._context, (message.purpose, message.index)
        if message.stage != context.me.stage or key in self._entries or message.index in self.counted_for(message):
            text = f"activation of {_which(message)} for stage {message.stage} from {context.named(sender)} ignored"
            context.out.append(Note("ignored", text))
            return
        self._entries[key] = _Entry(message, sender)
        kind = JobKind.FORWARD
        if context.me.stage == context.last_stage:
            kind = JobKind.LOSS if message.purpose is Purpose.TRAIN else JobKind.EVALUATE
        self._enqueue(Job(kind, message.step, message.index, message.purpose, payload))

    def counted_for(self, message: Forward) -> set[int]:
        """Return the indices that must not be computed again for this purpose."""
        return self.counted if message.purpose is Purpose.TRAIN else set()

    def backward(self, sender: str, message: Backward, tensors: Tensors) -> None:
        """Take the gradient of an activation that was sent to `sender`."""
        context = self._context
        entry = self._entries.get((Purpose.TRAIN, message.index))
        if entry is None or entry.next_hop != sender:
            context.out.append(
                Note("ignored", f"unexpected gradient of {_which(message)} from {context.named(sender)}")
            )
            return
        context.router.returned(sender)
        context.waits.done(context.now, ("hop", message.step, message.index), self._depth())
        entry.next_hop, entry.loss, entry.route = "", message.loss, message.route
        self._enqueue(Job(JobKind.BACKWARD, message.step, message.index, Purpose.TRAIN, tensors))

    def computed(self, event: Computed) -> None:
        """A job of the own shards is done: pass its result on."""
        job, context = event.job, self._context
        self._running -= 1
        context.waits.done(context.now, ("shard", job.kind, job.step, job.index, job.purpose), DEPTH)
        self._busy += event.seconds
        entry = self._entries.get((job.purpose, job.index))
        if entry is not None and job.step == context.step:
            self._pass_on(entry, event)
        self._start()

    def _pass_on(self, entry: _Entry, event: Computed) -> None:
        job, context = event.job, self._context
        if job.kind is JobKind.FORWARD:
            self._send_forward(entry, event.tensors)
        elif job.kind is JobKind.EVALUATE:
            self._finish(entry, event.loss, (context.me.peer_id,))
        else:
            loss = event.loss if job.kind is JobKind.LOSS else entry.loss
            self._count(job)
            self._send_backward(entry, loss, (*entry.route, context.me.peer_id), event.tensors)

    def _count(self, job: Job) -> None:
        self.counted.add(job.index)
        self._tokens += self._context.setup.tokens_per_microbatch
        if self._busy > 0:
            self.tokens_per_s = self._tokens / self._busy

    def measure(self) -> float:
        """Return the measured tokens/s and let older measurements fade."""
        self._tokens //= 2
        self._busy /= 2
        return self.tokens_per_s

    def _send_forward(self, entry: _Entry, tensors: Tensors) -> None:
        context, message = self._context, entry.message
        stage = context.me.stage + 1
        replicas = [member.peer_id for member in context.view.replicas(stage)]
        if stage == context.last_stage:
            replicas = [peer for peer in replicas if peer in context.data_ok]
        entry.next_hop = context.router.choose(replicas, message.index)
        if message.purpose is Purpose.TRAIN:
            text = (
                f"{_which(message)}: {context.me.name} (stage {context.me.stage}) sent the activation to "
                f"{context.named(entry.next_hop)} and got no gradient back"
            )
            key = ("hop", message.step, message.index)
            context.waits.start(context.now, key, "hop", text, self._depth(), entry.next_hop)
        else:
            context.router.returned(entry.next_hop)
            del self._entries[(message.purpose, message.index)]
        onward = Forward(message.step, message.commit, message.index, message.purpose, stage, message.origin)
        context.send(entry.next_hop, onward, tensors)

    def _send_backward(self, entry: _Entry, loss: float, route: tuple[str, ...], tensors: Tensors) -> None:
        context, message = self._context, entry.message
        if context.me.stage == 0:
            self._finish(entry, loss, route)
            return
        del self._entries[(message.purpose, message.index)]
        back = Backward(message.step, message.commit, message.index, context.me.stage - 1, loss, route)
        context.send(entry.sender, back, tensors)

    def _finish(self, entry: _Entry, loss: float, route: tuple[str, ...]) -> None:
        message = entry.message
        del self._entries[(message.purpose, message.index)]
        self._context.send(message.origin, Returned(message.step, message.index, message.purpose, loss, route))

    def _enqueue(self, job: Job) -> None:
        urgency = 0 if job.kind is JobKind.BACKWARD else 1
        heapq.heappush(self._queue, (urgency, next(self._order), job))
        self._start()

    def _start(self) -> None:
        context = self._context
        while self._queue and self._running < DEPTH:
            job = heapq.heappop(self._queue)[2]
            self._running += 1
            text = (
                f"step {job.step}, {job.purpose} microbatch {job.index}: the shard of {context.me.name} "
                f"(stage {context.me.stage}) did not finish its {job.kind}"
            )
            context.waits.start(
                context.now, ("shard", job.kind, job.step, job.index, job.purpose), "shard", text, DEPTH
            )
            context.out.append(Compute(job))

    def _depth(self) -> int:
        """How many hops are still ahead: whoever is nearest to a fault runs out of patience first."""
        return self._context.last_stage - self._context.me.stage + 1


def _which(message: Forward | Backward) -> str:
    purpose = message.purpose if isinstance(message, Forward) else Purpose.TRAIN
    return f"step {message.step}, {purpose} microbatch {message.index}"
