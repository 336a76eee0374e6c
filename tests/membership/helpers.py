"""Cores without any world: a few members whose messages a test carries by hand."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from actors.membership.events import Changed, Note, Received, Send, Tick
from actors.membership.membership import Membership
from actors.membership.messages import Message
from actors.membership.profile import MEMBERSHIP_PROFILES, MembershipProfile
from actors.membership.statements import Card, Notary, State
from orchestrator.simulation.stub_crypto import StubCrypto, credential_of

LAN = MEMBERSHIP_PROFILES["lan"]
RUN = "by-hand"


class Table:
    """Members that know each other, a clock, and everything that they wanted done."""

    def __init__(self, count: int, profile: MembershipProfile = LAN, seed: int = 1) -> None:
        self.now = 100.0
        self.secrets: dict[str, bytes] = {}
        self.notaries: dict[str, Notary] = {}
        self.cores: list[Membership] = []
        self.notes: list[tuple[int, Note]] = []
        self.changes: list[tuple[int, str, str]] = []
        self._outbox: list[tuple[int, int, Message]] = []
        self.silent: set[int] = set()
        """Members that hear and say nothing."""
        self.unread: dict[int, list[Received]] = {}
        """Members that do not run, and what waits for them."""
        rng = random.Random(seed)
        for number in range(count):
            self._add(number, rng, profile)
        records = [core.record for core in self.cores]
        for core in self.cores:
            core.preload(records)
        self.numbers = {core.record.peer_id: number for number, core in enumerate(self.cores)}

    def _add(self, number: int, rng: random.Random, profile: MembershipProfile) -> None:
        peer = rng.randbytes(32).hex()
        self.secrets[peer] = rng.randbytes(16)
        notary = Notary(RUN, StubCrypto(self.secrets, peer), credential_of(peer))
        self.notaries[peer] = notary
        card = Card(peer, f"n{number}", 0, (f"tcp:home-{number}:1",), state=State.ACTIVE)
        self.cores.append(Membership(card, notary, profile, random.Random(rng.random()), self.now, 1))

    def peer(self, number: int) -> str:
        """Identity of a member."""
        return self.cores[number].record.peer_id

    def notary(self, number: int) -> Notary:
        """Signs for a member."""
        return self.notaries[self.peer(number)]

    def give(self, number: int, event: Any) -> list[Message]:
        """One event to one member; returns what it wants sent, without carrying it."""
        sent = []
        for effect in self.cores[number].handle(self.now, event):
            if isinstance(effect, Note):
                self.notes.append((number, effect))
            elif isinstance(effect, Changed):
                self.changes.append((number, effect.what, effect.peer))
            elif isinstance(effect, Send):
                sent.append(effect.message)
                self._outbox.append((number, self.numbers[effect.peer], effect.message))
        return sent

    def run(self, seconds: float, carries: Callable[[Message], bool] = lambda message: True) -> None:
        """Let time pass in steps of 10 ms; messages arrive in the next step."""
        until = self.now + seconds
        while self.now < until:
            self.now += 0.01
            arrived, self._outbox = self._outbox, []
            for sender, receiver, message in arrived:
                if receiver in self.silent or sender in self.silent or not carries(message):
                    continue
                event = Received(self.peer(sender), message)
                if receiver in self.unread:
                    self.unread[receiver].append(event)
                else:
                    self.give(receiver, event)
            for number, core in enumerate(self.cores):
                if number not in self.silent and number not in self.unread and core.next_deadline() <= self.now:
                    self.give(number, Tick())

    def heard(self, number: int, what: str) -> list[str]:
        """Names of those about whom a member reported a change of that kind."""
        return [
            self.cores[self.numbers[peer]].record.name
            for observer, kind, peer in self.changes
            if observer == number and kind == what
        ]
