"""What is awaited, from whom, and until when. Every wait of the step protocol is in one of these lists."""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass

FIRST = 6.0
"""Patience before anything was measured, in floors: the first computation warms caches and compilers up."""
FACTOR = 10.0
"""Patience afterwards, in the longest time that such a wait has taken."""
FADE = 0.99
"""What a wait took is forgotten by so much with each later one: a disturbed hour does not make all that follow slow."""


HINT = 0.5
"""Share of the patience after which the mesh is asked to look after whoever keeps us waiting."""


@dataclass
class _Wait:
    kind: str
    since: float
    deadline: float
    text: str
    peer: str
    hinted: bool = False
    longest: float = 0.0
    """Seconds between two signs of life, so far."""

    def hint_at(self) -> float:
        """When the peer becomes doubtful; infinite where nobody else is awaited, or it was said already."""
        if self.hinted or not self.peer:
            return math.inf
        return self.since + HINT * (self.deadline - self.since)


class Waits:
    """Open waits with their deadlines; patience follows what such waits have taken so far.

    Args:
        floor_s: the shortest patience in seconds (from the network profile).
    """

    def __init__(self, floor_s: float) -> None:
        self._floor = floor_s
        self._longest: dict[str, float] = {}
        self._open: dict[Hashable, _Wait] = {}

    def patience(self, kind: str, depth: int = 1) -> float:
        """Return how many seconds a wait may take. `depth`: how many such waits it contains, one inside the other."""
        longest = self._longest.get(kind)
        unit = self._floor * FIRST if longest is None else max(self._floor, FACTOR * longest)
        return unit * max(1, depth)

    def start(
        self, now: float, key: Hashable, kind: str, text: str, depth: int = 1, peer: str = "", times: float = 1.0
    ) -> None:
        """Begin to wait; `text` says for what and from whom, `peer` is who must do something for it to end.

        `times`: longer than usual by this factor.
        """
        self._open[key] = _Wait(kind, now, now + times * self.patience(kind, depth), text, peer)

    def after(self, now: float, key: Hashable, seconds: float, text: str, peer: str = "") -> None:
        """Begin a wait of a given length."""
        self._open[key] = _Wait("", now, now + seconds, text, peer)

    def waiting(self, key: Hashable) -> bool:
        """Whether that wait is open."""
        return key in self._open

    def restart(self, now: float, key: Hashable) -> None:
        """Something moved: the wait gets its full time again."""
        wait = self._open.get(key)
        if wait is not None:
            wait.longest = max(wait.longest, now - wait.since)
            wait.deadline += now - wait.since
            wait.since, wait.hinted = now, False

    def done(self, now: float, key: Hashable, depth: int = 1) -> None:
        """What was awaited is here."""
        wait = self._open.pop(key, None)
        if wait is not None and wait.kind:
            took = max(wait.longest, now - wait.since) / max(1, depth)
            known = self._longest.get(wait.kind)
            if known is not None:  # a wait that a fault made long must not make all later ones patient at once
                took = min(took, 2 * max(known, self._floor / FACTOR))
            self._longest[wait.kind] = max(FADE * (known or 0.0), took)

    def clear(self) -> None:
        """Forget all open waits; what was measured stays."""
        self._open.clear()

    def excuse(self, seconds: float) -> None:
        """We did not run for so long: whoever is awaited has had no chance to be heard."""
        for wait in self._open.values():
            wait.since += seconds
            wait.deadline += seconds

    def next_deadline(self) -> float | None:
        """Return when a wait is over or its peer becomes doubtful, whichever is first; None without waits."""
        return min((min(wait.deadline, wait.hint_at()) for wait in self._open.values()), default=None)

    def doubtful(self, now: float) -> dict[str, str]:
        """Peers that have kept us waiting for half of the patience, each named once, with what was awaited."""
        found: dict[str, str] = {}
        for wait in self._open.values():
            if wait.hint_at() <= now:
                wait.hinted = True
                found.setdefault(wait.peer, f"{wait.text} (waited {now - wait.since:.0f} s)")
        return found

    def cancel(self, key: Hashable) -> None:
        """What was awaited is not needed any more; nothing is learned from it."""
        self._open.pop(key, None)

    def expired(self, now: float) -> list[tuple[Hashable, str]]:
        """End the waits that are over; returns their keys and what was awaited, the longest overdue first."""
        overdue = [(key, wait) for key, wait in self._open.items() if wait.deadline <= now]
        for key, _ in overdue:
            del self._open[key]
        overdue.sort(key=lambda pair: pair[1].deadline)
        return [(key, f"{wait.text} (waited {now - wait.since:.0f} s)") for key, wait in overdue]
