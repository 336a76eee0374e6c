"""Messages about a slot: a member's own votes, orders of whoever leads, what the leader is told, who asks for a seat.

Those about the slot under way count; those about an earlier one are answered with the newest decision, those about a
later one are kept until its turn comes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from actors.steps import ballots
from actors.steps.assignment import wrong_log
from actors.steps.ballots import Decision
from actors.steps.context import Context
from actors.steps.early import Early
from actors.steps.eras import wrong_returns
from actors.steps.leader import Leader
from actors.steps.orders import Orders
from actors.steps.quorum import Quorum
from actors.steps.standing import Standing
from actors.steps.succession import Succession


class Council:
    """A member's part in deciding.

    Args:
        context: shared state.
        early: keeps what is about a later slot.
        quorum: watches whether enough votes can be had.
        leader: leads, if it is our turn.
        succession: watches whoever leads.
        orders: obeys.
        standing: tells what is held here.
        decide: takes a decision.
    """

    def __init__(
        self,
        context: Context,
        early: Early,
        quorum: Quorum,
        leader: Leader,
        succession: Succession,
        orders: Orders,
        standing: Standing,
        decide: Callable[[Decision], None],
    ) -> None:
        self._context, self._early, self._quorum = context, early, quorum
        self._leader, self._succession = leader, succession
        self._orders, self._standing, self._decide = orders, standing, decide

    def receive(self, peer: str, message: Any) -> None:
        """A message about a slot, this one or another, or from somebody who asks for a seat, or to give it up."""
        context, slot = self._context, self._context.agreement.slot
        if isinstance(message, ballots.Enlist | ballots.Depart | ballots.Join):
            self.inform(peer, message.slot)
            self._asked(peer, message)
        elif message.slot < slot:
            if not isinstance(message, ballots.Accepted | ballots.Promise | ballots.Prepared | ballots.Refused):
                self.inform(peer, message.slot - 1)
            context.ignore("about a slot that is decided")
        elif message.slot > slot:
            self._early.keep(peer, message)
            if isinstance(message, ballots.Beat | ballots.Lead):
                context.send(peer, ballots.Fetch(context.decision.slot))
        elif not context.finished:
            self._deliberate(peer, message)

    def inform(self, peer: str, slot: int) -> None:
        """Send the newest decision to somebody who knows that of a slot, if it is newer."""
        if slot < self._context.decision.slot:
            self._context.send(peer, ballots.Decided(self._context.decision))

    def _asked(self, peer: str, message: ballots.Enlist | ballots.Depart | ballots.Join) -> None:
        """Somebody wants a stage, or to go, or a vote."""
        context = self._context
        if isinstance(message, ballots.Join) and message.report.life > context.lives.get(peer, -1):
            context.lives[peer] = message.report.life
            self._quorum.review()
            if peer == context.leader.peer_id:
                self._succession.watch()
        if context.finished:
            return
        self._leader.asked(peer, message)
        if isinstance(message, ballots.Join):
            self._standing.asked(peer, message)

    def _deliberate(self, peer: str, message: Any) -> None:
        """A message about this very slot."""
        context, agreement = self._context, self._context.agreement
        match message:
            case ballots.Lead():
                answer = agreement.lead(peer, message, self._standing.report())
                self._obeyed(peer, answer)
                if answer is not None:
                    context.send(peer, answer)
            case ballots.Propose() if wrong := self._forbids(message.decision):
                context.note("refused", f"a proposal of {context.named(peer)}: {wrong}")
            case ballots.Propose():
                vote = agreement.propose(peer, message)
                self._obeyed(peer, vote)
                if vote is not None:
                    context.send(peer, vote)
            case ballots.Plan() | ballots.Average() | ballots.Beat():
                if agreement.obeys(peer, message.ballot):
                    self._succession.watch()
                    self._orders.follow(peer, message)
                else:
                    context.ignore("an order of somebody who does not lead")
            case ballots.Promise():
                self._leader.promise(peer, message)
            case ballots.Accepted():
                self._voted(peer, message)
            case ballots.Refused():
                agreement.refused(message)
                self._succession.watch()
            case ballots.Again():
                self._leader.again(peer)
            case ballots.Holding():
                self._leader.holding(peer, message)
            case ballots.Vouch() if context.view.member(peer) is not None:
                self._leader.asked(peer, message)
            case ballots.Prepared():
                self._leader.prepared(peer, message)
            case ballots.Stuck():
                self._leader.stuck(peer, message)
        if agreement.candidacy is None:
            self._leader.stop()

    def _forbids(self, decision: Decision) -> str:
        """Why we do not accept a decision, whoever proposes it."""
        known = self._context.decision
        wrong = wrong_returns(known.returns, known.step, decision.returns, decision.step)
        return wrong or wrong_log(self._context.setup, known.assigned, decision.assigned)

    def _obeyed(self, peer: str, answer: object) -> None:
        if isinstance(answer, ballots.Promise | ballots.Accepted) and peer != self._context.me.peer_id:
            self._succession.watch()

    def _voted(self, peer: str, message: ballots.Accepted) -> None:
        decision = self._context.agreement.accepted(peer, message)
        if decision is not None:
            self._leader.announce(decision)
            self._decide(decision)
