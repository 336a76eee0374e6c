"""What is given up of what was fetched or held, and what stays, when a donor is lost or damaged, or all is here."""

from __future__ import annotations

from dataclasses import replace

import pytest

from actors.steps.agreement import Agreement
from actors.steps.effects import ApplyUpdate
from actors.steps.messages import Differs, Get, Want
from tests.steps.giving import STATE, asked, average_offer, behind, chunk_of, give, state_offer, update
from tests.steps.parts import STEP, clear, mail, notes, vector, wanted


def test_who_is_caught_up_has_forgotten_what_was_on_its_way() -> None:
    one, made = behind()
    made.seek()
    made.offer("s0b", state_offer())
    made.caught_up()
    clear(one)
    made.chunk("s0b", *chunk_of(state_offer(), STATE, 0))
    assert one.ignored.total() == 1
    give(made, "s0b", state_offer(), STATE)
    assert notes(one) == ["fetched"]


@pytest.mark.parametrize(
    ("peer", "message", "inside", "given_up"),
    [
        ("s1a", Differs(STEP, "parameters"), True, True),  # the leader
        ("s0b", Differs(STEP, "parameters"), True, False),
        ("s0b", Differs(STEP, "parameters"), False, True),  # a replica, to one without a vote
        ("s1a", Differs(STEP - 1, "parameters"), True, False),
        ("s1a", Differs(STEP, "others"), True, False),
    ],
)
def test_parameters_that_differ_are_given_up_if_the_one_who_says_so_can_know(
    peer: str, message: Differs, inside: bool, given_up: bool
) -> None:
    one, made = behind(held=STEP)
    if not inside:
        one.agreement = Agreement("s0a", 2, one.decision)  # of another life
    assert made.differs(peer, message) is given_up
    assert (one.held, notes(one)) == ((-1, ["damaged"]) if given_up else (STEP, []))
    assert len(mail(one, Want)) == (2 if given_up else 0)


def test_a_difference_is_not_looked_at_while_something_goes_into_the_shards() -> None:
    one, made = behind(held=1)
    made.seek()
    give(made, "s0b", average_offer(2), update(2).average)
    assert not made.differs("s1a", Differs(1, "parameters"))
    assert one.held == 1


def test_lost_shards_take_nothing() -> None:
    one, made = behind(held=1)
    made.seek()
    give(made, "s0b", average_offer(2), update(2).average)
    made.lost()
    assert (made.built, made.still) == (False, False)
    clear(one)
    made.seek()
    assert mail(one, Want) == []
    made.built = True
    made.seek()
    assert made.still and [to for to, _ in mail(one, Want)] == ["s0b", "s0c"]


def test_two_who_offer_something_else_under_one_name_are_not_mixed() -> None:
    one, made = behind()
    made.seek()
    clear(one)
    made.offer("s0b", state_offer())
    made.offer("s0c", replace(state_offer(), proof="other"))
    assert notes(one) == ["damaged"]
    clear(one)
    one.usable.discard("s0b")
    made.peer_lost("s0b")
    assert asked(one) == []
    assert mail(one, Want) == [("s0c", Want(-1, -1))], "no one gives what was begun: everything is asked for once more"


def test_a_lost_donor_of_one_average_leaves_the_others() -> None:
    one, made = behind(held=1)
    made.seek()
    made.offer("s0b", average_offer(2))
    made.offer("s0c", average_offer(3))
    clear(one)
    one.usable.discard("s0c")
    made.peer_lost("s0c")
    assert mail(one, Want) == []


def test_a_damaged_chunk_of_one_vector_leaves_what_others_give() -> None:
    one, made = behind()
    made.seek()
    made.offer("s0b", average_offer(4))
    made.offer("s0c", state_offer())
    clear(one)
    made.chunk("s0b", chunk_of(average_offer(4), update(4).average, 0)[0], vector(9, 9))
    assert notes(one) == ["damaged"] and mail(one, Want) == []


def test_a_state_drops_the_averages_before_it_and_keeps_those_after() -> None:
    one, made = behind()
    made.seek()
    for commit in (1, 2, 3):
        made.offer("s0b", average_offer(commit))
    made.offer("s0c", state_offer(2))
    for commit, ignored in ((1, 1), (2, 2), (3, 2)):
        made.chunk("s0b", *chunk_of(average_offer(commit), update(commit).average, 0))
        assert one.ignored.total() == ignored


def test_while_a_state_goes_into_the_shards_nothing_else_is_asked_for() -> None:
    one, made = behind()
    made.seek()
    give(made, "s0b", state_offer(2), STATE)
    clear(one)
    made.offer("s0c", state_offer())
    made.overdue()
    assert mail(one, Want, Get) == []
    made.loaded(2, "hash")
    made.seek()
    assert mail(one, Want) == [("s0b", Want(2, -1)), ("s0c", Want(2, -1))]


def test_the_first_step_needs_commit_0_and_the_next_one_follows_on_it() -> None:
    one, made = behind(decided={"step": 0})
    made.seek()
    assert len(mail(one, Want)) == 2
    later, other = behind(held=0, decided={"step": 1})
    other.seek()
    give(other, "s0b", average_offer(1), update(1).average)
    assert [effect.step for effect in wanted(later, ApplyUpdate)] == [0]


def test_all_who_gave_something_damaged_are_left() -> None:
    one, made = behind(4, held=2, decided={"averages": {0: "another"}})
    made.seek()
    made.offer("s0c", average_offer(STEP))
    made.chunk("s0c", chunk_of(average_offer(STEP), update(STEP).average, 0)[0], vector(9, 9))
    clear(one)
    give(made, "s0b", average_offer(STEP), update(STEP).average)
    assert mail(one, Want) == [("s0d", Want(2, -1))]


def test_averages_that_were_on_their_way_are_of_no_use_to_who_has_caught_up() -> None:
    one, made = behind(held=1)
    made.seek()
    made.offer("s0b", average_offer(2))
    made.caught_up()
    made.chunk("s0b", *chunk_of(average_offer(2), update(2).average, 0))
    assert one.ignored.total() == 1
