"""Fault schedules as plain data: who, what, when, for how long; made from a seed, read and written as text."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

KINDS = (
    "crash",
    "dark",
    "between",
    "pause",
    "cut",
    "one-way",
    "loss",
    "slow",
    "leave",
)
"""crash: the process, dark: the whole machine; both may come back. between: the process, when it has done a part of
what an event asks of it; it may come back. cut, one-way: some nodes from all others. loss: of all links, with
duplicates and reordering. slow: a node handles everything later. leave: politely, for good."""


DONE = (1, 1, 1, 2, 2, 3, 5)
"""Effects of an event that are done before a process dies between them; small ones are met more often."""


@dataclass(frozen=True)
class Fault:
    """One fault."""

    at: float
    """Seconds."""
    kind: str
    who: tuple[str, ...]
    """Names; empty where it concerns the network."""
    seconds: float
    """How long; 0 for ever (crash, dark, leave)."""
    value: float = 0.0
    """loss: the share; slow: seconds; crash and dark: 1 when the process comes back with its memory; between: how many
    effects of the event are done."""

    @property
    def for_good(self) -> bool:
        """Whether somebody goes and never comes back."""
        return self.kind in ("crash", "dark", "between", "leave") and not self.seconds

    def __str__(self) -> str:
        who = ",".join(self.who) or "-"
        return f"t={self.at:.2f} {self.kind} {who} {self.seconds:.2f} {self.value:g}"


def parse(text: str) -> Fault:
    """The reverse of `str`. Raises ValueError with one sentence."""
    parts = text.split()
    try:
        at, kind, who, seconds, value = parts
        names = () if who == "-" else tuple(who.split(","))
        fault = Fault(float(at.removeprefix("t=")), kind, names, float(seconds), float(value))
    except ValueError:
        raise ValueError(f"{text!r} is no fault: write `t=SECONDS KIND NAME,NAME SECONDS VALUE`") from None
    if kind not in KINDS:
        raise ValueError(f"{text!r}: no kind of fault {kind!r}; there are {', '.join(KINDS)}")
    return fault


def random_schedule(
    rng: random.Random, names: Sequence[str], seconds: float, most: int = 5, kinds: Sequence[str] = KINDS
) -> list[Fault]:
    """Up to `most` faults within `seconds`; at least two nodes stay for good."""
    faults: list[Fault] = []
    for_good = 0
    for _ in range(rng.randint(1, most)):
        kind = rng.choice(list(kinds))
        at = rng.uniform(0, seconds)
        length = rng.choice([0.5, 2.0, 5.0, 15.0]) * rng.uniform(0.5, 1.5)
        who: tuple[str, ...] = (rng.choice(list(names)),)
        value = 0.0
        if kind in ("crash", "dark"):
            value = float(rng.random() < 0.5)
            if rng.random() < 0.4 and for_good < len(names) - 2:
                length = 0.0
        if kind == "between":
            value = float(rng.choice(DONE))
        if kind in ("cut", "one-way"):
            who = tuple(rng.sample(list(names), rng.randint(1, max(1, len(names) - 1))))
        if kind == "loss":
            who, value = (), rng.choice([0.05, 0.2, 0.5])
        if kind == "slow":
            value = rng.uniform(0.05, 0.6)
        if kind == "leave":
            length = 0.0
            if for_good >= len(names) - 2:
                continue
        for_good += length == 0.0
        faults.append(Fault(at, kind, who, length, value))
    return sorted(faults, key=lambda fault: fault.at)
