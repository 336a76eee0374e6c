"""Following the leader: its plans, its calls for the average, and what is answered to them."""

from __future__ import annotations

from collections.abc import Callable

from actors.records import Traffic
from actors.steps import ballots, events
from actors.steps.averaging import Averaging
from actors.steps.context import Context
from actors.steps.hop import Hop
from actors.steps.origin import Origin
from actors.steps.standing import Standing

Order = ballots.Plan | ballots.Average | ballots.Beat


class Orders:
    """Each order replaces those before it; one that was missed is asked for again when the leader's beat shows it.

    Args:
        context: shared state.
        hop: serves the own stage.
        origin: drives microbatches.
        averaging: rounds of the own stage.
        standing: tells the leader what does not fit.
        traffic: returns what was sent since it was last asked.
        later: keeps an order until the update under way is applied.
        resigned: the leader gives up.
    """

    def __init__(
        self,
        context: Context,
        hop: Hop,
        origin: Origin,
        averaging: Averaging,
        standing: Standing,
        traffic: Callable[[], Traffic],
        later: Callable[[str, Order], None],
        resigned: Callable[[], None],
    ) -> None:
        self._context, self._hop, self._origin, self._averaging = context, hop, origin, averaging
        self._standing, self._traffic, self._later, self._resigned = standing, traffic, later, resigned

    def follow(self, peer: str, order: Order) -> None:
        """Obey an order of the leader's."""
        context = self._context
        number = (order.slot, order.ballot, order.number)
        if isinstance(order, ballots.Beat):
            if order.resigns and context.agreement.votes:
                self._resigned()
                return
            if number > context.order and order.number > 0:
                context.send(peer, ballots.Again(order.slot, order.ballot))
            elif order.asks or self._misjudged():
                self._standing.tell()
            return
        if number <= context.order or order.step != context.step:
            return
        if isinstance(order, ballots.Average) and context.applying is not None:
            self._later(peer, order)  # a step without work: we hold its parameters in a moment
            return
        context.order = number
        self._averaging.stop()
        self._hop.thaw()
        if isinstance(order, ballots.Plan):
            self._plan(order)
        elif context.ready and context.me.peer_id in order.groups.get(context.me.stage, ()):
            self._average(order)

    def _misjudged(self) -> bool:
        """Whether the leader counts on us although we cannot work, or does not although we can."""
        context = self._context
        if context.me.peer_id in context.workers:
            return not context.ready and context.applying is None
        return context.ready and self._standing.could_work()

    def _plan(self, plan: ballots.Plan) -> None:
        context = self._context
        context.workers = frozenset(plan.workers)
        context.plan = context.order
        context.drivers = {index: peer for peer, part in plan.train.items() for index in part}
        if context.me.peer_id in plan.reset:
            self._hop.reset()
            self._standing.tell()
        elif self._misjudged():
            self._standing.tell()
        self._hop.redirect(plan.reset)
        self._origin.plan(plan)

    def _average(self, order: ballots.Average) -> None:
        context = self._context
        if context.step >= context.setup.steps:
            self.send_prepared(order, "", 0.0)
        elif set(order.counted.get(context.me.peer_id, ())) != set(self._hop.counted):
            self._standing.tell()
        else:
            self._hop.frozen = True
            self._averaging.begin(order)

    def exported(self, event: events.GradientExported) -> None:
        """The own gradient is here; it must hold what the order says."""
        order = self._averaging.order
        if order is None or event.step != self._context.step or not self._averaging.awaits(event.number):
            return
        if event.counted != set(order.counted.get(self._context.me.peer_id, ())):
            self._averaging.stop()
            if event.counted != set(self._hop.counted):  # we lost track of our own shards: begin anew
                self._hop.reset()
                if not order.counted.get(self._context.me.peer_id):
                    self._averaging.begin(order)
                    return
            self._hop.thaw()
            self._standing.tell()
            return
        self._averaging.exported(event.values)
        self.report_average()

    def report_average(self) -> None:
        """Tell the leader when the round is done."""
        order, done = self._averaging.order, self._averaging.prepared
        if order is not None and done is not None and self._averaging.complete:
            self._averaging.stop()
            self.send_prepared(order, done.digest, done.sum_of_squares)

    def send_prepared(self, order: ballots.Average, digest: str, sum_of_squares: float) -> None:
        """Tell the leader that the average is here and could be applied."""
        context, hop = self._context, self._hop
        report = ballots.Prepared(
            slot=order.slot,
            ballot=order.ballot,
            number=order.number,
            average_hash=digest,
            sum_of_squares=sum_of_squares,
            parameter_hash=context.parameter_hash,
            counted=tuple(sorted(hop.counted)),
            tokens_per_s=hop.measure(),
            traffic=self._traffic(),
        )
        context.send(context.leader.peer_id, report)
