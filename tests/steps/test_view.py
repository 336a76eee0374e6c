"""The committed view: how many votes decide, whose vote counts, whose turn it is to lead."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.steps.view import NOBODY, CommittedView, Voter
from tests.steps.builders import decision_of, voters

ABC = voters(a=0, b=1, c=0)
VIEW = CommittedView(2, ABC)


def view_of(count: int, number: int = 1, dismissed: int = 0) -> CommittedView:
    members = tuple(Voter(f"p{index}", 1, f"n{index}", 0) for index in range(count))
    return CommittedView(number, members, frozenset(f"p{index}" for index in range(dismissed)))


@pytest.mark.parametrize(
    ("members", "quorum"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (6, 4), (7, 4), (8, 5), (9, 5)]
)
def test_more_than_half_of_the_votes_decide(members: int, quorum: int) -> None:
    assert view_of(members).quorum == quorum


@pytest.mark.parametrize(
    ("members", "dismissed", "voters", "quorum"),
    [(2, 1, 1, 1), (3, 1, 2, 2), (3, 2, 1, 1), (5, 1, 4, 3), (5, 2, 3, 2), (6, 4, 2, 2), (9, 4, 5, 3)],
)
def test_dismissed_votes_are_not_counted_among_those_of_which_most_decide(
    members: int, dismissed: int, voters: int, quorum: int
) -> None:
    view = view_of(members, dismissed=dismissed)
    assert (view.voters, view.quorum) == (voters, quorum)


@pytest.mark.parametrize("members", range(1, 10))
def test_view_0_needs_all_of_its_members(members: int) -> None:
    assert view_of(members, number=0).quorum == members


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 40), st.integers(0, 39))
def test_two_quorums_of_one_view_share_a_voter(members: int, dismissed: int) -> None:
    view = view_of(members, dismissed=min(dismissed, members - 1))
    assert 2 * view.quorum > view.voters >= view.quorum


def test_only_the_life_that_the_view_names_has_the_vote() -> None:
    assert VIEW.votes("b", 1)
    assert not VIEW.votes("b", 2) and not VIEW.votes("b", 0) and not VIEW.votes("x", 1)


def test_a_dismissed_member_has_no_vote() -> None:
    view = CommittedView(2, ABC, frozenset("b"))
    assert not view.votes("b", 1) and view.votes("a", 1)
    assert view.member("b") == ABC[1], "it is a member still"


def test_in_view_0_every_life_of_a_member_has_its_vote() -> None:
    first = CommittedView.first(Voter(m.peer_id, 0, m.name, m.stage) for m in ABC)
    assert first.votes("b", 7) and first.votes("b", 0)
    assert not first.votes("x", 0), "but strangers have none"


@pytest.mark.parametrize(
    ("slot", "ballot", "owner"),
    [(6, 0, "a"), (6, 1, "b"), (6, 2, "c"), (6, 3, "a"), (7, 0, "b"), (7, 2, "a"), (8, 0, "c"), (8, 1, "a")],
)
def test_ballot_b_of_slot_n_belongs_to_member_n_plus_b_modulo_the_number_of_members(
    slot: int, ballot: int, owner: str
) -> None:
    """Three members: 6 + 0 = 6 is 0 modulo 3, the first; 8 + 1 = 9 is, too; 7 + 0 is 1, the second."""
    assert VIEW.owner(slot, ballot).peer_id == owner


def test_a_view_without_members_has_no_leader() -> None:
    assert CommittedView(-1, ()).owner(0, 0) == NOBODY


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 9), st.integers(0, 1000), st.integers(0, 1000))
def test_each_member_owns_one_of_as_many_ballots_in_a_row_as_there_are_members(n: int, slot: int, above: int) -> None:
    view = view_of(n)
    assert {view.owner(slot, ballot) for ballot in range(above, above + n)} == set(view.members)


def test_the_first_view_has_its_members_in_the_order_of_identities() -> None:
    first = CommittedView.first(reversed(ABC))
    assert first.number == 0 and first.members == ABC


@pytest.mark.parametrize(
    ("twin", "what"), [(Voter("a", 1, "other", 0), "peer_id 'a'"), (Voter("x", 1, "A", 0), "name 'A'")]
)
def test_two_members_do_not_share_an_identity_or_a_name(twin: Voter, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        CommittedView.first([*ABC, twin])


def test_the_replicas_of_a_stage_come_in_the_order_of_identities() -> None:
    assert [member.peer_id for member in VIEW.replicas(0)] == ["a", "c"]
    assert VIEW.replicas(2) == ()


def test_routes_are_sent_as_numbers_of_members() -> None:
    assert VIEW.places(("c", "b")) == (2, 1)
    assert VIEW.places(("", "x", "a")) == (-1, -1, 0), "nobody, and strangers, have no number"
    assert VIEW.route((2, 1)) == ("c", "b")
    assert VIEW.route((-1, 0, 3)) == ("", "a", ""), "numbers beyond the view name nobody"


@pytest.mark.parametrize(
    ("members", "returns", "plausible"),
    [
        (ABC, (), True),
        ((), (), False),
        ((ABC[1], ABC[0]), (), False),
        ((ABC[0], ABC[0]), (), False),
        ((ABC[0], Voter("a", 2, "A", 0)), (), False),
        (voters(a=0, b=2), (), False),
        (voters(a=-1, b=1), (), False),
        (ABC, ((5, 3),), True),
        (ABC, ((3, 5),), False),
    ],
    ids=["right", "empty", "order", "twice", "two lives", "no such stage", "no stage", "return", "forward"],
)
def test_a_decision_names_each_member_once_in_order_and_with_a_stage_of_the_run(
    members: tuple[Voter, ...], returns: tuple[tuple[int, int], ...], plausible: bool
) -> None:
    decision = decision_of((), returns=returns)
    assert type(decision)(5, 2, members, 3, returns=returns).plausible(2) is plausible
