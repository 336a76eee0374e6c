"""What a participant tells of itself: its holdings to the leader, and, from outside, its wish to be let in."""

from __future__ import annotations

from actors.steps import ballots
from actors.steps.ballots import Report
from actors.steps.context import Context
from actors.steps.hop import Hop
from actors.steps.origin import Origin


class Standing:
    """The own part of the truth that leaders go on from."""

    def __init__(self, context: Context, hop: Hop, origin: Origin) -> None:
        self._context, self._hop, self._origin = context, hop, origin

    def report(self) -> Report:
        """What this participant holds now."""
        context = self._context
        followed = context.order[:2] == (context.agreement.slot, context.agreement.promised)
        return Report(
            context.me.life,
            context.held if context.applying is None else context.applying.commit,
            dict(self._hop.counted) if context.ready else {},
            self._origin.driving,
            self._hop.tokens_per_s,
            context.data_ok,
            context.setup.config_hash,
            context.order[2] if followed else -1,
            self.unreachable(),
        )

    def unreachable(self) -> tuple[str, ...]:
        """Members that cannot be reached from here."""
        context = self._context
        return tuple(m.peer_id for m in context.view.members if m.peer_id not in context.usable)

    def tell(self) -> None:
        """To the leader; from outside, to all, as a request to be let in."""
        context, agreement = self._context, self._context.agreement
        if not agreement.votes:
            self.ask_in()
        elif context.step >= 0:
            message = ballots.Holding(agreement.slot, agreement.promised, self.report())
            context.send(context.leader.peer_id, message)

    def ask_in(self) -> None:
        """Ask everybody, and again after a while."""
        context = self._context
        if context.agreement.votes or context.finished:
            return
        context.waits.after(context.now, ("join",), context.setup.beat_s, "")
        message = ballots.Join(context.decision.slot, context.me.name, context.me.stage, self.report())
        for peer in sorted(context.usable - {context.me.peer_id}):
            context.send(peer, message)

    def could_work(self) -> bool:
        """Whether a leader may give this participant work: on the last stage only with the run's corpus."""
        return self._context.data_ok or self._context.me.stage != self._context.last_stage
