"""The gossip view as routing reads it, and the words for what is believed of a member."""

from __future__ import annotations

import pytest

from actors.membership.events import Leave, Update
from actors.membership.statements import State
from actors.membership.view import GossipView, Member, complete, missing, state_of
from tests.membership.solo import Solo


def with_stages(*stages: int) -> Solo:
    """The core serves the first stage, the puppets the others."""
    solo = Solo(len(stages) - 1)
    solo.give(Update({"stage": stages[0]}))
    solo.tell(*(solo.record(number, 2, stage=stage).wire for number, stage in enumerate(stages) if number))
    return solo


def names(members: tuple[Member, ...]) -> list[str]:
    return sorted(member.name for member in members)


def test_the_view_is_the_member_itself_and_all_who_are_there_ordered_by_identity() -> None:
    solo = Solo(5)
    solo.tell(solo.dead(2, by=1), solo.record(3, 2, state=State.LEFT).wire, solo.accusation(4, by=1))
    view = GossipView(solo.core)
    assert names(view.members) == ["n0", "n1", "n4", "n5"], "suspects are still there"
    peers = [member.peer_id for member in view.members]
    assert peers == sorted(peers)


def test_one_that_leaves_is_not_in_its_own_view() -> None:
    solo = Solo(2)
    solo.give(Leave())
    assert names(GossipView(solo.core).members) == ["n1", "n2"]


def test_a_member_is_found_by_its_identity() -> None:
    solo = Solo(2)
    solo.tell(solo.record(1, 2, stage=3, addresses=("iroh:abc", "tcp:home:9", "tcp:other:9")).wire)
    found = GossipView(solo.core).member(solo.peer(1))
    assert found == Member(solo.peer(1), "n1", 3, "home:9", State.ACTIVE), "its first address that is tcp"
    assert GossipView(solo.core).member("ab" * 32) is None
    solo.tell(solo.record(2, 2, addresses=("iroh:abc",)).wire)
    assert GossipView(solo.core).member(solo.peer(2)) == Member(solo.peer(2), "n2", 0, "", State.ACTIVE)


@pytest.mark.parametrize(
    ("stage", "state", "takes_part"),
    [
        (0, State.ACTIVE, True),
        (0, State.DRAINING, True),
        (-1, State.JOINING, True),  # waits for a stage
        (-1, State.ACTIVE, False),  # an observer
        (-1, State.DRAINING, False),
        (3, State.JOINING, True),
    ],
)
def test_who_serves_a_stage_or_waits_for_one_takes_part(stage: int, state: State, takes_part: bool) -> None:
    assert Member("ab", "ann", stage, "", state).takes_part is takes_part


def test_replicas_are_those_of_one_stage() -> None:
    solo = with_stages(0, 1, 0, 1, 2, -1)
    view = GossipView(solo.core)
    found = [names(view.replicas(stage)) for stage in (-1, 0, 1, 2, 3)]
    assert found == [["n5"], ["n0", "n2"], ["n1", "n3"], ["n4"], []]


@pytest.mark.parametrize(
    ("stages", "replicas", "lacking"),
    [
        (2, 2, ""),
        (2, 1, ""),
        (3, 1, ""),
        (3, 2, "stage 2 has 1 of 2 replicas"),
        (4, 2, "stage 2 has 1 of 2 replicas, stage 3 has 0 of 2 replicas"),
    ],
)
def test_a_layout_is_complete_when_every_stage_has_its_replicas(stages: int, replicas: int, lacking: str) -> None:
    solo = with_stages(0, 1, 0, 1, 2, -1)
    assert complete(solo.core, stages, replicas) is (not lacking)
    assert missing(solo.core, stages, replicas) == (lacking or "every stage has its replicas")


def test_the_word_for_each_state() -> None:
    solo = Solo(6)
    solo.tell(
        *(solo.record(number, 2, state=state).wire for number, state in ((1, State.JOINING), (2, State.DRAINING))),
        solo.record(3, 2, state=State.LEFT).wire,
        solo.dead(4, by=1),
        solo.accusation(5, by=6),
        by=6,
    )
    words = [state_of(solo.core, solo.core.records[solo.peer(number)]) for number in range(7)]
    assert words == ["active", "joining", "draining", "left", "dead", "suspect", "active"]
