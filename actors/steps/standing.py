"""What a participant tells of itself: its holdings to the leader, and, from outside, its wish to be let in."""

from __future__ import annotations

from actors.steps import ballots
from actors.steps.ballots import Report
from actors.steps.context import Context
from actors.steps.hop import Hop
from actors.steps.messages import Differs
from actors.steps.origin import Origin

MOST_TOLD = 16
"""Unusable checkpoints that others are told of."""


class Standing:
    """The own part of the truth that leaders go on from."""

    def __init__(self, context: Context, hop: Hop, origin: Origin) -> None:
        self._context, self._hop, self._origin = context, hop, origin
        self._joiners: dict[str, Report] = {}
        """Who wants to be let in to the own stage -> what it holds, as it said last."""
        self._denied = ""

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
            context.parameter_hash if context.held >= 0 and context.applying is None else "",
            context.returnable,
            context.stored,
            context.restoring,
            {f"{history}/{commit}": why for (history, commit), why in list(context.unusable.items())[-MOST_TOLD:]},
            context.spare,
            len(context.decision.returns),
            self._routes() if context.ready else {},
        )

    def _routes(self) -> dict[int, tuple[int, ...]]:
        view = self._context.view
        return {index: view.places(route) for index, route in {**self._hop.routes, **self._origin.routes}.items()}

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
        if context.agreement.votes or context.finished or (context.leaving and not self.needed):
            return
        context.waits.after(context.now, ("join",), context.setup.beat_s, "")
        if context.step >= 0 and context.me.peer_id not in context.decision.assigned:
            self._enlist()
            return
        if context.me.stage < 0:
            context.send_known(ballots.Fetch(context.decision.slot))
            return
        message = ballots.Join(context.decision.slot, context.me.name, context.me.stage, self.report())
        context.send_known(message)

    @property
    def needed(self) -> bool:
        """Whether nobody with a vote serves the own stage: who holds its parameters must not go, vote or not."""
        context = self._context
        return context.held >= 0 and not [m for m in context.view.replicas(context.me.stage) if m != context.me]

    def _enlist(self) -> None:
        """Ask everybody for a stage."""
        context, me = self._context, self._context.me
        slot, config = context.decision.slot, context.setup.config_hash
        context.send_known(ballots.Enlist(slot, me.life, me.name, me.stage, context.memory, config, context.spare))

    def denied(self, peer: str, reason: str) -> None:
        """What was asked for is not given: a person should know it, once."""
        if reason != self._denied:
            self._denied = reason
            self._context.note("denied", f"{self._context.named(peer)} says: {reason}")

    def asked(self, peer: str, message: ballots.Join) -> None:
        """Somebody wants to be let in."""
        if message.stage == self._context.me.stage and peer != self._context.me.peer_id:
            self._joiners[peer] = message.report
            self.vouch()

    def vouch(self) -> None:
        """Tell the leader who holds the very parameters that we hold, and those who do not that they do not."""
        context, agreement = self._context, self._context.agreement
        if not context.ready or not agreement.votes:
            return
        for peer, report in list(self._joiners.items()):
            if report.held > context.held:
                continue  # it will be compared when we hold that commit, too
            del self._joiners[peer]
            if report.held != context.held or not report.parameter_hash:
                continue
            if report.parameter_hash == context.parameter_hash:
                vouch = ballots.Vouch(agreement.slot, agreement.promised, peer, report.life, context.held)
                context.send(context.leader.peer_id, vouch)
            elif peer in context.usable:
                context.send(peer, Differs(context.held, report.parameter_hash))

    def could_work(self) -> bool:
        """Whether a leader may give this participant work: on the last stage only with the run's corpus."""
        return self._context.data_ok or self._context.me.stage != self._context.last_stage
