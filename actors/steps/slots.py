"""A slot begins: lead it, follow whoever leads it, or ask to be let in. The run's last one closes."""

from __future__ import annotations

from collections.abc import Callable

from actors.steps.context import Context
from actors.steps.effects import Finished
from actors.steps.holdings import Holdings
from actors.steps.leader import Leader
from actors.steps.quorum import Quorum
from actors.steps.standing import Standing
from actors.steps.succession import Succession
from actors.steps.tenure import Tenure


class Slots:
    """Our own role in one slot after the other.

    Args:
        context: shared state.
        quorum: watches whether enough votes can be had.
        leader: leads, if it is our turn.
        succession: watches whoever leads.
        holdings: what the shards hold of the step under way.
        standing: tells what is held here, and asks to be let in.
        tenure: goes, when nothing is awaited of us.
        replay: handles what came before its time.
    """

    def __init__(
        self,
        context: Context,
        quorum: Quorum,
        leader: Leader,
        succession: Succession,
        holdings: Holdings,
        standing: Standing,
        tenure: Tenure,
        replay: Callable[[], None],
    ) -> None:
        self._context, self._quorum, self._leader, self._succession = context, quorum, leader, succession
        self._holdings, self._standing, self._tenure, self._replay = holdings, standing, tenure, replay

    def begin(self, *, again: bool = False) -> None:
        """Vote, and lead when it is our turn; again: an earlier process of this life may have led already."""
        context = self._context
        context.order = (context.agreement.slot, 0, 0)
        self._succession.begin_slot()
        if self._tenure.go():
            return
        if context.agreement.votes:
            self._begin_inside(again=again)
        else:
            self._begin_outside()
        self._quorum.review()
        self._holdings.changed()
        if not context.ready:
            self._replay()

    def _begin_inside(self, *, again: bool) -> None:
        context, agreement = self._context, self._context.agreement
        context.waits.cancel(("join",))
        mine = agreement.leader.peer_id == context.me.peer_id
        ballot = agreement.promised + len(agreement.view.members) if again else 0
        self._leader.begin_slot(ballot if mine else None)
        self._succession.watch()
        behind = not context.ready and context.applying is None
        if behind or self._standing.unreachable():
            self._standing.tell()

    def _begin_outside(self) -> None:
        self._leader.begin_slot(None)
        self._context.waits.cancel(("leader",))
        if not self._context.waits.waiting(("join",)):
            self._standing.ask_in()

    def close(self) -> None:
        """The closing decision is known: nothing is to be decided any more."""
        self._context.finished = True
        self._leader.stop()
        self._context.waits.clear()
        self._context.out.append(Finished())
