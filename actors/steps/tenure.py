"""Which stage is ours, as the log says, and going when nothing is lost by it."""

from __future__ import annotations

import math
from dataclasses import replace

from actors.steps import ballots
from actors.steps.ballots import Decision
from actors.steps.context import Context
from actors.steps.effects import Departed, Serve
from actors.steps.holdings import Holdings
from actors.steps.standing import Standing

FAREWELL_BEATS = 4
"""Whoever goes waits so long for the last of those who stay, once any of them knows that it goes."""


class Tenure:
    """From being given a stage to leaving.

    Args:
        context: shared state.
        holdings: what the shards of the stage hold.
        standing: asks to be let in.
    """

    def __init__(self, context: Context, holdings: Holdings, standing: Standing) -> None:
        self._context, self._holdings, self._standing = context, holdings, standing
        self._parting = math.inf
        """Since when nothing is awaited of us."""
        self._aware: set[str] = set()
        """Who has said since then that it knows."""
        self._gone = False

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
        """Leave, if we want to and nothing is awaited of us; returns whether we do.

        Not before those who stay have said that they know the decision that lets us go: it may have been made by the
        votes of those who go, and then nobody else could tell of it, or agree on another one.
        """
        context = self._context
        if self._gone:
            return True
        if not context.leaving or context.agreement.votes or self._standing.needed:
            self._parting = math.inf
            return False
        if self._parting == math.inf:
            self._parting, self._aware = context.now, set()
            context.waits.clear()
        self._part()
        return True

    def heard(self, peer: str, decision: Decision) -> None:
        """Somebody says which decision is the newest that it knows."""
        if self._parting < math.inf and not self._gone and decision.slot >= self._context.decision.slot:
            self._aware.add(peer)
            if self._nobody_is_awaited():
                self._depart()

    def _part(self) -> None:
        context = self._context
        if self._nobody_is_awaited():
            self._depart()
            return
        slot = context.decision.slot
        for peer in self._unaware():
            context.send(peer, ballots.Decided(context.decision))
            context.send(peer, ballots.Fetch(slot - 1))  # the answer says whether it has come
        context.waits.after(context.now, ("farewell",), context.setup.beat_s, "")

    def _unaware(self) -> list[str]:
        context = self._context
        return [m.peer_id for m in context.view.members if m.peer_id in context.usable - self._aware]

    def _nobody_is_awaited(self) -> bool:
        setup, waited = self._context.setup, self._context.now - self._parting
        if self._context.decision.slot < 0:
            return True
        if self._aware:
            return not self._unaware() or waited >= FAREWELL_BEATS * setup.beat_s
        return waited >= setup.floor_s

    def _depart(self) -> None:
        self._gone = True
        self._context.waits.clear()
        self._context.out.append(Departed(f"{self._context.me.name} has left the run"))

    def ask_out(self) -> None:
        """Tell everybody that we want to go, and again after a while."""
        context = self._context
        context.waits.after(context.now, ("depart",), context.setup.beat_s, "")
        context.send_all(ballots.Depart(context.decision.slot, context.me.life))
