"""Giving the committed state to replicas that are behind: a snapshot once, and each later average, chunk by chunk.

Whoever wants it asks all replicas, and fetches from several at once. A donor keeps the snapshot of one commit and the
averages that followed, as long as somebody may ask for them.
"""

from __future__ import annotations

from dataclasses import dataclass

from actors.averaging.reduce import Float32
from actors.steps.assignment import may_have
from actors.steps.ballots import Decided
from actors.steps.chunks import Cutting
from actors.steps.context import Context, Update
from actors.steps.effects import ExportState
from actors.steps.eras import origin
from actors.steps.messages import Chunk, Denied, Get, Gone, Offer, Part, Want

MOST_FOLLOWERS = 8
MOST_KEPT = 8
"""Averages kept for those who fetch a state; whoever needs longer begins with a newer state."""
IDLE_FLOORS = 6.0
"""A snapshot that nobody has asked for in so many floors of patience is forgotten."""


@dataclass(frozen=True)
class _Kept:
    """What can be fetched here."""

    values: Float32
    offer: Offer


class Donor:
    """The giving side."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._followers: dict[str, int] = {}
        """Peer -> newest commit that was offered to it, or that it holds."""
        self._asked: dict[str, Want] = {}
        self._exporting = False
        self._last: Update | None = None
        self._snapshot: _Kept | None = None
        self._averages: dict[int, _Kept] = {}
        """Commit that it leads to -> average; without gaps, the newest last."""

    # Who wants what

    def want(self, peer: str, message: Want) -> None:
        """A replica lacks something."""
        if not self._may(peer):
            return
        if len(self._followers) + len(self._asked) >= MOST_FOLLOWERS and peer not in self._followers:
            self._context.ignore("too many ask for the state")
            return
        self._followers.pop(peer, None)
        self._asked[peer] = message
        self.serve()

    def _may(self, peer: str) -> bool:
        """Whether the committed log gives this stage to that peer; it is told when it does not."""
        context = self._context
        if may_have(context, peer, context.me.stage):
            return True
        name, stage = context.named(peer), context.me.stage
        context.note("refused", f"{name} asked for stage {stage}, which it was not given, or is beyond its share")
        context.send(peer, Denied(f"stage {stage} was not given to you, or is more of the model than you may hold"))
        return False

    def serve(self) -> None:
        """Answer whoever asked, as soon as there is something to give."""
        context = self._context
        if not context.ready or not self._asked:
            return
        self._keep_last()
        for peer, want in list(self._asked.items()):
            if peer not in context.usable:
                continue  # what is sent now would be lost
            begins = self._snapshot.offer.commit if self._snapshot is not None else -1
            if self._leads_here(want.held):
                self._follow(peer, want.held)
            elif begins >= max(want.least, 0) and self._leads_here(begins):
                assert self._snapshot is not None
                context.send(peer, self._snapshot.offer)
                self._follow(peer, begins)
            elif context.held >= want.least and not self._exporting:
                self._exporting = True
                context.out.append(ExportState(context.held))

    def _leads_here(self, commit: int) -> bool:
        """Whether the averages kept here lead from that commit to the one that is held."""
        held = self._context.held
        return 0 <= commit <= held and all(number in self._averages for number in range(commit + 1, held + 1))

    def _follow(self, peer: str, since: int) -> None:
        context = self._context
        del self._asked[peer]
        context.send(peer, Decided(context.decision))
        for commit in range(since + 1, context.held + 1):
            context.send(peer, self._averages[commit].offer)
        self._followers[peer] = context.held

    # What there is

    def _era(self, commit: int) -> int:
        return origin(self._context.decision.returns, commit)

    def exported(self, commit: int, values: Float32, parameter_hash: str) -> None:
        """The own state is here: offer it to all who asked."""
        context = self._context
        self._exporting = False
        hashes = self._cutting(values).hashes(values)
        self._snapshot = _Kept(values, Offer(Part.STATE, commit, self._era(commit), hashes, parameter_hash, 1.0, 1))
        self._use()
        names = context.names(peer for peer in self._asked if peer in context.usable)
        context.note("donates", f"{context.me.name} gives commit {commit} to {names or 'nobody any more'}")
        self.serve()

    def applied(self, last: Update) -> None:
        """One more commit: tell those who follow."""
        context = self._context
        self._last = last
        if self._followers or self._asked:
            self._keep_last()
        for peer, commit in list(self._followers.items()):
            if commit == last.commit - 1 and last.commit in self._averages:
                self._followers[peer] = last.commit
                context.send(peer, Decided(context.decision))
                context.send(peer, self._averages[last.commit].offer)
            elif commit < last.commit:
                del self._followers[peer]  # it asks again
        if not self._followers and not self._asked:
            self._forget()
        self.serve()

    def _keep_last(self) -> None:
        """Make the newest average fetchable."""
        last = self._last
        if last is None or last.commit in self._averages or last.commit != self._context.held:
            return
        if last.commit - 1 not in self._averages:
            self._averages.clear()
        hashes = self._cutting(last.average).hashes(last.average)
        offer = Offer(
            Part.AVERAGE,
            last.commit,
            self._era(last.commit),
            hashes,
            last.average_hash,
            last.clip_factor,
            last.replicas,
        )
        self._averages[last.commit] = _Kept(last.average, offer)
        while len(self._averages) > MOST_KEPT:
            del self._averages[next(iter(self._averages))]

    def get(self, peer: str, message: Get) -> None:
        """Send a chunk."""
        if not self._may(peer):
            return
        context, kept = self._context, self._kept(message)
        if kept is None or not 0 <= message.chunk < len(kept.offer.chunks):
            context.send(peer, Gone(message.part, message.commit))
            return
        self._use()
        values = self._cutting(kept.values).cut(kept.values, message.chunk)
        context.send(peer, Chunk(message.part, message.commit, message.chunk), (values,))

    def _kept(self, message: Get) -> _Kept | None:
        if message.part is Part.AVERAGE:
            return self._averages.get(message.commit)
        found = self._snapshot is not None and self._snapshot.offer.commit == message.commit
        return self._snapshot if found else None

    def _cutting(self, values: Float32) -> Cutting:
        return Cutting(len(values), self._context.setup.smallest_chunk)

    # Who needs nothing any more

    def _use(self) -> None:
        context = self._context
        context.waits.after(context.now, ("snapshot",), IDLE_FLOORS * context.setup.floor_s, "")

    def overdue(self) -> None:
        """Nobody has fetched anything for long: those who follow have what they need, or are gone."""
        self._followers.clear()
        self._forget()

    def _forget(self) -> None:
        self._context.waits.cancel(("snapshot",))
        self._snapshot = None
        self._averages.clear()

    def drop(self, peers: set[str]) -> None:
        """These need nothing any more."""
        for peer in peers:
            self._followers.pop(peer, None)
            self._asked.pop(peer, None)

    def lost(self) -> None:
        """The own shards are gone: others ask somebody else."""
        self._exporting, self._last = False, None
        self._asked.clear()
        self._followers.clear()
        self._forget()
