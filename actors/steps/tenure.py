"""Which stage is ours, as the log says, and going when nothing is lost by it."""

from __future__ import annotations

from dataclasses import replace

from actors.steps import ballots
from actors.steps.ballots import Decision
from actors.steps.context import Context
from actors.steps.effects import Departed, Serve
from actors.steps.holdings import Holdings
from actors.steps.standing import Standing


class Tenure:
    """From being given a stage to leaving.

    Args:
        context: shared state.
        holdings: what the shards of the stage hold.
        standing: asks to be let in.
    """

    def __init__(self, context: Context, holdings: Holdings, standing: Standing) -> None:
        self._context, self._holdings, self._standing = context, holdings, standing

    def decided(self, decision: Decision) -> None:
        """Take another stage, if the log gives us one."""
        context = self._context
        stage = decision.assigned.get(context.me.peer_id, (context.me.stage,))[-1]
        if stage == context.me.stage:
            return
        context.me = replace(context.me, stage=stage)
        self._holdings.moved(stage)
        context.out.append(Serve(stage))

    def leave(self, reason: str) -> None:
        """Somebody wants us to go: the others let us out of the view."""
        context = self._context
        if context.leaving:
            return
        context.leaving = True
        context.note("leaving", f"{context.me.name} wants to go: {reason}")
        if not self.go():
            self.ask_out()
            self._standing.ask_in()

    def go(self) -> bool:
        """Leave, if we want to and nothing is awaited of us; returns whether we have."""
        context = self._context
        if not context.leaving or context.agreement.votes or self._standing.needed:
            return False
        context.waits.clear()
        context.out.append(Departed(f"{context.me.name} has left the run"))
        return True

    def ask_out(self) -> None:
        """Tell everybody that we want to go, and again after a while."""
        context = self._context
        context.waits.after(context.now, ("depart",), context.setup.beat_s, "")
        context.send_all(ballots.Depart(context.decision.slot, context.me.life))
