"""Peers that come and go: what each part does about it."""

from __future__ import annotations

from actors.steps import ballots
from actors.steps.context import Context
from actors.steps.donor import Donor
from actors.steps.events import PeerLost
from actors.steps.follower import Follower
from actors.steps.hop import Hop
from actors.steps.leader import Leader
from actors.steps.origin import Origin
from actors.steps.quorum import Quorum
from actors.steps.saving import Saver
from actors.steps.standing import Standing
from actors.steps.succession import Succession


class Peers:
    """Who can be worked with, and all to whom that matters.

    Args:
        context: shared state.
        quorum: watches whether enough votes can be had.
        leader: leads, if it is our turn.
        succession: watches whoever leads.
        standing: tells the leader what is held here.
        hop: replaces those to whom work was sent on.
        origin: replaces those by whom microbatches were to go.
        saver: replaces those who were to write a part of a checkpoint.
        donor: gives what is held here.
        follower: gets what is not.
    """

    def __init__(
        self,
        context: Context,
        quorum: Quorum,
        leader: Leader,
        succession: Succession,
        standing: Standing,
        hop: Hop,
        origin: Origin,
        saver: Saver,
        donor: Donor,
        follower: Follower,
    ) -> None:
        self._context, self._quorum, self._leader, self._succession = context, quorum, leader, succession
        self._standing, self._hop, self._origin = standing, hop, origin
        self._saver, self._donor, self._follower = saver, donor, follower

    def up(self, peer: str) -> None:
        """A peer can be worked with from now on."""
        context = self._context
        if peer in context.usable:
            return
        context.usable.add(peer)
        context.gone.pop(peer, None)
        if context.finished:
            return
        self._quorum.greet(peer)
        self._saver.greet(peer)
        context.send(peer, ballots.Fetch(context.decision.slot))  # much may have happened without us
        self._leader.peer_up(peer)
        self._leader.peers_changed()
        if not context.agreement.votes:
            self._standing.ask_in()
        elif context.view.member(peer) is not None:  # the leader, who missed what was told, or one who was apart
            self._standing.tell()
        self._donor.serve()
        self._follower.seek()
        self._saver.peers_changed()
        self._hop.redirect()
        self._quorum.review()

    def lost(self, lost: PeerLost) -> None:
        """A peer cannot be worked with any more."""
        context, peer = self._context, lost.peer
        if lost.gone and peer not in context.gone:
            context.gone[peer] = lost.reason
            if not lost.polite:
                context.note("lost", f"{context.named(peer)}: {lost.reason}")
        context.usable.discard(peer)
        if context.finished:
            return
        self._donor.drop({peer})
        self._hop.redirect()
        self._origin.redirect()
        self._follower.peer_lost(peer)
        self._saver.peers_changed()
        self._leader.peers_changed()
        if context.leader.peer_id == peer:
            self._succession.watch()
        elif peer in self._standing.unreachable() and context.agreement.votes:
            self._standing.tell()
        self._quorum.review()
