"""Who has no vote and wants one, and since when."""

from __future__ import annotations

from actors.steps.ballots import Depart, Enlist, Join, Vouch
from actors.steps.context import Context
from actors.steps.messages import Abort, Denied

JOIN_BEATS = 10
"""A joiner who cannot reach somebody of another stage is let in after so many beats all the same."""


class WaitingRoom:
    """Joiners as this participant has heard them; whoever leads next decides."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.joiners: dict[str, Join] = {}
        self._since: dict[tuple[str, int], float] = {}
        """(Joiner, its life) -> when it asked first."""
        self.enlisted: dict[str, Enlist] = {}
        """Who has no stage."""
        self.leaving: dict[str, int] = {}
        """Who wants to go -> number of its process."""
        self.vouched: dict[str, tuple[int, int]] = {}
        """Joiner -> its life, and the commit of which a replica holds the same parameters."""

    def newest_life(self, peer: str) -> int:
        """Number of the newest process of a peer that has asked for anything; -1 for none."""
        join, enlist = self.joiners.get(peer), self.enlisted.get(peer)
        return max(join.report.life if join is not None else -1, enlist.life if enlist is not None else -1)

    def receive(self, sender: str, message: Join | Enlist | Depart | Vouch) -> bool:
        """Keep what somebody asks for; False when it cannot be had, which it is told."""
        match message:
            case Join():
                if not self._same_config(sender, message.report.config_hash):
                    return False
                self.joiners[sender] = message
                self._since.setdefault((sender, message.report.life), self._context.now)
            case Enlist():
                if not self._same_config(sender, message.config_hash):
                    return False
                self.enlisted[sender] = message
            case Depart():
                self.leaving[sender] = message.life
            case Vouch():
                self.vouched[message.peer] = (message.life, message.commit)
        return True

    def deny(self, peer: str, reason: str) -> None:
        """It is told why, and may ask again."""
        del self.enlisted[peer]
        self._context.send(peer, Denied(reason))

    def _same_config(self, sender: str, config_hash: str) -> bool:
        context = self._context
        if config_hash != context.setup.config_hash:
            context.send(sender, Abort(f"the run that {context.me.name} is in has another config: start with the same"))
        return config_hash == context.setup.config_hash

    def begin_slot(self) -> None:
        """Who was let in need not wait."""
        self.joiners = {peer: join for peer, join in self.joiners.items() if not self._is_in(peer, join)}
        self.vouched = {peer: vouch for peer, vouch in self.vouched.items() if peer in self.joiners}
        assigned, view = self._context.decision.assigned, self._context.view
        self.enlisted = {peer: one for peer, one in self.enlisted.items() if peer not in assigned}
        self.leaving = {peer: life for peer, life in self.leaving.items() if view.votes(peer, life)}
        waiting = {(peer, join.report.life) for peer, join in self.joiners.items()}
        self._since = {key: since for key, since in self._since.items() if key in waiting}

    def patient(self) -> set[str]:
        """Who has asked for so long that it need not reach everybody."""
        enough = self._context.now - JOIN_BEATS * self._context.setup.beat_s
        return {peer for (peer, _), since in self._since.items() if since <= enough}

    def _is_in(self, peer: str, join: Join) -> bool:
        member = self._context.view.member(peer)
        return member is not None and member.life == join.report.life
