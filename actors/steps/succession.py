"""Who leads when the leader does not: watching it, and the order in which others take over."""

from __future__ import annotations

from actors.steps.context import Context
from actors.steps.leader import Leader

LEADER_BEATS, SUCCESSOR_BEATS = 10, 2
"""A leader that the mesh does not hold dead may be silent for so many beats; one that should take over, for so many."""


class Succession:
    """Watches whoever should lead the slot."""

    def __init__(self, context: Context, leader: Leader) -> None:
        self._context, self._leader = context, leader
        self._expected = 0
        """Ballot of whoever should lead."""

    def begin_slot(self) -> None:
        """A new slot has its own leader."""
        self._expected = 0

    def watch(self) -> None:
        """Wait for a word of the leader; it is replaced at once when the mesh holds it dead.

        Whoever merely cannot reach it waits: others may, and two that take over from each other get nowhere.
        """
        context, agreement = self._context, self._context.agreement
        if not agreement.votes or context.finished:
            return
        leader = agreement.leader.peer_id
        if leader == context.me.peer_id:
            context.waits.cancel(("leader",))
        elif context.view.number == 0 or (leader not in context.gone and leader not in context.reborn()):
            text = f"step {context.step}: its leader {context.named(leader)} says nothing"
            self._expected = agreement.promised
            context.waits.after(context.now, ("leader",), LEADER_BEATS * context.setup.beat_s, text, leader)
        else:
            self._replace(agreement.promised)

    def overdue(self) -> None:
        """Whoever should lead says nothing."""
        self._replace(max(self._expected, self._context.agreement.promised))

    def _replace(self, above: int) -> None:
        """The next one in turn takes over, which may be us."""
        context, agreement = self._context, self._context.agreement
        if not agreement.votes or context.finished:
            return
        ballot = self._expected = agreement.next_ballot(above, context.usable - context.reborn())
        successor = context.view.owner(agreement.slot, ballot).peer_id
        patience = LEADER_BEATS * context.setup.beat_s
        if successor == context.me.peer_id and context.now - self._leader.resigned_at < patience:
            self._expected = above
            context.waits.after(context.now, ("leader",), patience, "")
        elif successor == context.me.peer_id:
            context.waits.cancel(("leader",))
            self._leader.begin_slot(ballot)
        else:
            seconds = SUCCESSOR_BEATS * context.setup.beat_s
            context.waits.after(context.now, ("leader",), seconds, "", successor)
