"""One whole participant that is ready for a step, driven event by event."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from actors.records import Traffic
from actors.steps import effects
from actors.steps.ballots import Average, Decided, Plan
from actors.steps.chunks import average_digest
from actors.steps.context import Context
from actors.steps.events import Applied, Event, GradientExported, LocalReady, PeerUp, Received, Restored
from actors.steps.jobs import Job
from actors.steps.participant import Participant
from actors.steps.view import Voter
from tests.steps.parts import SETUP, STEP, decision, vector, voters
from tests.steps.saver import record

READY = LocalReady("built", 10, True, gradient_length=2, state_length=5)


class Whole:
    """A member that has heard of the decision before the step, and has got its parameters from a checkpoint.

    Args:
        me: who it is; who is no member has no vote.
        layout: replicas of each stage.
        leader: of the next slot.
        ready: whether its shards hold the step's parameters; else they are built, and what they need is asked for.
        decided: fields of the decision that differ.
        setup: fields of the setup that differ.
    """

    def __init__(
        self,
        me: str = "s0a",
        layout: tuple[int, ...] = (2, 2),
        leader: str = "s1b",
        *,
        ready: bool = True,
        decided: dict[str, Any] | None = None,
        **setup: Any,
    ) -> None:
        members = voters(*layout)
        mine = next((member for member in members if member.peer_id == me), Voter(me, 1, me.upper(), 0))
        values = {"stages": len(layout), "first": STEP if ready else 0, "resumed": 0, **setup}
        self.now = 0.0
        self.out: list[Any] = []
        self.core = Participant(replace(SETUP, **values), mine, (), Traffic, owner_signed=lambda message: True)
        for member in members:
            self.tell(PeerUp(member.peer_id))
        self.newest = decision(members, leader, **(decided or {}))
        self.hear(next(member.peer_id for member in members if member.peer_id != me), Decided(self.newest))
        self.tell(READY)
        if ready:
            self.tell(Restored(STEP, "parameters"))
        self.out.clear()

    @property
    def context(self) -> Context:
        return self.core.context

    def tell(self, event: Event) -> list[Any]:
        """Something happened; returns what follows."""
        out = self.core.handle(self.now, event)
        self.out += out
        return out

    def hear(self, peer: str, message: object, *tensors: Any) -> list[Any]:
        """A message came; returns what follows."""
        return self.tell(Received(peer, message, tensors))

    def plan(self, number: int = 1, **fields: Any) -> Plan:
        """The leader's plan; all members work."""
        workers = tuple(member.peer_id for member in self.context.view.members)
        slot = self.context.agreement.slot
        made = replace(Plan(slot, 0, number, STEP, {}, {}, workers, {}, {}, ()), **fields)
        self.hear(self.context.leader.peer_id, made)
        return made

    def commit(self, group: tuple[str, ...] = ("s0a",)) -> None:
        """The next step is averaged by `group`, which is the participant alone, decided, and applied."""
        leader, slot = self.context.leader.peer_id, self.context.agreement.slot
        self.hear(leader, Average(slot, 0, 99, self.context.step, {self.context.me.stage: group}, {}))
        export = self.wanted(effects.ExportGradient)[-1]
        self.tell(GradientExported(export.step, export.number, vector(1, 2), frozenset()))
        step = self.context.step + 1
        averages = {self.context.me.stage: average_digest(vector(1, 2), 1)}
        following = replace(self.newest, slot=slot, step=step, record=record(step), averages=averages)
        self.hear(leader, Decided(following))
        self.tell(Applied(step - 1, "new"))

    def mail(self, *kinds: type) -> list[tuple[str, Any]]:
        """Messages of these kinds since the last `clear`, each with its receiver."""
        found = [(effect.to, effect.message) for effect in self.out if isinstance(effect, effects.Send)]
        return [(to, message) for to, message in found if isinstance(message, kinds)]

    def wanted(self, kind: type) -> list[Any]:
        """Effects of this kind since the last `clear`."""
        return [effect for effect in self.out if isinstance(effect, kind)]

    def notes(self) -> list[str]:
        """Kinds of what was noted since the last `clear`."""
        return [effect.kind for effect in self.wanted(effects.Note)]

    def jobs(self) -> list[Job]:
        """What the shards were given to compute since the last `clear`."""
        return [effect.job for effect in self.wanted(effects.Compute)]

    def clear(self) -> None:
        """Forget what was wanted so far."""
        self.out.clear()
