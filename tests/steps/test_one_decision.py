"""Whatever is lost, repeated, reordered or restarted: two proposers of one slot never decide different things."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

import pytest

from actors.steps.agreement import Agreement
from actors.steps.ballots import Accepted, Decision, Lead, Promise, Propose, Refused
from actors.steps.vote import Vote
from tests.steps.builders import decision_of, report_of, voters

DELIVERIES = 100


@dataclass
class Room:
    """Members that answer each other in any order. What they promise and accept is on their disks at once."""

    rng: random.Random
    peers: str
    members: dict[str, Agreement] = field(default_factory=dict)
    disks: dict[str, Vote] = field(default_factory=dict)
    under_way: list[tuple[str, str, Any]] = field(default_factory=list)
    """(From whom, to whom, what); said once, and delivered any number of times."""
    decided: set[int] = field(default_factory=set)
    """Step of each value that somebody saw decided."""

    def __post_init__(self) -> None:
        """All know the decision of slot 9."""
        self.before = decision_of(voters(**dict.fromkeys(self.peers, 0)), slot=9)
        for peer in self.peers:
            self.start(peer)
        self.apart = set(self.rng.sample(self.peers, 2)) if len(self.peers) > 2 and self.rng.random() < 0.7 else set()
        """Two that hear nothing of each other: both may find a majority of the others."""

    def start(self, peer: str) -> None:
        """A process, with what the one before it has left on the disk."""
        one = self.members[peer] = Agreement(peer, 1, self.before)
        if peer in self.disks:
            one.restore(self.disks[peer])

    def value(self) -> Decision:
        """Unlike any other."""
        return decision_of(self.before.members, slot=10, step=self.rng.getrandbits(30))

    def run(self, peer: str) -> None:
        """A member wants to lead, with the next ballot of its own."""
        one = self.members[peer]
        ballot = one.promised + 1
        while one.view.owner(10, ballot).peer_id != peer:
            ballot += 1
        self.say(peer, one.run(ballot))

    def say(self, peer: str, message: Lead | Propose) -> None:
        """To all, itself included; its own promise is on its disk first."""
        self.disks[peer] = self.members[peer].vote(0)
        self.under_way += [(peer, to, message) for to in self.peers]

    def deliver(self) -> None:
        """Something arrives; or, now and then, it stays on its way and arrives once more."""
        place = self.rng.randrange(len(self.under_way))
        sender, to, message = self.under_way[place]
        if self.rng.random() < 0.9:
            del self.under_way[place]
        if {sender, to} == self.apart:
            return
        one = self.members[to]
        answer: Any = None
        match message:
            case Lead():
                answer = one.lead(sender, message, report_of())
            case Propose():
                answer = one.propose(sender, message)
            case Promise():
                one.promise(sender, message)
                if one.leading:
                    self.say(to, one.put(self.value()))
            case Accepted():
                decision = one.accepted(sender, message)
                if decision is not None:
                    self.decided.add(decision.step)
            case Refused():
                one.refused(message)
        if answer is not None:
            self.disks[to] = one.vote(0)
            self.under_way.append((to, sender, answer))

    def play(self) -> None:
        """Proposers begin, messages arrive or are lost, processes are killed: now often, now seldom."""
        runs, dies, lost = (self.rng.choice(chances) for chances in ((0.0, 0.03), (0.0, 0.03), (0.0, 0.2)))
        for peer in self.rng.sample(self.peers, 2):
            self.run(peer)
        for _ in range(DELIVERIES):
            if self.rng.random() < runs or not self.under_way:
                self.run(self.rng.choice(self.peers))
            elif self.rng.random() < dies:
                self.start(self.rng.choice(self.peers))
            elif self.rng.random() < lost:
                del self.under_way[self.rng.randrange(len(self.under_way))]
            else:
                self.deliver()


@pytest.mark.parametrize("peers", ["ab", "abc", "abcd", "abcde"])
def test_no_two_proposers_decide_different_values(peers: str) -> None:
    ended = 0
    for seed in range(200):
        room = Room(random.Random(seed), peers)
        room.play()
        assert len(room.decided) <= 1, f"seed {seed}"
        ended += bool(room.decided)
    assert ended > 100, "most of them come to a decision"
