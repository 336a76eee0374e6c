"""Hops and an origin together: in any order of arrival, with repeats of the network, each stage counts exactly once."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from actors.steps.context import Context
from actors.steps.effects import Compute, Send
from actors.steps.events import Computed
from actors.steps.hop import Hop
from actors.steps.messages import Backward, Done, Dropped, Forward, Purpose, Returned, Taken
from actors.steps.origin import Origin
from tests.steps.parts import context, follow, plan_of

LAYOUT = (2, 2, 2)
PEERS = [f"s{stage}{letter}" for stage in range(3) for letter in "ab"]


class Pipeline:
    """Six hops, of which s0a drives eight microbatches in training and two in validation; s2b would be the leader."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self.contexts: dict[str, Context] = {peer: context(peer, LAYOUT, leader="s2b") for peer in PEERS}
        self.hops = {peer: Hop(one) for peer, one in self.contexts.items()}
        self.origin = Origin(self.contexts["s0a"])
        self.done: Counter[tuple[Purpose, int]] = Counter()
        self.mail: list[tuple[str, str, Any, Any]] = []
        self.running: list[tuple[str, Any]] = []
        plan = plan_of(self.contexts["s0a"], *range(8), validate={"s0a": (0, 1)})
        for one in self.contexts.values():
            one.drivers = dict.fromkeys(range(8), "s0a")
        follow(self.contexts["s0a"], self.origin, plan)
        self._collect("s0a")

    def run(self, *, lost: str = "") -> None:
        """Let things happen until nothing is left; `lost`: who can be reached no more after a while."""
        happened = 0
        while self.mail or self.running:
            happened += 1
            if happened == 15 and lost:
                self._lose(lost)
            work = self._rng.randrange(len(self.mail) + len(self.running))
            if work < len(self.mail):
                repeats = self._rng.random() < 0.1
                self._deliver(*(self.mail[work] if repeats and happened < 200 else self.mail.pop(work)))
            else:
                peer, job = self.running.pop(work - len(self.mail))
                self.hops[peer].computed(Computed(job, ("tensor",), float(job.index), 1.0))
                self._collect(peer)

    def _lose(self, lost: str) -> None:
        self.running = [(peer, job) for peer, job in self.running if peer != lost]
        for peer, one in self.contexts.items():
            one.usable.discard(lost)
            self.hops[peer].redirect()
            if peer == "s0a":
                self.origin.redirect()
        for peer in PEERS:
            self._collect(peer)
        self.mail = [item for item in self.mail if lost not in item[:2]]

    def _collect(self, peer: str) -> None:
        one = self.contexts[peer]
        for effect in one.out:
            if isinstance(effect, Send):
                self.mail.append((peer, effect.to, effect.message, effect.payload))
            elif isinstance(effect, Compute):
                self.running.append((peer, effect.job))
        self.mail += [(peer, peer, message, payload) for message, payload in one.inbox]
        one.out.clear()
        one.inbox.clear()
        self.mail = [item for item in self.mail if item[1] in one.usable or item[0] != peer]

    def _deliver(self, sender: str, to: str, message: Any, payload: Any) -> None:
        hop = self.hops[to]
        match message:
            case Forward():
                hop.forward(sender, message, payload)
            case Backward():
                hop.backward(sender, message, payload)
            case Taken():
                hop.taken(sender, message)
            case Dropped():
                hop.dropped(sender, message)
            case Returned():
                self.origin.returned(message)
            case Done():
                self.done[message.purpose, message.index] += 1
        self._collect(to)

    def counts(self) -> list[Counter[int]]:
        """How many replicas of each stage have counted each microbatch."""
        return [Counter(index for letter in "ab" for index in self.hops[f"s{s}{letter}"].counted) for s in range(3)]


@pytest.mark.parametrize("seed", range(15))
def test_each_stage_counts_every_microbatch_once_and_the_leader_hears_of_it(seed: int) -> None:
    pipeline = Pipeline(seed)
    pipeline.run()
    expected = {(Purpose.TRAIN, index) for index in range(8)} | {(Purpose.VALIDATE, index) for index in range(2)}
    assert pipeline.done.keys() == expected
    assert pipeline.counts() == [Counter(range(8))] * 3
    assert all(hop.counted[index] == index for hop in pipeline.hops.values() for index in hop.counted)
    assert all(one.waits.next_deadline() is None for one in pipeline.contexts.values())


@pytest.mark.parametrize("lost", ["s1a", "s1b", "s2a"])
@pytest.mark.parametrize("seed", range(8))
def test_with_a_hop_that_is_lost_every_microbatch_gets_through(seed: int, lost: str) -> None:
    """What the lost one had counted is lost with it, and what another one computes again is counted there."""
    pipeline = Pipeline(seed)
    pipeline.run(lost=lost)
    assert {index for purpose, index in pipeline.done if purpose is Purpose.TRAIN} == set(range(8))
    assert all(index in range(8) and times <= 2 for counted in pipeline.counts() for index, times in counted.items())
    here = [one for peer, one in pipeline.contexts.items() if peer != lost]
    assert all(one.waits.next_deadline() is None for one in here), "nothing is awaited any more"
