"""Asking for what is missing: of whom, how often, and which offers are taken."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from actors.steps.context import Context, Update
from actors.steps.follower import Follower
from actors.steps.messages import Gone, Offer, Part, Want
from tests.steps.giving import STATE, asked, average_offer, behind, chunk_of, state_offer
from tests.steps.parts import STEP, clear, mail, vector

STATE_PART, AVERAGE = Part.STATE, Part.AVERAGE


def wants(one: Context) -> list[tuple[str, Want]]:
    return mail(one, Want)


def seeking(**changes: Any) -> tuple[Context, Follower]:
    one, made = behind(**changes)
    made.seek()
    clear(one)
    return one, made


def test_all_other_replicas_of_the_stage_that_can_be_reached_are_asked_once() -> None:
    one, made = behind(4)
    one.usable.discard("s0d")
    made.seek()
    assert wants(one) == [("s0b", Want(-1, -1)), ("s0c", Want(-1, -1))]
    made.seek()
    assert len(wants(one)) == 2


def test_who_asks_says_what_it_holds() -> None:
    one, made = behind(2, held=1)
    made.seek()
    assert wants(one) == [("s0b", Want(1, -1))]


@pytest.mark.parametrize(
    "state",
    [{"held": STEP}, {"restoring": True}, {"applying": Update(STEP, vector(1), 1.0, "", 1)}],
    ids=["held", "restored", "applied"],
)
def test_nothing_is_asked_for_or_taken_that_is_here_or_on_its_way(state: dict[str, Any]) -> None:
    one, made = behind()
    for name, value in state.items():
        setattr(one, name, value)
    made.seek()
    made.offer("s0b", state_offer())
    assert wants(one) == [] and asked(one) == []
    assert one.ignored["an offer that is not needed, or does not fit"] == 1


def test_without_shards_or_a_known_step_nothing_is_asked_for() -> None:
    one, _ = behind()
    made = Follower(one)
    made.seek()
    for offer in (average_offer(STEP), state_offer()):
        made.offer("s0b", replace(offer, chunks=(b"0" * 16,)))
    assert asked(one) == []
    unknown, other = behind(held=-1, decided={"step": -1})
    unknown.held = -2
    other.seek()
    assert wants(one) == wants(unknown) == []


def test_where_no_one_can_be_asked_it_is_tried_again_after_a_beat() -> None:
    one, made = behind()
    one.usable -= {"s0b", "s0c"}
    made.seek()
    assert wants(one) == [] and one.waits.next_deadline() == 1.0
    one.usable.add("s0c")
    made.overdue()
    assert wants(one) == [("s0c", Want(-1, -1))]


def test_a_request_is_made_again_each_time_after_twice_as_long_up_to_the_patience() -> None:
    """Five beats of half a second, ten, twenty, and then the patience of 12 s, which is less than forty."""
    one, made = behind(beat_s=0.5)
    made.seek()
    pauses = []
    for _ in range(5):
        deadline = one.waits.next_deadline()
        assert deadline is not None
        pauses.append(deadline - one.now)
        one.now = deadline
        assert [key for key, _ in one.waits.expired(one.now)] == [("catchup",)]
        made.overdue()
    assert pauses == [2.5, 5.0, 10.0, 12.0, 12.0]
    assert len(wants(one)) == 2 * 6
    made.caught_up()
    assert one.waits.next_deadline() is None
    made.seek()
    assert one.waits.next_deadline() == one.now + 2.5, "the next time begins with five beats"


def test_a_state_is_fetched_from_all_who_offer_it() -> None:
    one, made = seeking()
    made.offer("s0b", state_offer())
    assert asked(one) == [("s0b", STATE_PART, STEP, number) for number in range(3)]
    clear(one)
    made.offer("s0c", state_offer())
    assert asked(one) == [], "all of it is asked for"
    made.chunk("s0b", *chunk_of(state_offer(), STATE, 0))
    made.peer_lost("s0b")
    assert asked(one) == [("s0c", STATE_PART, STEP, 1), ("s0c", STATE_PART, STEP, 2)]
    assert wants(one) == []


@pytest.mark.parametrize(
    ("peer", "offer"),
    [
        ("s0b", state_offer(1)),  # we hold that
        ("s0b", state_offer(era=1)),
        ("s0b", replace(state_offer(), chunks=state_offer().chunks[:2])),
        ("s0b", replace(state_offer(), part=Part.AVERAGE)),  # three chunks, where a gradient has two
        ("s0b", replace(average_offer(2), part=Part.STATE)),
        ("s1a", state_offer()),  # of another stage
        ("s0a", state_offer()),
        ("stranger", state_offer()),
        ("s0c", state_offer()),  # cannot be reached
    ],
)
def test_an_offer_that_is_not_needed_or_does_not_fit_is_not_taken(peer: str, offer: Offer) -> None:
    one, made = seeking(held=1)
    one.usable.discard("s0c")
    made.offer(peer, offer)
    assert asked(one) == [] and one.ignored["an offer that is not needed, or does not fit"] == 1


def test_a_state_of_an_era_that_was_given_up_is_not_taken() -> None:
    """The run returned from 17 to 2: the commit 3 that counts is of era 1."""
    one, made = seeking(decided={"returns": ((17, 2),)})
    made.offer("s0b", state_offer(era=0))
    assert asked(one) == []
    made.offer("s0b", state_offer(era=1))
    assert len(asked(one)) == 3


def test_a_newer_state_takes_the_place_of_one_of_which_nothing_is_here() -> None:
    one, made = seeking()
    made.offer("s0b", state_offer(1))
    clear(one)
    made.offer("s0c", state_offer(2))
    assert asked(one) == [("s0c", STATE_PART, 2, number) for number in range(3)]
    assert wants(one) == [("s0b", Want(-1, 2))], "it will hold that one in a moment"


def test_a_state_that_has_begun_to_come_is_fetched_to_its_end() -> None:
    one, made = seeking()
    made.offer("s0b", state_offer(1))
    made.chunk("s0b", *chunk_of(state_offer(1), STATE, 0))
    clear(one)
    made.offer("s0c", state_offer(2))
    assert asked(one) == [] and wants(one) == []
    made.gone("s0b", Gone(Part.STATE, 1))
    made.offer("s0c", state_offer(2))
    assert len(asked(one)) == 3, "no one gives the first one any more"


def test_a_state_whose_donors_are_lost_gives_way_to_a_newer_one() -> None:
    one, made = seeking()
    made.offer("s0b", state_offer(1))
    made.chunk("s0b", *chunk_of(state_offer(1), STATE, 0))
    one.usable.discard("s0b")
    made.peer_lost("s0b")
    clear(one)
    made.offer("s0c", state_offer(2))
    assert asked(one) == [("s0c", STATE_PART, 2, number) for number in range(3)]


def test_who_offers_an_earlier_state_is_asked_for_the_one_on_its_way() -> None:
    one, made = seeking()
    made.offer("s0b", state_offer(2))
    clear(one)
    made.offer("s0c", state_offer(1))
    assert asked(one) == [] and wants(one) == [("s0c", Want(-1, 2))]


def test_averages_up_to_the_state_that_comes_are_of_no_use() -> None:
    one, made = seeking()
    made.offer("s0b", average_offer(2))
    made.offer("s0b", state_offer(2))
    clear(one)
    made.offer("s0c", average_offer(2))
    made.offer("s0c", average_offer(1))
    assert asked(one) == []
    made.offer("s0c", average_offer(3))
    assert asked(one) == [("s0c", AVERAGE, 3, 0), ("s0c", AVERAGE, 3, 1)]


@pytest.mark.parametrize("held", [0, 1])
def test_who_can_have_the_next_average_needs_no_state(held: int) -> None:
    one, made = seeking(held=held)
    made.offer("s0b", average_offer(held + 1))
    clear(one)
    made.offer("s0c", state_offer(2))
    assert asked(one) == []
    made.peer_lost("s0b")
    made.offer("s0c", state_offer(2))
    assert len(asked(one)) == 3


def test_averages_are_fetched_before_the_state_as_donors_keep_them_for_a_while_only() -> None:
    one, made = seeking()
    made.offer("s0b", state_offer(1))
    for chunk in range(3):
        assert ("s0b", STATE_PART, 1, chunk) in asked(one)
    clear(one)
    made.offer("s0b", average_offer(3))
    made.offer("s0b", average_offer(2))
    assert asked(one) == [("s0b", AVERAGE, 3, 0)], "one more, as three are outstanding there"
    made.chunk("s0b", *chunk_of(state_offer(1), STATE, 0))
    assert asked(one)[1:] == [("s0b", AVERAGE, 2, 0)], "the earlier one first"


def test_something_that_moves_gives_its_donors_their_full_time_again() -> None:
    one, made = behind()
    made.seek()
    made.offer("s0b", state_offer())
    one.now = 4.0
    made.chunk("s0b", *chunk_of(state_offer(), STATE, 0))
    assert one.waits.next_deadline() == 9.0


def test_what_does_not_come_is_asked_of_others() -> None:
    one, made = seeking()
    made.offer("s0b", state_offer())
    made.offer("s0c", state_offer())
    made.chunk("s0b", *chunk_of(state_offer(), STATE, 1))
    clear(one)
    made.overdue()
    assert asked(one) == [("s0c", STATE_PART, STEP, 0), ("s0c", STATE_PART, STEP, 2)]
    assert wants(one) == [("s0b", Want(-1, -1)), ("s0c", Want(-1, -1))]
