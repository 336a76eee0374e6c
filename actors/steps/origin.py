"""Driving microbatches: choose a route, send in a bounded number at a time, tell the leader what came back."""

from __future__ import annotations

from collections import deque

from actors.steps.ballots import Plan
from actors.steps.context import Context
from actors.steps.jobs import TokensOf
from actors.steps.messages import Done, Dropped, Forward, Purpose, Returned, Route

Key = tuple[Purpose, int]
RETRIES = 1000
"""An origin's retry counts so many of those that hops make of one attempt."""


class Origin:
    """The microbatches that this participant originates in the current step."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._queue: deque[Key] = deque()
        self._flying: dict[Key, Route] = {}
        self._done: dict[Key, Done] = {}
        self._partial: dict[int, Route] = {}
        self._reset: tuple[str, ...] = ()
        """Who forgets what it counted, by the newest plan."""
        self.routes: dict[int, Route] = {}
        """Training microbatch -> its newest route, as it was sent or as it came back: these may have counted it, and
        the leader need not know it yet, so it goes that way again."""
        self._planned: dict[int, Route] = {}
        """The same by what others told the leader."""
        self._retries: dict[Key, int] = {}
        self._told_again: set[Key] = set()
        """What a later plan took for lost, and the leader was told of once more."""

    @property
    def driving(self) -> tuple[int, ...]:
        """Training microbatches that are not through yet."""
        keys = (*self._flying, *self._queue)
        return tuple(sorted(index for purpose, index in keys if purpose is Purpose.TRAIN))

    def begin_step(self) -> None:
        """Forget the last step."""
        for key in self._flying:
            self._landed(key)
        self._flying.clear()
        self._queue.clear()
        self._done.clear()
        self._partial.clear()
        self.routes.clear()
        self._planned.clear()
        self._reset = ()
        self._retries.clear()
        self._told_again.clear()

    def plan(self, plan: Plan) -> None:
        """Take the own part of a plan: go on with what flies, drop what others drive now, report what is done."""
        mine = self._context.me.peer_id
        wanted = [(Purpose.VALIDATE, index) for index in plan.validate.get(mine, ())]
        wanted += [(Purpose.TRAIN, index) for index in plan.train.get(mine, ())]
        for key in [key for key in self._flying if key not in wanted]:
            self._landed(key)
            del self._flying[key]
        for key in [key for key in wanted if key in self._done]:
            if key[0] is Purpose.TRAIN and key[1] in plan.partial and not self._stands(key, plan):
                del self._done[key]  # some of what was counted then is lost: drive it again
            else:
                self._context.send(self._context.leader.peer_id, self._done[key])
        drivers = self._context.drivers
        self.routes = {i: route for i, route in self.routes.items() if drivers.get(i, mine) == mine}
        self._planned = {i: self._context.view.route(places) for i, places in plan.routes.items()}
        self._partial, self._reset = dict(plan.partial), plan.reset
        self._queue = deque(key for key in wanted if key not in self._flying and key not in self._done)
        self.redirect(plan.reset)
        self._fill()

    def _stands(self, key: Key, plan: Plan) -> bool:
        """Whether all who counted it are still at work, so that the leader merely has not heard of it. Told once."""
        intact = set(self._done[key].route) <= set(plan.workers) - set(plan.reset)
        first = key not in self._told_again
        self._told_again.add(key)
        return intact and first

    def returned(self, message: Returned) -> None:
        """A microbatch is through all stages."""
        context, key = self._context, (message.purpose, message.index)
        if key not in self._flying:
            context.ignore("a late return")
            return
        context.waits.done(context.now, ("origin", *key), self._depth())
        self._landed(key)
        del self._flying[key]
        if key[0] is Purpose.TRAIN:
            self.routes[key[1]] = message.route[::-1]
        done = Done(message.stamp, message.index, message.purpose, message.loss, message.route)
        self._done[key] = done
        context.send(context.leader.peer_id, done)
        self._fill()

    def redirect(self, forgot: tuple[str, ...] = ()) -> None:
        """Send again what cannot come back as it was sent."""
        for key, route in list(self._flying.items()):
            first = route[0] if key[0] is Purpose.TRAIN else ""
            able = [set(self._context.candidates(stage)) - set(forgot) for stage in range(len(route))]
            lost = [peer for peer, others in zip(route, able, strict=True) if peer not in others]
            if first in lost or (lost and key[0] is Purpose.VALIDATE):
                self._again(key)

    def dropped(self, peer: str, message: Dropped) -> None:
        """A hop forgot what this origin sent into the pipeline."""
        key = (message.purpose, message.index)
        current = message.retry // RETRIES == self._retries.get(key, 0)
        if key in self._flying and peer in self._flying[key] and current:
            self._again(key)

    def overdue(self, purpose: Purpose, index: int) -> None:
        """It did not come back in time: once more, on a new route, as nobody knows where it is stuck."""
        if purpose is Purpose.TRAIN:
            self.routes.pop(index, None)
            self._planned.pop(index, None)
        self._again((purpose, index))

    def _again(self, key: Key) -> None:
        if key in self._flying:
            self._landed(key)
            del self._flying[key]
            self._retries[key] = self._retries.get(key, 0) + 1
            self._launch(*key)

    def _landed(self, key: Key) -> None:
        for peer in self._flying[key]:
            self._context.router.returned(peer)
        self._context.waits.cancel(("origin", *key))

    def _fill(self) -> None:
        while self._queue and len(self._flying) < self._context.setup.in_flight:
            self._launch(*self._queue.popleft())

    def _launch(self, purpose: Purpose, index: int) -> None:
        context, key = self._context, (purpose, index)
        route = tuple(self._choose(stage, purpose, index) for stage in range(context.setup.stages))
        self._flying[key] = route
        if purpose is Purpose.TRAIN:
            self.routes[index] = route
        text = (
            f"step {context.step}, {purpose} microbatch {index}: {context.me.name} sent it into the pipeline through "
            f"{context.named(route[0])} and it did not come back"
        )
        context.waits.start(context.now, ("origin", *key), "origin", text, self._depth(), route[0])
        retry = self._retries.get(key, 0) * RETRIES
        message = Forward(context.stamp, index, purpose, 0, context.me.peer_id, retry, route, context.plan)
        if route[0]:
            context.send(route[0], message, TokensOf(context.step, index, purpose))

    def _choose(self, stage: int, purpose: Purpose, index: int) -> str:
        context = self._context
        able = context.candidates(stage)
        train = purpose is Purpose.TRAIN
        counted = _at(stage, self._partial.get(index, ())) if train else ""
        before = _at(stage, self.routes.get(index, self._planned.get(index, ()))) if train else ""
        if counted in able:
            able = [counted]
        elif before in able and before not in self._reset:
            able = [before]
        elif stage == 0 and context.me.peer_id in able and not (train and index in self._partial):
            able = [context.me.peer_id]
        elif before and before not in able:
            able = [context.substitute(stage, index)]
        return context.router.choose(able, index, self._count(purpose)) if able and able[0] else ""

    def _count(self, purpose: Purpose) -> int:
        setup = self._context.setup
        return setup.microbatches if purpose is Purpose.TRAIN else max(1, setup.validation_microbatches)

    def _depth(self) -> int:
        """Waits inside a wait: the origin is more patient than stage 0, stage 0 more than stage 1, and so on."""
        return self._context.setup.stages + 1


def _at(stage: int, route: Route) -> str:
    return route[stage] if stage < len(route) else ""
