"""Whether enough votes can be had, and the owner's word that some are lost for good."""

from __future__ import annotations

from typing import Any

import pytest

from actors.steps.ballots import Dismiss, dismissal
from actors.steps.context import Context
from actors.steps.quorum import Quorum
from actors.steps.view import Voter
from tests.steps.builders import context_of, decision_of, notes, sent, voters

FIVE = voters(a=0, b=0, c=0, d=1, e=1)


class Table:
    """Five voters in view 7, of which only these can be reached."""

    def __init__(self, usable: str = "ab", me: str = "a", view: int = 7, members: Any = FIVE) -> None:
        self.context: Context = context_of(decision_of(members, view=view), me=me, usable=usable)
        self.signed = True
        self.quorum = Quorum(self.context, lambda message: self.signed)

    def dismiss(self, peers: str, view: int = 7, **lives: int) -> bool:
        """The owner says that these votes are lost."""
        return self.quorum.dismiss(Dismiss(view, {peer: lives.get(peer, 1) for peer in peers}, "00"))

    def said(self, kind: str) -> list[str]:
        """What a person was told since the last time."""
        found = notes(self.context.out, kind)
        self.context.out.clear()
        return found


@pytest.mark.parametrize(
    ("members", "usable", "majority"),
    [(1, 1, True), (2, 1, False), (2, 2, True), (3, 1, False), (3, 2, True), (4, 2, False), (4, 3, True),
     (5, 2, False), (5, 3, True), (6, 3, False), (7, 4, True), (8, 4, False), (9, 5, True)],
)  # fmt: skip
def test_a_majority_can_agree_when_more_than_half_of_the_votes_can_be_had(
    members: int, usable: int, majority: bool
) -> None:
    everybody = tuple(Voter(peer, 1, peer.upper(), 0) for peer in "abcdefghi"[:members])
    assert Table("abcdefghi"[:usable], members=everybody).context.has_majority is majority


def test_a_vote_is_lost_while_its_owner_cannot_be_reached_or_is_back_as_another_life() -> None:
    table = Table("abcd")
    table.context.lives = {"b": 1, "c": 2, "d": 0}
    assert table.context.votes_lost() == {
        "c": "restarted, and has lost the memory of its vote",
        "e": "cannot be reached",
    }
    assert table.context.reborn() == {"c"}
    assert table.context.has_majority


def test_in_view_0_no_life_is_another_one() -> None:
    table = Table("abcde", view=0)
    table.context.lives = {"b": 9}
    assert table.context.reborn() == set() and table.context.has_majority


def test_a_pause_is_said_once_with_whose_votes_are_missing_and_its_end_too() -> None:
    table = Table("ab")
    table.context.lives["e"] = 2
    table.quorum.review()
    table.quorum.review()
    why = (
        "2 of 5 votes can be had, and 3 must agree (C, D cannot be reached; "
        "E restarted, and has lost the memory of its vote)"
    )
    assert table.quorum.without == why
    assert table.said("paused") == [f"nothing is committed here until others are back: {why}"]
    table.context.usable.add("c")
    table.quorum.review()
    assert (table.quorum.without, table.said("resumed")) == ("", ["a majority can agree again"])
    table.quorum.review()
    assert table.said("resumed") == []


def test_the_first_view_with_lives_can_lose_its_majority() -> None:
    table = Table("ab", view=1)
    table.quorum.review()
    assert table.said("paused")


def test_another_reason_is_said_again() -> None:
    table = Table("ab")
    table.quorum.review()
    table.context.usable.discard("b")
    table.quorum.review()
    assert len(table.said("paused")) == 2


def test_who_has_no_vote_and_who_has_just_begun_say_nothing_of_it() -> None:
    for table in (Table("ax", me="x"), Table("a", view=0)):
        table.quorum.review()
        assert table.quorum.without == "" and not table.context.out


def test_the_votes_that_the_owner_names_are_dismissed_and_everybody_who_is_here_is_told() -> None:
    table = Table("abx")
    assert table.dismiss("cde")
    assert table.context.view.dismissed == {"c", "d", "e"}
    assert (table.context.view.quorum, table.context.has_majority) == (2, True)
    assert {to for to, _ in sent(table.context.out, Dismiss)} == {"b"}, "x is no member"
    assert table.said("dismissed") == ["the owner has declared the votes of C, D, E lost; 5 could vote before"]


def test_more_can_be_named_later_when_even_fewer_are_left() -> None:
    table = Table("ab")
    assert table.dismiss("cd")
    table.context.usable.discard("b")
    assert table.dismiss("bcd")
    assert table.context.view.dismissed == {"b", "c", "d"}
    assert table.said("dismissed")[1:] == ["the owner has declared the votes of B, C, D lost; 3 could vote before"]


@pytest.mark.parametrize(
    ("table", "peers", "values"),
    [
        (Table("ab"), "cde", {"signed": False}),
        (Table("abc"), "de", {}),
        (Table("ab"), "bcde", {}),
        (Table("ab"), "cde", {"view": 8}),
        (Table("ab"), "cde", {"view": 3}),
        (Table("ab"), "cde", {"c": 2, "d": 2, "e": 2}),
        (Table("ab"), "xyz", {}),
        (Table("ab"), "", {}),
        (Table("a", view=0), "bcde", {"view": 0}),
    ],
    ids=["not signed", "a majority is here", "one of them is here", "a later view", "an old view", "other lives",
         "strangers", "nobody", "view 0"],
)  # fmt: skip
def test_a_dismissal_that_is_not_the_owners_or_not_needed_or_not_meant_changes_nothing(
    table: Table, peers: str, values: dict[str, Any]
) -> None:
    table.signed = values.pop("signed", True)
    before = table.context.view
    assert not table.dismiss(peers, **values)
    assert table.context.view == before
    assert not sent(table.context.out, Dismiss)


def test_what_is_refused_is_said() -> None:
    table = Table("ab")
    table.dismiss("bcde")
    assert table.said("refused") == ["a dismissal of B: who is here keeps its vote"]
    table.signed = False
    table.dismiss("cde")
    assert table.said("refused") == ["a dismissal that the run's owner did not sign"]
    enough = Table("abc")
    enough.dismiss("de")
    assert enough.said("refused") == ["a dismissal that is not needed: a majority can agree"]


@pytest.mark.parametrize(("view", "valid"), [(7, True), (6, True), (4, True), (3, False), (8, False)])
def test_a_dismissal_may_name_a_view_older_by_as_many_changes_as_it_names_votes(view: int, valid: bool) -> None:
    """Three are named in view 7: each of them may have been put out, or back, since view 4."""
    assert Table("ab").dismiss("cde", view=view) is valid


def test_the_first_view_with_lives_can_be_rid_of_lost_votes_like_any_other() -> None:
    assert Table("ab", view=1).dismiss("cde", view=1)


def test_the_same_word_twice_and_a_word_after_the_end_change_nothing() -> None:
    table = Table("ab")
    assert table.dismiss("cde") and not table.dismiss("cde") and not table.dismiss("cd")
    over = Table("ab")
    over.context.finished = True
    assert not over.dismiss("cde")


def test_a_vote_that_is_lost_with_its_process_can_be_dismissed_although_its_owner_is_here() -> None:
    table = Table("abcde")
    table.context.lives = {"c": 2, "d": 2, "e": 2}
    assert table.dismiss("cde")


@pytest.mark.parametrize(
    ("usable", "after", "dismissed"),
    [("ab", "abcde", "cde"), ("ab", "abde", "de"), ("abc", "abcde", ""), ("ab", "ab", ""), ("ab", "abxyz", "")],
    ids=["all stay", "one is out", "enough are back", "all are out", "replaced"],
)
def test_votes_stay_dismissed_until_a_decision_has_removed_them_or_enough_are_back(
    usable: str, after: str, dismissed: str
) -> None:
    table = Table("ab")
    assert table.dismiss("cde")
    before = table.context.view
    table.context.usable = set(usable)
    members = [next((m for m in FIVE if m.peer_id == peer), Voter(peer, 1, peer, 0)) for peer in after]
    table.context.agreement.decided(decision_of(members, slot=6, view=8))
    table.quorum.decided(before)
    assert table.context.view.dismissed == set(dismissed)


def test_a_new_life_of_a_dismissed_member_has_a_vote_of_its_own() -> None:
    table = Table("ab")
    table.dismiss("cde")
    before = table.context.view
    members = (*FIVE[:2], Voter("c", 2, "C", 0), *FIVE[3:])
    table.context.agreement.decided(decision_of(members, slot=6, view=8))
    table.quorum.decided(before)
    assert table.context.view.dismissed == {"d", "e"}


def test_who_comes_later_is_told_the_owners_word_as_long_as_it_holds() -> None:
    table = Table("ab")
    table.quorum.greet("c")
    assert not table.context.out
    table.dismiss("cde")
    table.context.out.clear()
    table.quorum.greet("c")
    ((to, message),) = sent(table.context.out, Dismiss)
    assert to == "c" and message.voters == {"c": 1, "d": 1, "e": 1}
    table.context.out.clear()
    table.context.agreement.decided(decision_of(FIVE[:2], slot=6, view=8))
    table.quorum.greet("c")
    assert not table.context.out


def test_a_process_that_has_the_owners_word_from_its_disk_only_cannot_show_it() -> None:
    table = Table("ab")
    table.context.agreement.dismiss(frozenset("cde"))
    table.quorum.greet("c")
    assert not table.context.out


def test_the_owner_signs_for_one_run_one_view_and_these_lives_only() -> None:
    signed = dismissal("run", 7, {"b": 1, "a": 2})
    assert signed == b"tessera/dismiss/1\nrun\n7\na:2\nb:1"
    others = [("other", 7, {"b": 1, "a": 2}), ("run", 8, {"b": 1, "a": 2}), ("run", 7, {"b": 2, "a": 2}),
              ("run", 7, {"b": 1})]  # fmt: skip
    assert all(dismissal(*other) != signed for other in others)
