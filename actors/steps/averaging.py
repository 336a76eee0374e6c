"""One averaging round at one replica: fetch the gradient, reduce it with the others, keep the result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from actors.averaging.reduce import AllReduce, Float32, SliceOut
from actors.steps.ballots import Average, Stuck
from actors.steps.context import Context
from actors.steps.effects import ExportGradient
from actors.steps.messages import Slice

EARLY = 4096
"""Slices of a round that has not begun here yet, kept at most."""

MOST_ROUNDS = 4
"""Complete averages of one step that are kept."""

Order = tuple[int, int, int]
"""Slot, ballot and number of the leader's order that began a round."""


@dataclass(frozen=True)
class Round:
    """A finished round."""

    step: int
    digest: str
    sum_of_squares: float
    average: Float32
    replicas: int


class Averaging:
    """Rounds of the own stage; one at a time."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.order: Average | None = None
        self._reduce: AllReduce | None = None
        self._early: list[tuple[str, Slice, Any]] = []
        self._exports = 0
        self._rounds: dict[str, Round] = {}
        """Digest -> complete averages of the step, the newest last."""

    def begin_step(self) -> None:
        """Forget the last step's rounds. Slices of the next one may be here already."""
        self.stop()
        self._rounds.clear()
        self._early = [one for one in self._early if one[1].stamp >= self._context.stamp]

    def known(self, digest: str) -> Round | None:
        """The complete average with that digest: a decision may name an earlier one than the newest."""
        return self._rounds.get(digest)

    @property
    def prepared(self) -> Round | None:
        """The newest complete average of the step."""
        return next(reversed(self._rounds.values()), None)

    def stop(self) -> None:
        """Break off: the leader wants something else."""
        self._context.waits.cancel(("export",))
        self._context.waits.cancel(("reduce",))
        self.order, self._reduce = None, None

    def begin(self, order: Average) -> None:
        """Fetch the own gradient."""
        context = self._context
        self.stop()
        self.order = order
        text = f"step {context.step}: the shards of {context.me.name} did not hand out their gradient"
        context.waits.start(context.now, ("export",), "export", text)
        self._exports += 1
        context.out.append(ExportGradient(context.step, self._exports))

    def awaits(self, number: int) -> bool:
        """Whether that export is the one that the round under way needs; earlier ones may hold something else."""
        return self.order is not None and self._reduce is None and number == self._exports

    def exported(self, values: Float32) -> None:
        """Take the own gradient, and send its parts."""
        context, order = self._context, self.order
        assert order is not None
        context.waits.done(context.now, ("export",))
        self._reduce = AllReduce(order.groups[context.me.stage], context.me.peer_id, values)
        text = f"step {context.step}: averaging of stage {context.me.stage} got stuck at {context.me.name}"
        context.waits.start(context.now, ("reduce",), "reduce", text)
        self._send(self._reduce.start())
        early, self._early = self._early, []
        for peer, message, array in early:
            self.slice(peer, message, array)
        self._complete()

    def slice(self, peer: str, message: Slice, array: Any) -> None:
        """Take a part from another replica; keep those of rounds that have not begun here."""
        order, theirs = self.order, (message.slot, message.ballot, message.number)
        ours = (order.slot, order.ballot, order.number) if order is not None else (0, 0, 0)
        if theirs < ours or message.stamp < self._context.stamp:
            self._context.ignore("a slice of an earlier round")
        elif theirs == ours and self._reduce is not None:
            self._send(self._reduce.receive(peer, message.phase, message.chunk, array))
            self._context.waits.restart(self._context.now, ("reduce",))
            self._complete()
        else:
            self._early.append((peer, message, array))
            if len(self._early) > EARLY:
                self._early.pop(0)
                self._context.ignore("a slice too early")

    @property
    def complete(self) -> bool:
        """Whether the round under way is done."""
        return self._reduce is not None and self._reduce.complete

    def overdue(self) -> Stuck | None:
        """What to tell the leader when a round does not get on."""
        order, reduce = self.order, self._reduce
        if order is None or reduce is None or reduce.complete:
            return None
        self._context.waits.start(self._context.now, ("reduce",), "reduce", f"step {order.step}: averaging is stuck")
        return Stuck(order.slot, order.ballot, order.number, tuple(reduce.missing()))

    def _send(self, slices: list[SliceOut]) -> None:
        context, order = self._context, self.order
        assert order is not None
        for out in slices:
            message = Slice(context.stamp, order.slot, order.ballot, order.number, out.phase, out.chunk)
            context.send(out.to, message, (out.values,))

    def _complete(self) -> None:
        reduce, order = self._reduce, self.order
        if reduce is None or order is None or not reduce.complete:
            return
        self._context.waits.done(self._context.now, ("reduce",))
        self._rounds.pop(reduce.digest, None)
        self._rounds[reduce.digest] = Round(
            order.step, reduce.digest, reduce.sum_of_squares, reduce.average, len(order.groups[self._context.me.stage])
        )
        if len(self._rounds) > MOST_ROUNDS:
            del self._rounds[next(iter(self._rounds))]
