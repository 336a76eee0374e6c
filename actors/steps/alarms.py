"""What happens when a wait is over: each key of `waits` goes to the part whose wait it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from actors.steps.averaging import Averaging
from actors.steps.context import Context
from actors.steps.donor import Donor
from actors.steps.effects import Doubt, RestartShards
from actors.steps.follower import Follower
from actors.steps.hop import Hop
from actors.steps.leader import Leader
from actors.steps.origin import Origin
from actors.steps.saving import Saver
from actors.steps.standing import Standing
from actors.steps.succession import Succession
from actors.steps.tenure import Tenure


@dataclass(frozen=True)
class Alarms:
    """All who wait for something."""

    _context: Context
    _origin: Origin
    _hop: Hop
    _averaging: Averaging
    _donor: Donor
    _follower: Follower
    _saver: Saver
    _standing: Standing
    _tenure: Tenure
    _succession: Succession
    _leader: Leader

    def tick(self) -> None:
        """Time has passed."""
        context = self._context
        for peer, reason in context.waits.doubtful(context.now).items():
            if peer != context.me.peer_id:
                context.out.append(Doubt(peer, reason))
        for key, text in context.waits.expired(context.now):
            assert isinstance(key, tuple)
            self._overdue(key, text)

    def _overdue(self, key: tuple[Any, ...], text: str) -> None:
        context = self._context
        match key:
            case ("shard" | "export" | "apply" | "load", *_) if self._alone():
                context.note("slow", f"{text}; nobody else holds this stage, so they are waited for")
                again = f"the shards of {context.me.name} are slow"
                context.waits.after(context.now, key, context.setup.floor_s, again)
            case ("hop", purpose, index):
                context.note("overdue", text)
                self._hop.overdue(purpose, index)
            case ("origin", purpose, index):
                context.note("overdue", text)
                self._origin.overdue(purpose, index)
            case ("shard" | "export" | "apply" | "load" | "fetch", *_):
                context.out.append(RestartShards(text))
            case ("reduce",):
                stuck = self._averaging.overdue()
                if stuck is not None:
                    context.send(context.leader.peer_id, stuck)
            case ("leader",):
                self._succession.overdue()
            case ("catchup",):
                self._follower.overdue()
            case ("save",):
                self._saver.overdue(text)
            case ("snapshot",):
                self._donor.overdue()
            case ("join",):
                self._standing.ask_in()
            case ("depart",):
                self._tenure.ask_out()
            case ("farewell",):
                self._tenure.go()
            case (name,):
                self._leader.overdue(name, text)

    def _alone(self) -> bool:
        """Whether the own shards are the only ones that hold what the step needs of this stage."""
        context = self._context
        mine = context.held if context.applying is None else context.applying.commit
        others = set(context.workers) | set(context.decision.holders)
        replicas = [m.peer_id for m in context.view.replicas(context.me.stage) if m.peer_id in others & context.usable]
        return mine >= context.step and replicas in ([], [context.me.peer_id])
