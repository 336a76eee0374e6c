"""Serving a stage: compute what arrives, pass it on, count every microbatch once.

The local queue is 1F1B in spirit (PipeDream, Narayanan et al. 2019): a gradient that is here goes before a forward, so
stashes are freed as early as possible; how many microbatches are stashed is bounded by what the origins keep in flight.

What was sent on is kept until its gradient is back, so that a lost hop can be replaced (SWARM, Ryabinin et al. 2023).
A microbatch that comes again is computed again, but counted once.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, replace
from itertools import count

from actors.steps.context import Context
from actors.steps.effects import Compute, Discard
from actors.steps.events import Computed
from actors.steps.jobs import Job, JobKind, Payload, Tensors
from actors.steps.messages import Backward, Done, Dropped, Forward, Purpose, Returned, Route, Taken

DEPTH = 2
"""Jobs given to the shards at once: one runs, one waits there, so that the shard never idles for a round trip."""

HOPE = 1.25
"""The measured speed of a replica without work grows by this a step."""

Key = tuple[Purpose, int]


@dataclass
class _Entry:
    """A microbatch at this hop."""

    message: Forward
    sender: str
    job: int = 0
    """Number of the job under way; 0 for none."""
    output: Tensors | None = None
    """What was sent on and must be kept: the gradient is not back."""
    next_hop: str = ""
    retry: int = 0
    sent_retry: int = -1
    """Retry number of what was sent on last."""
    loss: float = 0.0
    route: tuple[str, ...] = ()


class Hop:
    """The microbatches of the current step at this participant."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._entries: dict[Key, _Entry] = {}
        self._queue: list[tuple[int, int, Job]] = []
        self._numbers = count(1)
        self._first = 1
        """Jobs with lower numbers were forgotten, or are of a step that is over."""
        self._losses: dict[int, float] = {}
        """Loss of the microbatches whose backward pass is under way, by job."""
        self._running: dict[int, Job] = {}
        self.counted: dict[int, float] = {}
        """Training microbatches of this step whose gradient the own shards hold -> loss."""
        self.frozen = False
        """Averaging is under way: nothing more may be counted."""
        self._tokens = 0
        self._busy = 0.0
        self.tokens_per_s = 0.0
        """Measured speed of the own shards, forward and backward together."""
        self.repeats = 0
        """Microbatches computed again that had been counted already."""

    def begin_step(self) -> None:
        """Forget the last step. What the shards are still computing for it comes to nothing."""
        self._drop()
        self.frozen = False

    def reset(self) -> None:
        """Forget everything that was counted, the shards too. What is under way here is asked for again."""
        context = self._context
        for entry in self._entries.values():
            message = entry.message
            to = entry.sender if message.purpose is Purpose.TRAIN else message.origin
            context.send(to, Dropped(message.stamp, message.index, message.purpose, message.stage, message.retry))
        self._drop()
        self._context.out.append(Discard())

    def lost(self) -> None:
        """The shards are gone, and with them what they computed."""
        self._drop()
        for number in list(self._running):
            self._ended(number)

    def _drop(self) -> None:
        for purpose, index in self._entries:
            self._context.waits.cancel(("hop", purpose, index))
        self._entries.clear()
        self._queue.clear()
        self._losses.clear()
        self._first = next(self._numbers)
        self.counted = {}

    @property
    def routes(self) -> dict[int, Route]:
        """Training microbatches under way here -> their route, as far as is known here."""
        after = self._context.me.stage + 1
        found = {}
        for (purpose, index), entry in self._entries.items():
            if purpose is Purpose.TRAIN:
                route = entry.message.route
                found[index] = (*route[:after], entry.next_hop, *route[after + 1 :]) if entry.next_hop else route
        return found

    # What arrives

    def forward(self, sender: str, message: Forward, payload: Payload) -> None:
        """Take an activation (or token ids) for the own stage."""
        context, key = self._context, (message.purpose, message.index)
        if message.stage != context.me.stage or (message.stage == context.last_stage and not context.data_ok):
            context.ignore("an activation for another stage, or without the corpus")
            return
        if context.superseded(message):
            context.ignore("a microbatch that another one drives now")
            self._taken_from(sender, message)
            return
        entry = self._entries.get(key)
        if entry is not None:
            self._again(entry, sender, message)
            return
        entry = self._entries[key] = _Entry(message, sender)
        if message.purpose is Purpose.TRAIN and message.index in self.counted:
            self.repeats += 1
        kind = JobKind.FORWARD
        if context.me.stage == context.last_stage:
            kind = JobKind.LOSS if message.purpose is Purpose.TRAIN else JobKind.EVALUATE
        self._enqueue(entry, kind, payload)

    def _again(self, entry: _Entry, sender: str, message: Forward) -> None:
        """What is under way here comes once more: its result goes to whoever sent it last, by the newest plan."""
        before, context = entry.message, self._context
        newer = (message.order, message.retry) >= (before.order, before.retry)
        if (sender, message.retry, message.order) == (entry.sender, before.retry, before.order):
            context.ignore("a repeated activation")
        elif not newer:
            self._taken_from(sender, message)
        elif sender != entry.sender:
            self._taken_from(entry.sender, before)
        if not newer:
            return
        entry.sender, entry.message = sender, message
        if message.origin != before.origin and entry.output is not None:  # those after us may not know the new plan yet
            entry.retry += 1
            self._send_forward(entry)

    def backward(self, sender: str, message: Backward, tensors: Tensors) -> None:
        """Take the gradient of an activation that was sent to `sender`."""
        context = self._context
        entry = self._entries.get((Purpose.TRAIN, message.index))
        if entry is None or entry.output is None or entry.next_hop != sender or message.stage != context.me.stage:
            context.ignore("a late gradient")
            return
        context.waits.done(context.now, ("hop", Purpose.TRAIN, message.index), self._depth())
        entry.output, entry.loss, entry.route = None, message.loss, message.route
        self._enqueue(entry, JobKind.BACKWARD, tensors)

    def computed(self, event: Computed) -> None:
        """A job of the own shards is done: pass its result on."""
        job = event.job
        if not self._ended(job.number):
            return
        self._busy += event.seconds
        entry = self._entries.get((job.purpose, job.index))
        loss = self._losses.pop(job.number, event.loss)
        if job.kind in (JobKind.LOSS, JobKind.BACKWARD) and job.number >= self._first:
            self._count(job.index, loss)
        if entry is not None and entry.job == job.number:
            entry.job = 0
            self._pass_on(entry, event, loss)
        self._start()

    def _ended(self, number: int) -> bool:
        job = self._running.pop(number, None)
        if job is not None:
            self._context.waits.done(self._context.now, ("shard", number), DEPTH)
        return job is not None

    # What follows from it

    def _pass_on(self, entry: _Entry, event: Computed, loss: float) -> None:
        job, context = event.job, self._context
        if job.kind is JobKind.FORWARD:
            entry.output = event.tensors
            self._send_forward(entry)
        elif job.kind is JobKind.EVALUATE:
            self._finish(entry, loss, (context.me.peer_id,))
        else:
            self._send_backward(entry, loss, (*entry.route, context.me.peer_id), event.tensors)

    def _count(self, index: int, loss: float) -> None:
        """The shards hold its gradient now, whether anybody still waits for it or not."""
        if index in self.counted:
            return
        self.counted[index] = loss
        self._tokens += self._context.setup.tokens_per_microbatch
        if self._busy > 0:
            self.tokens_per_s = self._tokens / self._busy

    def measure(self) -> float:
        """Return the measured tokens/s and let older measurements fade.

        Whoever got nothing to do is believed to be a little faster each time, so that it is measured again some day.
        """
        if not self.counted:
            self.tokens_per_s *= HOPE
        self._tokens //= 2
        self._busy /= 2
        return self.tokens_per_s

    def _send_forward(self, entry: _Entry, besides: str = "") -> None:
        context, message, stage = self._context, entry.message, self._context.me.stage + 1
        planned = message.route[stage] if stage < len(message.route) else ""
        if planned == besides or planned not in context.candidates(stage):
            planned = context.substitute(stage, message.index, besides)
        if entry.next_hop and planned != entry.next_hop:
            lost, instead = context.named(entry.next_hop), context.named(planned)
            context.note("replaced", f"{_which(context.step, message)}: {lost} is replaced by {instead}")
        entry.next_hop = planned
        key = ("hop", message.purpose, message.index)
        if message.purpose is Purpose.TRAIN:
            text = (
                f"{_which(context.step, message)}: {context.me.name} (stage {context.me.stage}) sent the activation to "
                f"{context.named(planned)} and got no gradient back"
            )
            context.waits.start(context.now, key, "hop", text, self._depth(), planned)
        else:
            del self._entries[message.purpose, message.index]
        if planned:
            route = (*message.route[:stage], planned, *message.route[stage + 1 :])
            retry = entry.sent_retry = message.retry + entry.retry
            onward = replace(message, stage=stage, retry=retry, route=route)
            assert entry.output is not None
            context.send(planned, onward, entry.output)

    def _send_backward(self, entry: _Entry, loss: float, route: tuple[str, ...], tensors: Tensors) -> None:
        context, message = self._context, entry.message
        if context.me.stage == 0:
            self._finish(entry, loss, route)
            return
        del self._entries[message.purpose, message.index]
        back = Backward(message.stamp, message.index, context.me.stage - 1, loss, route)
        context.send(entry.sender, back, tensors)

    def _finish(self, entry: _Entry, loss: float, route: tuple[str, ...]) -> None:
        message, context = entry.message, self._context
        del self._entries[message.purpose, message.index]
        if message.origin in context.usable:
            context.send(message.origin, Returned(message.stamp, message.index, message.purpose, loss, route))
        else:  # its origin would tell the leader
            leader = context.leader.peer_id
            context.send(leader, Done(message.stamp, message.index, message.purpose, loss, route))

    # Replacing hops

    def redirect(self, forgot: tuple[str, ...] = ()) -> None:
        """Send again what is with somebody who cannot work any more, or who has just forgotten all it had."""
        context = self._context
        able = set(context.candidates(context.me.stage + 1)) - set(forgot)
        for entry in list(self._entries.values()):
            if entry.output is not None and context.superseded(entry.message):
                self._forget(entry)
            elif entry.output is not None and entry.next_hop not in able:
                entry.retry += 1
                self._send_forward(entry)

    def _forget(self, entry: _Entry) -> None:
        """Another origin drives it now, on another route."""
        message = entry.message
        self._context.waits.cancel(("hop", message.purpose, message.index))
        del self._entries[message.purpose, message.index]

    def _taken_from(self, sender: str, message: Forward) -> None:
        if message.stage > 0 and message.purpose is Purpose.TRAIN:
            taken = Taken(message.stamp, message.index, message.stage, message.retry, message.order)
            self._context.send(sender, taken)

    def taken(self, peer: str, message: Taken) -> None:
        """The same microbatch came to the next hop by a newer way: nobody waits for ours any more."""
        entry = self._entries.get((Purpose.TRAIN, message.index))
        if entry is None or entry.output is None or entry.next_hop != peer:
            self._context.ignore("a late word about an activation")
        elif (entry.message.order, entry.sent_retry) == (message.order, message.retry):
            self._forget(entry)
            self._taken_from(entry.sender, entry.message)

    def dropped(self, peer: str, message: Dropped) -> None:
        """The next hop forgot what it was sent."""
        entry = self._entries.get((message.purpose, message.index))
        if entry is None or entry.output is None or entry.next_hop != peer:
            self._context.ignore("a late request for an activation")
        elif entry.sent_retry == message.retry:
            entry.retry += 1
            self._send_forward(entry)

    def overdue(self, purpose: Purpose, index: int) -> None:
        """No gradient in time: another replica gets the work, or the same again where there is no other."""
        entry = self._entries.get((purpose, index))
        if entry is not None and entry.output is not None:
            entry.retry += 1
            self._send_forward(entry, besides=entry.next_hop)

    # The shards' queue

    def thaw(self) -> None:
        """Averaging is over or was broken off: go on."""
        self.frozen = False
        self._start()

    def _enqueue(self, entry: _Entry, kind: JobKind, payload: Payload) -> None:
        urgency = 0 if kind is JobKind.BACKWARD else 1
        message, entry.job = entry.message, next(self._numbers)
        job = Job(kind, self._context.step, message.index, message.purpose, payload, entry.job)
        if kind is JobKind.BACKWARD:
            self._losses[entry.job] = entry.loss
        heapq.heappush(self._queue, (urgency, entry.job, job))
        self._start()

    def _start(self) -> None:
        context = self._context
        while self._queue and len(self._running) < DEPTH and not self.frozen:
            job = heapq.heappop(self._queue)[2]
            self._running[job.number] = job
            text = (
                f"step {job.step}, {job.purpose} microbatch {job.index}: the shard of {context.me.name} "
                f"(stage {context.me.stage}) did not finish its {job.kind}"
            )
            context.waits.start(context.now, ("shard", job.number), "shard", text, DEPTH)
            context.out.append(Compute(job))

    def _depth(self) -> int:
        """How many hops are still ahead: whoever is nearest to a fault runs out of patience first."""
        return self._context.last_stage - self._context.me.stage + 1


def _which(step: int, message: Forward) -> str:
    return f"step {step}, {message.purpose} microbatch {message.index}"
