"""One core among puppets that answer its pings at once, unless they are silent, and say nothing by themselves."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

from actors.membership.events import Changed, Contact, Effect, Event, Note, Received, Send, Tick
from actors.membership.membership import Membership
from actors.membership.messages import Ack, Gossip, Message, Nack, Ping, PingRequest
from actors.membership.profile import MembershipProfile
from actors.membership.statements import Evidence, Record, Verdict
from tests.membership.helpers import LAN, Table

AWAY_S = 0.001
"""A puppet's answer takes so long."""
MOST_AT_ONCE = 500
"""Events at one and the same moment."""
NACK_S = 0.4
"""A helper that gets no answer says so after this, as `lan` has it: 0.8 * (1 - 0.5) s."""


class Solo:
    """Member 0 is the core; all others are puppets with keys."""

    def __init__(self, others: int, profile: MembershipProfile = LAN, seed: int = 1, **changes: Any) -> None:
        self.profile = replace(profile, **changes) if changes else profile
        self._table = Table(others + 1, self.profile, seed)
        self.core: Membership = self._table.cores[0]
        self.now = self._table.now
        self.silent: set[int] = set()
        """Puppets that answer nothing."""
        self.views: dict[int, int] = {}
        """View hashes of puppets whose view is not the core's."""
        self.nacks = True
        """Whether helpers say that they had no answer."""
        self.log: list[tuple[float, Effect]] = []
        self._mail: list[tuple[float, int, Event]] = []
        self._count = 0

    # --- who is who ----------------------------------------------------------------------------------------------

    def peer(self, number: int) -> str:
        return self._table.peer(number)

    def number(self, peer: str) -> int:
        return self._table.numbers[peer]

    def record(self, of: int, incarnation: int, life: int = 1, **changes: Any) -> Record:
        """What a puppet says about itself."""
        card = replace(self._table.cores[of]._card, **changes)
        return self._table.notary(of).record(card, life, incarnation)

    def accusation(
        self,
        of: int,
        by: int,
        incarnation: int = 1,
        verdict: Verdict = Verdict.SUSPECT,
        evidence: Evidence = Evidence.SILENT,
    ) -> bytes:
        """What one member says about another."""
        return self._table.notary(by).accusation(self.peer(of), incarnation, verdict, evidence, self.peer(by)).wire

    def dead(self, of: int, by: int, incarnation: int = 1, evidence: Evidence = Evidence.SILENT) -> bytes:
        """A verdict."""
        return self.accusation(of, by, incarnation, Verdict.DEAD, evidence)

    # --- events --------------------------------------------------------------------------------------------------

    def give(self, event: Event) -> list[Effect]:
        effects = self.core.handle(self.now, event)
        for effect in effects:
            self.log.append((self.now, effect))
            if isinstance(effect, Send):
                self._answer(self.number(effect.peer), effect.message)
        return effects

    def says(self, number: int, message: Message) -> list[Effect]:
        """A puppet's message arrives now."""
        return self.give(Received(self.peer(number), message))

    def tell(self, *wires: bytes, by: int = 1) -> list[Effect]:
        """News arrive now, carried by a puppet."""
        return self.says(by, Gossip(wires))

    def run(self, seconds: float) -> None:
        """Let time pass; every timer comes when it is due."""
        until = self.now + seconds
        at_once = 0
        while True:
            due = self.core.next_deadline()
            mail = self._mail[0][0] if self._mail else math.inf
            if min(due, mail) > until:
                break
            at_once = 0 if min(due, mail) > self.now else at_once + 1
            assert at_once < MOST_AT_ONCE, "it wants to be called without end"
            self.now = max(self.now, min(due, mail))
            self.give(heapq.heappop(self._mail)[2] if mail <= due else Tick())
        self.now = until

    def until(self, holds: Callable[[], bool], seconds: float = 120.0) -> None:
        """Let time pass up to the event after which something holds."""
        most = self.now + seconds
        while not holds():
            due = min(self.core.next_deadline(), self._mail[0][0] if self._mail else math.inf)
            assert due <= most, f"it did not happen within {seconds} s"
            self.run(max(0.0, due - self.now))

    def lose_mail(self) -> None:
        """Answers that are on their way do not arrive."""
        self._mail.clear()

    def _answer(self, number: int, message: Message) -> None:
        if number in self.silent:
            return
        view = self.views.get(number, self.core.view_hash)
        match message:
            case Ping(seq, _, _):
                self._post(AWAY_S, number, Ack(seq, view))
            case PingRequest(seq, target, _) if self.number(target) not in self.silent:
                self._post(AWAY_S, number, Ack(seq, view))
            case PingRequest(seq, _, _) if self.nacks:
                self._post(NACK_S, number, Nack(seq, refused=False))

    def _post(self, after: float, number: int, message: Message) -> None:
        self._count += 1
        heapq.heappush(self._mail, (self.now + after, self._count, Received(self.peer(number), message)))

    # --- what it did ---------------------------------------------------------------------------------------------

    def when(self, what: str, number: int) -> list[float]:
        """When it reported a change of that kind of a member."""
        peer = self.peer(number)
        return [at for at, one in self.log if isinstance(one, Changed) and (one.what, one.peer) == (what, peer)]

    def sent(self, kind: type[Any], to: int | None = None, since: float = 0.0) -> list[tuple[float, int, Any]]:
        """Messages of a kind: when, to whom, what."""
        return [
            (at, self.number(one.peer), one.message)
            for at, one in self.log
            if isinstance(one, Send) and isinstance(one.message, kind) and at >= since
            if to is None or self.number(one.peer) == to
        ]

    def notes(self, kind: str) -> list[str]:
        return [one.detail for _, one in self.log if isinstance(one, Note) and one.kind == kind]

    def contacts(self) -> list[tuple[float, str]]:
        """When it tried which address."""
        return [(at, one.address) for at, one in self.log if isinstance(one, Contact)]


def messages(effects: list[Effect]) -> list[Message]:
    """The messages among effects."""
    return [one.message for one in effects if isinstance(one, Send)]


def pauses(times: list[float]) -> list[float]:
    """Seconds between each time and the next."""
    return [late - early for early, late in pairwise(times)]
