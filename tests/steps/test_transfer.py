"""State in chunks from several donors: what arrives is checked, what is lost is asked of others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from actors.averaging.reduce import AllReduce
from actors.steps import effects, events
from actors.steps.chunks import Cutting, average_digest
from actors.steps.fetch import WINDOW, Fetch
from actors.steps.messages import Chunk, Offer, Part, Want
from orchestrator.simulation.elastic_world import ElasticWorld
from orchestrator.simulation.faults import Fault
from orchestrator.simulation.trace import Trace


def vector(length: int = 23, smallest: int = 2) -> tuple[Any, Cutting, Offer]:
    values = np.arange(length, dtype=np.float32)
    cutting = Cutting(length, smallest)
    return values, cutting, Offer(Part.STATE, 5, 0, cutting.hashes(values), "hash", 1.0, 1)


def test_chunks_cover_a_vector_and_do_not_overlap() -> None:
    for length, smallest in ((1, 1), (7, 2), (8, 2), (100, 64), (300_000, 1 << 16), (1 << 29, 1 << 16)):
        cutting = Cutting(length, smallest)
        assert sum(cutting.elements(chunk) for chunk in range(cutting.count)) == length
        assert cutting.elements(cutting.count) == cutting.elements(-1) == 0
        assert cutting.count <= 2048 or cutting.size == 1 << 18


def test_a_vector_comes_whole_from_two_donors_of_which_one_dies() -> None:
    values, cutting, offer = vector()
    fetch = Fetch(offer, cutting)
    fetch.donors += ["one", "two"]
    asked = fetch.ask({"one", "two"}, {})
    assert {peer for peer, _ in asked} == {"one", "two"}
    assert len(asked) == 2 * WINDOW
    for peer, chunk in asked:
        if peer == "one":
            assert fetch.take(chunk, cutting.cut(values, chunk))
    fetch.without("two")
    asked_again: list[int] = []
    while not fetch.complete:
        more = fetch.ask({"one"}, {})
        assert more, "nothing is asked for although chunks are missing"
        for peer, chunk in more:
            assert peer == "one"
            asked_again.append(chunk)
            assert fetch.take(chunk, cutting.cut(values, chunk))
    assert np.array_equal(fetch.whole(), values)
    assert {chunk for peer, chunk in asked if peer == "two"} <= set(asked_again)


def test_a_chunk_with_other_bytes_is_not_taken() -> None:
    values, cutting, offer = vector()
    fetch = Fetch(offer, cutting)
    wrong = cutting.cut(values, 1).copy()
    wrong[0] += 1
    assert not fetch.take(1, wrong)
    assert not fetch.take(1, values[:1])
    assert fetch.take(1, cutting.cut(values, 1))


@pytest.mark.parametrize("length", [1, 7, 1000, 300_000])
def test_an_average_is_known_by_the_hash_that_was_decided(length: int) -> None:
    rng = np.random.default_rng(length)
    group = ("a", "b", "c")
    rounds = {peer: AllReduce(group, peer, rng.normal(size=length).astype(np.float32)) for peer in group}
    waiting = [(peer, out) for peer, one in rounds.items() for out in one.start()]
    while waiting:
        sender, out = waiting.pop(0)
        waiting += [(out.to, then) for then in rounds[out.to].receive(sender, out.phase, out.chunk, out.values)]
    for one in rounds.values():
        assert one.complete
        assert average_digest(one.average, 3) == one.digest


def joining(seed: int, meddle: Any = None, **changes: Any) -> ElasticWorld:
    """A run of two stages of two, in which somebody arrives."""
    settings = {"steps": 12, "smallest_chunk": 1, "max_share": 0.7, **changes}
    world = ElasticWorld(seed, (2, 2), None, Trace(), meddle=meddle, **settings)
    world.kernel.at(8.0, world.begin, Fault(8.0, "arrive", ("new",), 0.0))
    return world


def joined(world: ElasticWorld) -> bool:
    """Whether the newcomer had a part in the last step."""
    return "new" in world.decided[max(world.decided)].hashes


def test_a_newcomer_fetches_from_all_donors_and_ends_with_their_bits() -> None:
    """A donor whose shards are busy may offer its part when all is there already, but not in every run."""
    together = 0
    for seed in range(8):
        donors: set[str] = set()

        def watch(name: str, effect: Any, donors: set[str] = donors) -> list[Any]:
            if isinstance(effect, effects.Send) and isinstance(effect.message, Chunk):
                donors.add(name)
            return [effect]

        world = joining(seed, watch)
        assert world.settle(600) == ""
        assert joined(world)
        together += len(donors) == 2
    assert together >= 4


def test_a_damaged_chunk_is_refused_and_its_donor_named() -> None:
    for seed in range(5):
        liars: list[str] = []

        def lie(name: str, effect: Any, liars: list[str] = liars) -> list[Any]:
            if isinstance(effect, effects.Send) and isinstance(effect.message, Chunk) and not liars:
                liars.append(name)
                wrong = effect.payload[0].copy()
                wrong[0] += 1.0
                return [effects.Send(effect.to, effect.message, (wrong,))]
            return [effect]

        world = joining(seed, lie)
        assert world.settle(600) == ""
        assert joined(world)
        told = [detail for _, name, kind, detail in world.said if kind == "damaged" and name == "new"]
        assert len(told) == 1
        assert liars[0] in told[0], told


def test_donors_that_die_cost_nothing_but_their_own_work() -> None:
    for seed in range(10):
        killed: list[str] = []

        def strike(name: str, effect: Any, killed: list[str] = killed) -> list[Any]:
            if isinstance(effect, effects.Send) and isinstance(effect.message, Chunk) and not killed:
                killed.append(name)
            return [effect]

        world = joining(seed, strike, steps=20)
        world.run(8.0)
        while not killed and world.now < 60:
            world.run(0.01)
        world.crash(world.named(killed[0]))
        world.forgot = True
        world.kernel.after(5.0, world.restart_later, world.named(killed[0]))
        assert world.settle(900) == ""
        assert joined(world)


def test_a_newcomer_that_dies_costs_nothing() -> None:
    for seed in range(10):
        world = joining(seed, steps=20)
        world.run(10.0 + 0.4 * seed)
        world.crash(world.named("new"))
        world.review()
        assert world.settle(900) == ""
        assert sorted(world.decided) == list(range(21))


def test_nobody_gets_a_stage_beyond_its_share_whatever_it_says() -> None:
    """One that asks the donors of another stage than its own, as a liar would; and again as a new process."""
    for again in (False, True):
        world = joining(3, steps=25, max_share=0.5)
        world.run(30.0)
        new = world.named("new")
        assert world.stage(new) >= 0
        if again:
            world.crash(new)
            world.restart(new, memory=False)
            world.run(8.0)
        other = 1 - world.stage(new)
        donors = [node for node in world.up() if world.stage(node) == other]
        before = world.notes["refused"]
        for donor in donors:
            world.give(donor, events.Received(new.peer, Want(-1, 0)))
        assert world.notes["refused"] == before + len(donors) == before + 2
        assert world.settle(900) == ""
