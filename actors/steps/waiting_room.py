"""Who has no vote and wants one, and since when."""

from __future__ import annotations

from actors.steps.ballots import Join
from actors.steps.context import Context
from actors.steps.messages import Abort

JOIN_BEATS = 10
"""A joiner who cannot reach somebody of another stage is let in after so many beats all the same."""


class WaitingRoom:
    """Joiners as this participant has heard them; whoever leads next decides."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.joiners: dict[str, Join] = {}
        self._since: dict[tuple[str, int], float] = {}
        """(Joiner, its life) -> when it asked first."""

    def enter(self, sender: str, message: Join) -> bool:
        """Somebody asks; False when it cannot be let in, which it is told."""
        context = self._context
        if message.report.config_hash != context.setup.config_hash:
            context.send(sender, Abort(f"the run that {context.me.name} is in has another config: start with the same"))
            return False
        self.joiners[sender] = message
        self._since.setdefault((sender, message.report.life), context.now)
        return True

    def begin_slot(self) -> None:
        """Who was let in need not wait."""
        self.joiners = {peer: join for peer, join in self.joiners.items() if not self._is_in(peer, join)}
        waiting = {(peer, join.report.life) for peer, join in self.joiners.items()}
        self._since = {key: since for key, since in self._since.items() if key in waiting}

    def patient(self) -> set[str]:
        """Who has asked for so long that it need not reach everybody."""
        enough = self._context.now - JOIN_BEATS * self._context.setup.beat_s
        return {peer for (peer, _), since in self._since.items() if since <= enough}

    def _is_in(self, peer: str, join: Join) -> bool:
        member = self._context.view.member(peer)
        return member is not None and member.life == join.report.life
