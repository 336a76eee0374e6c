"""Driving microbatches: send them to stage 0, a bounded number at a time, and tell the leader when they are through."""

from __future__ import annotations

from collections import deque

from actors.steps.context import Context
from actors.steps.events import TokensOf
from actors.steps.messages import Done, Forward, Plan, Purpose, Returned


class Origin:
    """The microbatches that this participant originates in the current step."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._queue: deque[tuple[Purpose, int]] = deque()
        self._flying: dict[tuple[Purpose, int], str] = {}

    def begin(self, plan: Plan) -> None:
        """Take the own part of a plan."""
        mine = self._context.me.peer_id
        self._flying.clear()
        self._queue = deque((Purpose.VALIDATE, index) for index in plan.validate.get(mine, ()))
        self._queue.extend((Purpose.TRAIN, index) for index in plan.train.get(mine, ()))
        self._fill()

    def returned(self, message: Returned) -> None:
        """A microbatch is through all stages."""
        context, key = self._context, (message.purpose, message.index)
        hop = self._flying.pop(key, None)
        if hop is None or message.step != context.step:
            return
        context.router.returned(hop)
        context.waits.done(context.now, ("origin", message.step, *key), self._depth(message.purpose))
        done = Done(message.step, message.index, message.purpose, message.loss, message.route)
        context.send(context.leader.peer_id, done)
        self._fill()

    def _fill(self) -> None:
        while self._queue and len(self._flying) < self._context.setup.in_flight:
            self._launch(*self._queue.popleft())

    def _launch(self, purpose: Purpose, index: int) -> None:
        context = self._context
        hop = context.router.choose(self._first_hops(), index)
        self._flying[(purpose, index)] = hop
        text = (
            f"step {context.step}, {purpose} microbatch {index}: {context.me.name} sent it into the pipeline through "
            f"{context.named(hop)} and it did not come back"
        )
        key = ("origin", context.step, purpose, index)
        context.waits.start(context.now, key, "origin", text, self._depth(purpose), hop)
        message = Forward(context.step, context.commit, index, purpose, 0, context.me.peer_id)
        context.send(hop, message, TokensOf(context.step, index, purpose))

    def _depth(self, purpose: Purpose) -> int:
        """Waits inside a wait: the origin is more patient than stage 0, stage 0 more than stage 1, and so on."""
        return self._context.setup.stages + 1

    def _first_hops(self) -> list[str]:
        """Ourselves when we serve stage 0 and everyone there originates; else whoever serves it."""
        context = self._context
        stage_0 = [member.peer_id for member in context.view.replicas(0)]
        if context.me.stage == 0 and all(peer in context.data_ok for peer in stage_0):
            return [context.me.peer_id]
        return stage_0
