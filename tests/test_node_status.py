"""What one participant tells of the whole run: members, votes, links and events, as it believes them to be."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from actors.clock import Clock
from actors.journal import Journal
from actors.membership.statements import State
from actors.node_status import describe_run
from actors.records import LinkStatus, MeshStatus
from actors.steps.view import CommittedView, Voter
from sharding.partition import partition
from tests.membership.helpers import Table
from tests.steps.builders import commit_record
from tests.test_spec import MODEL, spec

VOTERS = (Voter("p0", 3, "n0", 0), Voter("p1", 4, "n1", 1), Voter("p2", 5, "n2", 1))


@dataclass
class Link:
    """What the transport tells of a link."""

    name: str
    up: bool
    rtt_s: float | None
    sent_bytes: int
    received_bytes: int


@dataclass
class Transport:
    """Two links, and what was refused."""

    refused: Counter[str] = field(default_factory=lambda: Counter({"bad signature": 2}))

    def links(self) -> list[Link]:
        """One that stands and one that never stood."""
        return [Link("n1", True, 0.012, 100, 200), Link("n2", False, None, 0, 0)]


@dataclass
class Mesh:
    """Has a core."""

    core: Any


class Node:
    """What is looked at of a participant."""

    def __init__(self, core: Any) -> None:
        self.spec, self.transport = spec(name="n0"), Transport()
        self.mesh = None if core is None else Mesh(core)
        self.journal = Journal("n0", Clock(lambda: 0.0, lambda: 1_000.0))
        self.failure = "nothing"

    def phase(self) -> str:
        """How far it is."""
        return "training"


@dataclass
class Context:
    """The committed view and the votes that cannot be had."""

    view: CommittedView

    def votes_lost(self) -> dict[str, str]:
        """By identity."""
        return {"p1": "cannot be reached"}


@dataclass
class Protocol:
    """The step protocol of n0."""

    context: Context
    step: int = 7
    commit: int = 7
    why_paused: str = "1 of 2 votes can be had"


@pytest.fixture
def table() -> Table:
    """Four members of stage 0."""
    return Table(4)


def told(core: Any, protocol: Any = None, prepare: Any = None) -> MeshStatus:
    """What a participant with that core tells."""
    node: Any = Node(core)
    if prepare is not None:
        prepare(node)
    return describe_run(node, protocol)


def test_before_there_is_a_mesh_it_tells_of_itself() -> None:
    status = told(None)
    assert (status.run_id, status.observer, status.phase, status.failure) == ("r1", "n0", "training", "nothing")
    assert (status.step, status.total_steps, status.commit) == (0, 20, 0)
    assert (status.participants, status.view, status.health, status.beyond, status.split) == ((), "", 0, (), ())
    assert (status.paused, status.committed_view, status.votes) == ("", -1, ())
    assert status.refused == {"bad signature": 2}


def test_links_have_their_round_trips_in_milliseconds() -> None:
    assert told(None).links == (LinkStatus("n1", True, 12.0, 100, 200), LinkStatus("n2", False, None, 0, 0))


def test_the_newest_twenty_events_are_shown() -> None:
    def prepare(node: Any) -> None:
        for number in range(25):
            node.journal.note("kind", str(number))

    assert [event.detail for event in told(None, prepare=prepare).events] == [str(number) for number in range(5, 25)]


def test_the_protocol_tells_where_it_is_and_which_votes_there_are() -> None:
    protocol = Protocol(Context(CommittedView(4, VOTERS, dismissed=frozenset({"p2"}))))
    status = told(None, protocol)
    assert (status.step, status.commit, status.paused, status.committed_view) == (7, 7, "1 of 2 votes can be had", 4)
    assert [(vote.name, vote.peer_id, vote.life, vote.lost) for vote in status.votes] == [
        ("n0", "p0", 3, ""),
        ("n1", "p1", 4, "cannot be reached"),
    ], "one that was dismissed has no vote"
    assert told(None, replace(protocol, commit=-1)).commit == 0, "what was never begun has no commit"


def test_members_are_ordered_by_stage_and_name_and_have_the_stage_s_layers(table: Table) -> None:
    core = table.cores[0]
    status = told(core)
    assert [one.name for one in status.participants] == ["n0", "n1", "n2", "n3"]
    one = status.participants[0]
    first = partition(MODEL, 2)[0]
    assert (one.stage, one.first_layer, one.last_layer) == (0, 0, 2) == (0, first.first_layer, first.last_layer)
    assert (one.embedding, one.head, one.parameters) == (True, False, 296)
    assert one.share == pytest.approx(296 / 468)
    assert (one.state, one.address, one.incarnation) == ("active", "home-0:1", core.record.incarnation)
    assert (status.view, one.view) == (f"{core.view_hash:016x}",) * 2
    assert all(other.view == "" and other.rtt_ms is None for other in status.participants[1:])


def test_a_member_without_a_stage_of_this_run_is_not_shown(table: Table) -> None:
    core = table.cores[0]
    for stage, shown in ((0, 4), (1, 4), (2, 3), (-1, 3)):
        peer = table.peer(3)
        known = dict(core.records) | {peer: replace(core.records[peer], stage=stage)}
        status = told(Seen(core, records=known))
        assert len(status.participants) == shown, stage
        if stage == 1:
            assert [one.name for one in status.participants] == ["n0", "n1", "n2", "n3"]
            assert status.participants[3].head and status.participants[3].parameters == 172


class Seen:
    """A core, of which some of what it says is other than it is."""

    def __init__(self, core: Any, **changes: Any) -> None:
        self._core, self._changes = core, changes

    def __getattr__(self, name: str) -> Any:
        return self._changes[name] if name in self._changes else getattr(self._core, name)


@dataclass
class Suspicion:
    """Who accuses a member."""

    accusers: dict[str, int]


def test_what_the_core_believes_of_a_member_is_shown(table: Table) -> None:
    core, (n0, n1, n2, n3) = table.cores[0], (table.peer(number) for number in range(4))
    seen = Seen(
        core,
        views={n1: 0xABC, n0: 0x1},
        round_trips={n1: 0.025},
        suspicions={n1: Suspicion({n3: 1, n2: 2, "a stranger": 3})},
        beyond={n3, n2, "a stranger"},
        split={n1},
        health=2,
        refused=Counter({"not of this run": 3}),
    )
    status = told(seen)
    one = status.participants[1]
    assert (one.name, one.state, one.rtt_ms, one.view) == ("n1", "suspect", 25.0, "0000000000000abc")
    assert one.suspected_by == ("n2", "n3"), "those whom it knows, by name"
    assert (status.beyond, status.split, status.health) == (("n2", "n3"), ("n1",), 2)
    assert status.refused == {"bad signature": 2, "not of this run": 3}
    assert status.participants[0].view == f"{core.view_hash:016x}", "its own is what it sees, not what it was told"


def test_speed_and_data_are_those_of_the_newest_record(table: Table) -> None:
    known = {peer: replace(record, throughput=5.0) for peer, record in table.cores[0].records.items()}
    core = Seen(table.cores[0], records=known)
    assert {(one.tokens_per_s, one.data_ok) for one in told(core).participants} == {(5.0, True)}

    def prepare(node: Any) -> None:
        old = commit_record(0, throughput={"n2": 1.0}, sources=[], hashes={"n0": "h"})
        new = commit_record(1, throughput={"n1": 70.0}, sources=["n1"], hashes={"n1": "h", "n2": "h"})
        node.journal.records = deque([old, new])

    found = {one.name: (one.tokens_per_s, one.data_ok) for one in told(core, prepare=prepare).participants}
    # n2 took part and was no source; n0 and n3 were not there, so nothing is known against them.
    assert found == {"n0": (0.0, True), "n1": (70.0, True), "n2": (0.0, False), "n3": (0.0, True)}


@pytest.mark.parametrize(("addresses", "shown"), [((), ""), (("tcp:a:1", "tcp:b:2"), "a:1"), (("b:2",), "b:2")])
def test_the_first_address_is_shown(table: Table, addresses: tuple[str, ...], shown: str) -> None:
    peer = table.peer(1)
    known = dict(table.cores[0].records)
    known[peer] = replace(known[peer], addresses=addresses, state=State.JOINING)
    one = told(Seen(table.cores[0], records=known)).participants[1]
    assert (one.address, one.state) == (shown, "joining")
