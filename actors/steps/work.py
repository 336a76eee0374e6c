"""Messages about a step's microbatches and averages: each to the part that it is for, when its step is under way."""

from __future__ import annotations

from actors.steps.averaging import Averaging
from actors.steps.context import Context
from actors.steps.early import Early
from actors.steps.hop import Hop
from actors.steps.jobs import Payload
from actors.steps.leader import Leader
from actors.steps.messages import Backward, Done, Dropped, Forward, Purpose, Returned, Slice, Taken
from actors.steps.orders import Orders
from actors.steps.origin import Origin

WorkMessage = Forward | Backward | Dropped | Taken | Returned | Done | Slice


class Work:
    """All who take part in a step's work.

    Args:
        context: shared state.
        early: keeps what is of a later step, or cannot be computed before the parameters are here.
        hop: serves the own stage.
        origin: drives microbatches.
        averaging: rounds of the own stage.
        orders: tells the leader when a round is done.
        leader: counts what is through, if it is our turn.
    """

    def __init__(
        self,
        context: Context,
        early: Early,
        hop: Hop,
        origin: Origin,
        averaging: Averaging,
        orders: Orders,
        leader: Leader,
    ) -> None:
        self._context, self._early = context, early
        self._hop, self._origin, self._averaging = hop, origin, averaging
        self._orders, self._leader = orders, leader

    def receive(self, peer: str, message: WorkMessage, payload: Payload) -> None:
        """A message about work of this step, or of another one."""
        context = self._context
        if message.stamp < context.stamp or context.finished:
            context.ignore(f"{type(message).__name__.lower()} of an earlier step")
        elif message.stamp > context.stamp or (isinstance(message, Forward) and not context.ready):
            self._early.keep(peer, message, payload)
        elif context.view.member(peer) is None:
            context.ignore("work from somebody without a vote")
        else:
            self._hand_on(peer, message, payload)

    def _hand_on(self, peer: str, message: WorkMessage, payload: Payload) -> None:
        match message:
            case Forward():
                self._hop.forward(peer, message, payload)
            case Backward() if isinstance(payload, tuple):
                self._hop.backward(peer, message, payload)
            case Slice() if isinstance(payload, tuple):
                self._averaging.slice(peer, message, payload[0])
                self._orders.report_average()
            case Dropped():
                if message.stage == 0 or message.purpose is Purpose.VALIDATE:
                    self._origin.dropped(peer, message)
                else:
                    self._hop.dropped(peer, message)
            case Taken():
                self._hop.taken(peer, message)
            case Returned():
                self._origin.returned(message)
            case Done():
                self._leader.done(peer, message)
