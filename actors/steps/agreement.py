"""Deciding one slot after the other: a member's votes, and its own candidacy. Single-decree Paxos a slot.

Safety needs nothing but this module: a vote is given once a ballot, to its owner; a promise is kept; a candidate
proposes what the highest ballot among a majority's votes proposed; what a majority accepted is decided. A vote counts
only from the very life that the view names: a process that has lost the memory of it has no vote.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from actors.steps.ballots import Accepted, Decision, Lead, Promise, Propose, Refused, Report
from actors.steps.view import Voter
from actors.steps.vote import Vote

MOST_BALLOTS = 1 << 48
"""No slot has so many; whoever names a higher one is mistaken."""


@dataclass
class Candidacy:
    """An attempt to lead a slot."""

    ballot: int
    promises: dict[str, Promise]
    proposal: Decision | None = None
    accepts: set[str] | None = None


class Agreement:
    """One member's part in deciding.

    Args:
        me: own peer id.
        life: the own one.
        decision: the newest one known.
    """

    def __init__(self, me: str, life: int, decision: Decision) -> None:
        self._me, self._life = me, life
        self.decision = decision
        self.view = decision.view
        self.unkept = False
        """Whether a vote was given that is not on disk yet; also one whose slot was decided with it at once."""
        self._begin()

    def _begin(self) -> None:
        self.promised = 0
        """The ballot that is obeyed; its owner leads."""
        self._accepted_ballot = -1
        self._accepted: Decision | None = None
        self.candidacy: Candidacy | None = None

    def restore(self, vote: Vote) -> None:
        """Go on from what an earlier process of the same life had on disk."""
        if vote.slot == self.slot:
            self.promised, self._accepted_ballot, self._accepted = vote.promised, vote.accepted_ballot, vote.accepted
            self.dismiss(frozenset(vote.dismissed))

    def vote(self, starts: int) -> Vote:
        """What must not be forgotten."""
        given = (self.slot, self.promised, self._accepted_ballot, self._accepted)
        return Vote(self._life, starts, *given, self.decision, self.dismissed)

    @property
    def given(self) -> tuple[object, ...] | None:
        """Changes with every promise and every vote; None where this life has no vote that could outlive a process."""
        if self.view.number == 0 or not self.votes:
            return None
        return self.slot, self.promised, self._accepted_ballot, self.dismissed

    @property
    def bound(self) -> bool:
        """Whether anything was promised or accepted in this slot."""
        return self.promised > 0 or self._accepted is not None

    @property
    def slot(self) -> int:
        """The slot to be decided."""
        return self.decision.slot + 1

    @property
    def votes(self) -> bool:
        """Whether this life has a vote."""
        return self.view.votes(self._me, self._life)

    @property
    def leader(self) -> Voter:
        """Who leads, as far as this member knows."""
        return self.view.owner(self.slot, self.promised)

    @property
    def leading(self) -> bool:
        """Whether this member leads and may propose."""
        candidacy = self.candidacy
        return candidacy is not None and candidacy.ballot == self.promised and self.won

    @property
    def won(self) -> bool:
        """Whether the first phase is over for the own ballot."""
        candidacy = self.candidacy
        if candidacy is None:
            return False
        return (candidacy.ballot == 0 and self._free) or len(candidacy.promises) >= self.view.quorum

    @property
    def _free(self) -> bool:
        """Whether ballot 0 needs no first phase: no lower one exists. In view 0 its owner wants to know the lives."""
        return self.view.number > 0

    def decided(self, decision: Decision) -> bool:
        """Take a decision; False when it is not newer than what is known."""
        if decision.slot <= self.decision.slot:
            return False
        self.decision = decision
        self.view = decision.view
        self._begin()
        return True

    def dismiss(self, peers: frozenset[str]) -> None:
        """The run's owner says that these votes are lost for good: those that are left decide the slot.

        What was promised and accepted for an own ballot was counted by another rule, so the candidacy ends.
        """
        if peers != self.view.dismissed:
            self.view = replace(self.view, dismissed=peers)
            self.candidacy = None

    @property
    def dismissed(self) -> tuple[str, ...]:
        """Whose votes are declared lost, in order."""
        return tuple(sorted(self.view.dismissed))

    # A member's votes

    def lead(self, sender: str, message: Lead, report: Report) -> Promise | Refused | None:
        """Answer somebody who wants to lead; None when it is not his turn."""
        if not self._may_ask(sender, message) or message.view_number != self.view.number:
            return None
        if message.ballot < self.promised:
            return Refused(self.slot, self.promised)
        self._promise(message.ballot)
        return Promise(self.slot, message.ballot, self._accepted_ballot, self._accepted, report)

    def propose(self, sender: str, message: Propose) -> Accepted | Refused | None:
        """Vote."""
        if not self._may_ask(sender, message) or message.decision.slot != self.slot:
            return None
        if message.ballot < self.promised:
            return Refused(self.slot, self.promised)
        self._promise(message.ballot)
        self._accepted_ballot, self._accepted = message.ballot, message.decision
        self.unkept = True
        return Accepted(self.slot, message.ballot, self._life)

    def _may_ask(self, sender: str, message: Lead | Propose) -> bool:
        """Whether it is his ballot, and he counts the same votes as we do."""
        return self._proper(sender, message.ballot) and message.dismissed == self.dismissed

    def _proper(self, sender: str, ballot: int) -> bool:
        return self.votes and 0 <= ballot < MOST_BALLOTS and self.view.owner(self.slot, ballot).peer_id == sender

    def _promise(self, ballot: int) -> None:
        self.promised = max(self.promised, ballot)
        if self.candidacy is not None and self.candidacy.ballot < self.promised:
            self.candidacy = None

    def obeys(self, sender: str, ballot: int) -> bool:
        """Whether an order with this ballot binds; higher ones than known are taken over."""
        if not self._proper(sender, ballot) or ballot < self.promised:
            return False
        self._promise(ballot)
        return True

    def refused(self, message: Refused) -> None:
        """A member whom we asked for its vote has promised more than we have."""
        if self.candidacy is not None and 0 <= message.ballot < MOST_BALLOTS:
            self._promise(message.ballot)

    # The own candidacy

    def run(self, ballot: int) -> Lead:
        """Begin to lead with an own ballot, not lower than what was promised."""
        assert self.view.owner(self.slot, ballot).peer_id == self._me and ballot >= self.promised
        if self.candidacy is None or self.candidacy.ballot != ballot:
            self.candidacy = Candidacy(ballot, {})
        self._promise(ballot)
        return Lead(self.slot, ballot, self.view.number, self.dismissed)

    def promise(self, sender: str, message: Promise) -> bool:
        """Count a promise; True when this one made the majority."""
        candidacy = self.candidacy
        if candidacy is None or message.ballot != candidacy.ballot or sender in candidacy.promises:
            return False
        if not self.view.votes(sender, message.report.life):
            return False
        candidacy.promises[sender] = message
        return len(candidacy.promises) == self.view.quorum

    def adopted(self) -> Decision | None:
        """What must be proposed: the decision that the highest ballot among the promises accepted."""
        if self.candidacy is None:
            return None
        voted = [promise for promise in self.candidacy.promises.values() if promise.accepted is not None]
        return max(voted, key=lambda promise: promise.accepted_ballot).accepted if voted else None

    def put(self, decision: Decision) -> Propose:
        """Propose, once a ballot."""
        candidacy = self.candidacy
        assert candidacy is not None and self.won
        if candidacy.proposal is None:
            candidacy.proposal, candidacy.accepts = self.adopted() or decision, set()
        return Propose(self.slot, candidacy.ballot, candidacy.proposal, self.dismissed)

    def accepted(self, sender: str, message: Accepted) -> Decision | None:
        """Count a vote; the decision when a majority has accepted it."""
        candidacy = self.candidacy
        if candidacy is None or message.ballot != candidacy.ballot or candidacy.accepts is None:
            return None
        if not self.view.votes(sender, message.life):
            return None
        candidacy.accepts.add(sender)
        return candidacy.proposal if len(candidacy.accepts) >= self.view.quorum else None

    def next_ballot(self, above: int, usable: set[str]) -> int:
        """The lowest ballot above another one whose owner can be worked with."""
        for ballot in range(above + 1, above + 1 + len(self.view.members)):
            owner = self.view.owner(self.slot, ballot)
            if owner.peer_id in usable and owner.peer_id not in self.view.dismissed:
                return ballot
        return above + 1
