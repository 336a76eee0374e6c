"""What the parts of a membership core share: who we are, whom we know, what is to be done."""

from __future__ import annotations

import random
from collections import Counter

from actors.membership.awareness import Awareness
from actors.membership.broadcast import Broadcasts
from actors.membership.events import Changed, Effect, Note, Send
from actors.membership.messages import Message
from actors.membership.profile import MembershipProfile
from actors.membership.statements import Notary
from actors.membership.suspicion import Suspicion
from actors.membership.table import Table

_PIGGYBACK = 1000
"""Bytes of news on a ping or its answer."""


class Context:
    """Shared state of one core. `now` is the time of the event that is being handled."""

    def __init__(
        self, table: Table, notary: Notary, profile: MembershipProfile, rng: random.Random, now: float
    ) -> None:
        self.table = table
        self.notary = notary
        self.profile = profile
        self.rng = rng
        self.now = now
        self.awareness = Awareness(profile.awareness_max)
        self.broadcasts = Broadcasts(profile.least_told)
        self.suspicions: dict[str, Suspicion] = {}
        self.refused: Counter[str] = Counter()
        """Messages and statements that changed nothing, by reason."""
        self.out: list[Effect] = []
        self.changed_at = now
        """When the view hash changed last."""
        self.me = table.me.peer_id
        """The own identity."""

    @property
    def members(self) -> int:
        """Members in the view, the own one included."""
        return len(self.table.live) + 1

    def named(self, peer: str) -> str:
        """A name for messages."""
        record = self.table.records.get(peer)
        return record.name if record else peer[:8]

    def send(self, peer: str, message: Message) -> None:
        """Bring a message to a peer."""
        record = self.table.records.get(peer)
        self.out.append(Send(peer, record.addresses if record else (), message))

    def news_for(self, peer: str) -> tuple[bytes, ...]:
        """What rides on a message to a peer: news; but to one that is held suspect or dead only that it is.

        A piece of news is told a bounded number of times, and must not be wasted on those who do not hear it.
        """
        if (self.suspicions or self.table.gone) and (about := self.said_about(peer)):
            return (about,)
        if not self.broadcasts.news:
            return ()
        return self.broadcasts.take(_PIGGYBACK, self.profile.retransmits(self.members))

    def said_about(self, peer: str) -> bytes:
        """The accusation or verdict against a peer, which it can refute; empty for none."""
        suspicion = self.suspicions.get(peer)
        if suspicion is not None:
            return suspicion.accusation.wire
        gone = self.table.gone.get(peer)
        return gone.accusation.wire if gone is not None and gone.accusation is not None else b""

    def some_live(self, count: int, but: str = "") -> list[str]:
        """Up to `count` random others in the view."""
        live, random = self.table.live, self.rng.random
        total = len(live)
        if total <= 4 * count:
            chosen = [peer for peer in live if peer != but]
            self.rng.shuffle(chosen)
            return chosen[:count]
        chosen = []
        while len(chosen) < count:
            peer = live[int(random() * total)]
            if peer != but and peer not in chosen:
                chosen.append(peer)
        return chosen

    def changed(self, peer: str, what: str) -> None:
        """The view changed."""
        self.changed_at = self.now
        self.out.append(Changed(peer, what))

    def note(self, kind: str, peer: str, detail: str) -> None:
        """Tell a person."""
        self.out.append(Note(kind, peer, detail))
