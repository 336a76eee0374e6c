"""What a leader says to all members: numbered orders, each replacing the one before, named again by every beat."""

from __future__ import annotations

from actors.steps.ballots import Average, Beat, Decided, Decision, Lead, Plan, Propose
from actors.steps.context import Context

MOST_ORDERS = 1 << 32
"""In one slot, of one process."""


class Broadcast:
    """The orders of one slot."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._first = context.starts * MOST_ORDERS
        """Orders have higher numbers: those of earlier processes of this life may have had the same ballot."""
        self.number = self._first
        """Of the last order."""
        self.order: Plan | Average | Propose | Lead | None = None

    def next(self) -> int:
        """Number of the order that is about to be given."""
        self.number += 1
        return self.number

    def say(self, order: Plan | Average | Propose | Lead) -> None:
        """Give an order."""
        self.order = order
        self._context.send_all(order)

    def again(self, peer: str) -> None:
        """Give the last order once more, to somebody who missed it."""
        if isinstance(self.order, Plan | Average):
            self._context.send(peer, self.order)

    def welcome(self, peer: str) -> None:
        """Give the last order to somebody who has just come."""
        if self.order is not None and self._context.view.member(peer) is not None:
            self._context.send(peer, self.order)

    def repeat(self) -> bool:
        """Say again what is not followed but voted on; return whether there was such a thing."""
        if not isinstance(self.order, Lead | Propose):
            return False
        self._context.send_all(self.order)
        return True

    def beat(self, *, asks: bool, resigns: bool) -> None:
        """Say that we are there, and which order was the last one."""
        agreement = self._context.agreement
        number = self.number if self.number > self._first else 0
        self._context.send_all(Beat(agreement.slot, agreement.promised, number, asks, resigns))

    def announce(self, decision: Decision) -> None:
        """A majority has accepted: tell all, the new members too."""
        context = self._context
        peers = {member.peer_id for member in (*context.view.members, *decision.members)} & context.usable
        for peer in sorted(peers - {context.me.peer_id}):
            context.send(peer, Decided(decision))
