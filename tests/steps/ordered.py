"""The parts of a participant that follow the leader's orders, and such orders."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from actors.records import Traffic
from actors.steps.averaging import Averaging
from actors.steps.ballots import Average, Beat, Holding, Plan
from actors.steps.events import GradientExported
from actors.steps.hop import Hop
from actors.steps.orders import Orders
from actors.steps.origin import Origin
from actors.steps.standing import Standing
from tests.steps.parts import PLAN, STEP, context, mail, vector

SLOT, LEADER = 9, "s1b"
EXPORTED = GradientExported(STEP, 1, vector(1, 2), frozenset({4}))
TRAFFIC = Traffic({0: 7}, 8, 9)


class Follower:
    """The parts of one participant that orders concern, s1a if nothing else is said; these microbatches are counted."""

    def __init__(self, *counted: int, me: str = "s1a", **changes: Any) -> None:
        self.context = context(me, leader=LEADER, **changes)
        self.hop, self.origin, self.averaging = Hop(self.context), Origin(self.context), Averaging(self.context)
        self.standing = Standing(self.context, self.hop, self.origin)
        self.later: list[object] = []
        self.resigned: list[bool] = []
        self.orders = Orders(
            self.context,
            self.hop,
            self.origin,
            self.averaging,
            self.standing,
            lambda: TRAFFIC,
            lambda peer, order: self.later.append(order),
            lambda: self.resigned.append(True),
        )
        self.hop.counted = dict.fromkeys(counted, 0.5)
        self.context.order = PLAN

    def follow(self, order: Plan | Average | Beat) -> None:
        self.orders.follow(LEADER, order)

    @property
    def told(self) -> int:
        """How often the leader was told what is held here."""
        return len([to for to, _ in mail(self.context, Holding) if to == LEADER])


def plan(number: int = 2, **fields: Any) -> Plan:
    workers = ("s0a", "s0b", "s1a", "s1b")
    return replace(Plan(SLOT, 0, number, STEP, {}, {}, workers, {}, {}, ()), **fields)


def average(*counted: int, number: int = 2, **fields: Any) -> Average:
    return replace(Average(SLOT, 0, number, STEP, {1: ("s1a",)}, {"s1a": counted}), **fields)
