"""Whether enough votes can be had; and the owner's word that some are lost for good."""

from __future__ import annotations

from collections.abc import Callable

from actors.steps.ballots import Dismiss
from actors.steps.context import Context
from actors.steps.view import CommittedView


class Quorum:
    """Watches the votes of the committed view.

    Args:
        context: shared state.
        owner_signed: whether the run's owner has signed a dismissal.
    """

    def __init__(self, context: Context, owner_signed: Callable[[Dismiss], bool]) -> None:
        self._context = context
        self._owner_signed = owner_signed
        self._dismissal: Dismiss | None = None
        self.without = ""
        """Why no majority can agree; empty while one can."""

    def review(self) -> None:
        """Tell a person when a majority is lost, for another reason than before, or back."""
        context = self._context
        without = context.why_no_majority() if context.agreement.votes and not context.has_majority else ""
        if without != self.without and context.view.number > 0:
            self.without = without
            if without:
                context.note("paused", f"nothing is committed here until others are back: {without}")
            else:
                context.note("resumed", "a majority can agree again")

    def dismiss(self, message: Dismiss) -> bool:
        """Take the owner's word; whoever is here with its vote keeps it. Returns whether anything changed."""
        context, view = self._context, self._context.view
        named = {m.peer_id: m for m in view.members if message.voters.get(m.peer_id) == m.life}
        recent = view.number - len(message.voters) <= message.view_number <= view.number
        if context.finished or view.number <= 0 or not recent or named.keys() <= view.dismissed:
            context.ignore("a dismissal for another view, or one that is known")
            return False
        if not self._owner_signed(message):
            context.note("refused", "a dismissal that the run's owner did not sign")
            return False
        if context.has_majority:
            context.note("refused", "a dismissal that is not needed: a majority can agree")
            return False
        lost = context.votes_lost()
        if here := [m.name for peer, m in named.items() if peer not in lost and peer not in view.dismissed]:
            context.note("refused", f"a dismissal of {', '.join(here)}: who is here keeps its vote")
            return False
        self._dismissal = message
        names = ", ".join(member.name for member in named.values())
        context.note("dismissed", f"the owner has declared the votes of {names} lost; {view.voters} could vote before")
        context.agreement.dismiss(view.dismissed | named.keys())
        context.send_all(message)
        return True

    def decided(self, before: CommittedView) -> None:
        """Votes stay dismissed until a decision has removed them from the view, or enough are back without them."""
        context, view = self._context, self._context.view
        stay = {member.peer_id for member in view.members if member in before.members} & before.dismissed
        if not context.has_majority:
            context.agreement.dismiss(frozenset(stay))

    def greet(self, peer: str) -> None:
        """Somebody came: it may have missed the owner's word."""
        if self._dismissal is not None and self._context.view.dismissed:
            self._context.send(peer, self._dismissal)
