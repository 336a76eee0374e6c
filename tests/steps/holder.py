"""The parts that hold parameters, at one participant, and what they put into its shards."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from actors.steps import effects
from actors.steps.archive import Archive
from actors.steps.averaging import Averaging
from actors.steps.ballots import Average, Holding
from actors.steps.context import Context
from actors.steps.donor import Donor
from actors.steps.follower import Follower
from actors.steps.holdings import Holdings
from actors.steps.hop import Hop
from actors.steps.origin import Origin
from actors.steps.saving import Saver
from actors.steps.standing import Standing
from tests.steps.parts import STEP, clear, context, mail, vector, wanted

NEXT = STEP + 1


class Holder:
    """s0a of two stages of two, led by s1a, with shards that hold the step's parameters if nothing else is said."""

    def __init__(self, *, held: int = STEP, built: bool = True, **changes: Any) -> None:
        self.context = one = context("s0a", leader="s1a", **changes)
        one.held = held
        self.hop, self.averaging, self.follower = Hop(one), Averaging(one), Follower(one)
        self.archive, self.saver, self.donor = Archive(one), Saver(one), Donor(one)
        self.standing = Standing(one, self.hop, Origin(one))
        self.replayed = 0
        self.follower.built, self.follower.state_length, self.follower.gradient_length = built, 5, 3
        self.holdings = Holdings(
            one,
            self.hop,
            self.averaging,
            self.archive,
            self.saver,
            self.donor,
            self.follower,
            self.standing,
            self._replay,
        )

    def _replay(self) -> None:
        self.replayed += 1

    def average(self, values: float) -> str:
        """Make an average of one replica; returns its hash."""
        self.averaging.begin(Average(9, 0, int(values), self.context.step, {0: ("s0a",)}, {}))
        self.averaging.exported(vector(values))
        assert self.averaging.prepared is not None
        clear(self.context)
        return self.averaging.prepared.digest

    def decide(self, averages: dict[int, str], **fields: Any) -> None:
        """The next commit is decided with these averages."""
        one = self.context
        decision = replace(
            one.decision, slot=one.decision.slot + 1, step=NEXT, averages=averages, clip_factor=0.25, **fields
        )
        one.agreement.decision = decision
        self.holdings.decided(decision, STEP)

    @property
    def told(self) -> int:
        return len(mail(self.context, Holding))


def applies(one: Context) -> list[tuple[int, list[float], float]]:
    return [(effect.step, effect.average.tolist(), effect.clip_factor) for effect in wanted(one, effects.ApplyUpdate)]
