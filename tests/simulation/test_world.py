"""The simulator itself: if the world were wrong, no property tested in it would mean anything."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest

from orchestrator.simulation.faults import KINDS, Fault, parse, random_schedule
from orchestrator.simulation.kernel import Kernel
from orchestrator.simulation.network import Network, Quality
from orchestrator.simulation.stub_crypto import StubCrypto, credential_of
from orchestrator.simulation.trace import Trace, Violation
from orchestrator.simulation.world import Condition, Node, World

# --- clock -------------------------------------------------------------------------------------------------------


def test_things_happen_in_order_of_time_then_of_scheduling() -> None:
    kernel, seen = Kernel(1), list[str]()
    kernel.at(2.0, seen.append, "c")
    kernel.at(1.0, seen.append, "a")
    kernel.at(1.0, seen.append, "b")
    kernel.at(-5.0, seen.append, "now")
    kernel.run(1.5)
    assert (seen, kernel.now) == (["now", "a", "b"], 1.5)
    kernel.after(0.1, seen.append, "later")
    kernel.run(3.0)
    assert (seen[3:], kernel.now, kernel.events) == (["later", "c"], 3.0, 5)


# --- network -----------------------------------------------------------------------------------------------------


def network(**quality: float) -> Network:
    """With no delay and jitter unless they are named."""
    return Network(random.Random(3), Quality(**{"delay_s": 0.0, "jitter_s": 0.0, **quality}))


def test_delay_and_jitter_stay_within_their_bounds() -> None:
    net = network(delay_s=0.1, jitter_s=0.05)
    times = [at for _ in range(500) for at in net.arrivals(10.0, "a", "b")]
    assert len(times) == 500
    assert 10.1 <= min(times) < 10.105
    assert 10.145 < max(times) <= 10.15


@pytest.mark.parametrize(("what", "low", "high"), [("loss", 700, 800), ("duplicate", 1200, 1300)])
def test_loss_and_duplicates_have_their_share(what: str, low: int, high: int) -> None:
    net = network(**{what: 0.25})
    assert low < sum(len(net.arrivals(0.0, "a", "b")) for _ in range(1000)) < high


def test_reordering_lets_later_messages_overtake() -> None:
    net = network(reorder=0.2)
    times = [net.arrivals(number * 0.01, "a", "b")[0] for number in range(200)]
    assert times != sorted(times)
    assert network().arrivals(0.5, "a", "b") == (0.5,)


def test_an_uplink_takes_messages_one_after_another() -> None:
    net = network(up_bytes_per_s=1000.0)
    assert [net.arrivals(0.0, "a", "b", 500)[0] for _ in range(3)] == [0.5, 1.0, 1.5]
    assert net.arrivals(0.0, "c", "b", 500) == (0.5,), "everyone has an uplink of its own"
    assert net.arrivals(10.0, "a", "b", 500) == (10.5,), "an idle uplink saves nothing up"


def test_cuts_block_one_way_or_both_until_they_heal() -> None:
    net = network()
    both, one_way = net.cut({"a"}, {"b"}), net.cut({"c"}, {"d"}, both=False)
    assert (net.blocked("a", "b"), net.blocked("b", "a"), net.blocked("a", "c")) == (True, True, False)
    assert (net.blocked("c", "d"), net.blocked("d", "c")) == (True, False)
    assert net.arrivals(0.0, "a", "b") == ()
    assert net.ordered_arrival(0.0, "c", "d") is None
    net.heal(both)
    net.heal(both)
    assert (net.blocked("a", "b"), net.blocked("c", "d")) == (False, True)
    net.heal(one_way)
    assert net.arrivals(1.0, "c", "d") == (1.0,)


def test_a_reliable_link_keeps_its_order_and_repeats_what_is_lost() -> None:
    net = network(delay_s=0.05, jitter_s=0.2, loss=0.3)
    times = [net.ordered_arrival(number * 0.001, "a", "b") for number in range(300)]
    assert None not in times
    known = [at for at in times if at is not None]
    assert known == sorted(known)
    assert max(known) > 0.3 + 0.25, "a repetition costs a round trip"


def test_one_pair_may_have_a_quality_of_its_own() -> None:
    net = network()
    net.set_pair("a", "b", Quality(delay_s=1.0, jitter_s=0.0))
    assert (net.arrivals(0.0, "a", "b"), net.arrivals(0.0, "b", "a")) == ((1.0,), (0.0,))


# --- worlds ------------------------------------------------------------------------------------------------------


@dataclass
class Clockwork:
    """A core that ticks every second and remembers what it saw."""

    period: float = 1.0
    due: float = 1.0
    seen: list[tuple[float, Any]] = field(default_factory=list)

    def handle(self, now: float, event: Any) -> list[Any]:
        self.seen.append((round(now, 3), event))
        if event == "tick" and now >= self.due:
            self.due += self.period
        return [event] if event == "shout" else []

    def next_deadline(self) -> float:
        return self.due


class Toy(World):
    """Cores that shout."""

    def __init__(self, nodes: int = 2, trace: Trace | None = None) -> None:
        super().__init__(1, Quality(), "tick", trace)
        self.effects: list[tuple[str, Any]] = []
        self.gone: list[str] = []
        for number in range(nodes):
            self.add(f"p{number}", f"n{number}", Clockwork())

    def perform(self, node: Node, effect: Any) -> None:
        self.effects.append((node.name, effect))

    def reborn(self, node: Node, *, memory: bool) -> Clockwork:
        return Clockwork(due=self.now + 1, seen=[(0.0, "remembers")] if memory else [])

    def process_gone(self, node: Node) -> None:
        self.gone.append(node.name)

    def seen(self, name: str) -> list[tuple[float, Any]]:
        """What a node's core saw."""
        core = next(node.core for node in self.nodes.values() if node.name == name)
        assert isinstance(core, Clockwork)
        return core.seen


def test_a_core_is_woken_when_it_asked_and_not_polled() -> None:
    world = Toy(1)
    world.run(3.5)
    assert world.seen("n0") == [(1.0, "tick"), (2.0, "tick"), (3.0, "tick")]
    assert world.kernel.events == 3


def test_effects_are_performed() -> None:
    world = Toy(1)
    world.give(world.nodes["p0"], "shout")
    assert world.effects == [("n0", "shout")]


def test_a_paused_process_reads_later_what_came_meanwhile() -> None:
    world = Toy(1)
    node = world.nodes["p0"]
    world.pause(node, 2.2)
    world.kernel.at(1.5, world.deliver, node, node.life, "letter")
    world.run(2.0)
    assert (node.condition, world.seen("n0")) == (Condition.PAUSED, [])
    world.run(2.0)
    assert [when for when, what in world.seen("n0") if what == "letter"] == [2.2]
    assert [when for when, what in world.seen("n0") if what == "tick"][-1] == 4.0


def test_what_was_meant_for_a_dead_process_does_not_reach_the_next() -> None:
    world = Toy(1, Trace())
    node = world.nodes["p0"]
    world.kernel.at(2.0, world.deliver, node, node.life, "letter")
    world.run(0.5)
    world.crash(node)
    assert world.gone == ["n0"]
    world.restart(node, memory=False)
    world.run(5)
    assert "letter" not in [what for _, what in world.seen("n0")]
    world.crash(node, machine=True)
    assert (world.gone, world.up()) == (["n0"], []), "a machine that is gone tells nobody"
    world.restart(node, memory=True)
    assert world.seen("n0")[0] == (0.0, "remembers")
    world.restart(node, memory=False)
    assert world.seen("n0")[0] == (0.0, "remembers"), "it runs already"


def test_a_slow_process_handles_everything_later() -> None:
    world = Toy(1)
    node = world.nodes["p0"]
    node.slow_s = 0.25
    world.kernel.at(0.5, world.deliver, node, node.life, "letter")
    world.run(0.9)
    assert world.seen("n0") == [(0.75, "letter")]


def test_a_core_that_spins_is_caught() -> None:
    world = Toy(1, Trace())
    core = world.nodes["p0"].core
    assert isinstance(core, Clockwork)
    core.period = 0.0
    with pytest.raises(Violation, match=r"(?s)seed 1: n0 wants to be woken at 1\.000 again and again"):
        world.run(2)


def test_a_violation_shows_seed_cause_and_a_bounded_trace() -> None:
    trace = Trace(lines=3)
    for number in range(10):
        trace.add(float(number), f"n{number}", ("did", number))
    text = str(Violation(42, "two leaders", trace))
    assert text.count("seed 42: two leaders") == 2
    assert "did 9" in text
    assert "did 6" not in text


# --- faults ------------------------------------------------------------------------------------------------------


def test_schedules_are_replayed_by_their_seed_and_reach_every_kind() -> None:
    names = [f"n{number}" for number in range(6)]
    kinds: Counter[str] = Counter()
    for seed in range(200):
        faults = random_schedule(random.Random(seed), names, 30.0)
        assert faults == random_schedule(random.Random(seed), names, 30.0)
        assert [fault.at for fault in faults] == sorted(fault.at for fault in faults)
        assert sum(fault.seconds == 0 for fault in faults) <= len(names) - 2
        kinds.update(fault.kind for fault in faults)
    assert set(kinds) == set(KINDS)
    assert min(kinds.values()) > 20


def test_faults_are_read_as_they_are_written() -> None:
    for fault in (
        Fault(1.25, "pause", ("n3",), 4.5),
        Fault(0.0, "loss", (), 10.0, 0.2),
        Fault(7.5, "cut", ("n1", "n2"), 60.0),
        Fault(3.0, "crash", ("n9",), 0.0, 1.0),
    ):
        assert parse(str(fault)) == fault
    for text in ("", "t=1 melt n1 2 0", "t=x pause n1 2 0", "t=1 pause n1 2", "t=1 pause n1 2 0 0"):
        with pytest.raises(ValueError, match=r"is no fault|no kind of fault"):
            parse(text)


# --- signatures --------------------------------------------------------------------------------------------------


def test_stub_signatures_refuse_what_real_ones_refuse() -> None:
    secrets = {"aa" * 32: b"1" * 16, "bb" * 32: b"2" * 16}
    ann = StubCrypto(secrets, "aa" * 32)
    signature = ann.sign(b"body")
    assert len(signature) == 64
    assert ann.verify("aa" * 32, b"body", signature)
    assert not ann.verify("aa" * 32, b"bodY", signature)
    assert not ann.verify("bb" * 32, b"body", signature)
    assert not ann.verify("cc" * 32, b"body", signature)
    assert ann.certified("bb" * 32, credential_of("bb" * 32))
    assert not ann.certified("bb" * 32, credential_of("aa" * 32))
    assert not ann.certified("cc" * 32, credential_of("cc" * 32))
