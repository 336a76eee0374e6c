"""What was fetched goes into the shards if it was decided, one commit after the other; else its donors are left."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from actors.steps.context import Context, Update
from actors.steps.effects import ApplyUpdate, LoadState, Note
from actors.steps.follower import Follower
from actors.steps.messages import Get, Gone, Part, Want
from tests.steps.giving import STATE, asked, average_offer, behind, chunk_of, give, state_offer, update
from tests.steps.parts import STEP, clear, mail, notes, vector, wanted


def seeking(held: int = -1, replicas: int = 3, **changes: Any) -> tuple[Context, Follower]:
    one, made = behind(replicas, held, **changes)
    made.seek()
    clear(one)
    return one, made


def applied(one: Context) -> list[tuple[int, list[float], float]]:
    return [(effect.step, effect.average.tolist(), effect.clip_factor) for effect in wanted(one, ApplyUpdate)]


def give_average(made: Follower, commit: int, peer: str = "s0b") -> None:
    give(made, peer, average_offer(commit), update(commit).average)


def test_a_state_is_put_into_the_shards_when_all_of_it_is_here() -> None:
    one, made = seeking(held=1)
    made.offer("s0b", state_offer())
    for number in (2, 0):
        made.chunk("s0b", *chunk_of(state_offer(), STATE, number))
    assert wanted(one, LoadState) == [] and one.held == 1
    made.chunk("s0c", *chunk_of(state_offer(), STATE, 1))
    (load,) = wanted(one, LoadState)
    assert (load.commit, load.values.tolist()) == (STEP, STATE.tolist())
    assert one.held == -1, "the shards hold neither the one nor the other meanwhile"
    assert one.waits.waiting(("load",)) and not made.still
    made.loaded(STEP, "hash")
    assert (one.held, one.parameter_hash, made.still) == (STEP, "hash", True)
    assert not one.waits.waiting(("load",))


def test_a_state_with_other_parameters_than_were_said_is_not_held() -> None:
    one, made = seeking()
    give(made, "s0b", state_offer(), STATE)
    clear(one)
    made.loaded(STEP, "other")
    assert one.held == -1 and notes(one) == ["damaged"]
    assert [to for to, _ in mail(one, Want)] == ["s0b", "s0c"]


def test_a_state_that_was_not_fetched_is_not_held() -> None:
    one, made = seeking()
    made.loaded(STEP, "hash")
    assert one.held == -1 and notes(one) == ["damaged"]


def test_averages_are_replayed_in_the_order_of_their_commits() -> None:
    one, made = seeking(held=1)
    give_average(made, 3)
    assert applied(one) == []
    give_average(made, 2)
    assert applied(one) == [(1, [2, 0, 2], 0.5)]
    assert one.held == 1 and one.waits.waiting(("apply",)) and not made.still
    assert made.applied(1, "two")
    assert (one.held, one.parameter_hash) == (2, "two")
    assert applied(one)[1:] == [(2, [3, 0, 3], 0.5)]
    assert made.applied(2, "three")
    assert (one.held, made.still, one.waits.waiting(("apply",))) == (3, True, False)


def test_averages_wait_for_the_state_that_they_follow_on() -> None:
    one, made = seeking()
    give(made, "s0b", state_offer(1), STATE)
    give_average(made, 2)
    give_average(made, 3)
    assert applied(one) == []
    made.loaded(1, "hash")
    assert applied(one) == [(1, [2, 0, 2], 0.5)]


def test_an_update_of_its_own_round_is_not_the_followers() -> None:
    one, made = seeking(held=1)
    assert not made.applied(1, "two")
    assert one.held == 1


def test_nothing_goes_into_the_shards_beside_an_own_update() -> None:
    one, made = seeking(held=1)
    made.offer("s0b", average_offer(2))
    one.applying = Update(2, vector(1), 1.0, "", 1)
    for number in range(2):
        made.chunk("s0b", *chunk_of(average_offer(2), update(2).average, number))
    assert applied(one) == []


def decided(hashes: dict[int, str], step: int = STEP) -> dict[str, Any]:
    return {"averages": hashes, "step": step}


@pytest.mark.parametrize(
    ("hashes", "good"),
    [
        ({0: update(STEP).average_hash}, True),
        ({0: "another"}, False),
        ({0: "another", 1: update(STEP).average_hash}, False),
        ({}, True),  # a decision that says nothing of it
        ({1: "another"}, True),
    ],
    ids=["decided", "not decided", "of another stage", "nothing is known", "only of another stage"],
)
def test_an_average_is_replayed_only_if_its_hash_was_decided(hashes: dict[int, str], good: bool) -> None:
    one, made = seeking(held=2, decided=decided(hashes))
    give_average(made, STEP)
    assert len(applied(one)) == good
    if not good:
        assert "damaged" in notes(one) and one.held == 2
        assert [to for to, _ in mail(one, Want)] == ["s0c"], "its donor is not asked as long as there are others"


def test_the_decision_says_nothing_of_earlier_averages() -> None:
    one, made = seeking(held=1, decided=decided({0: "of commit 3"}))
    give_average(made, 2)
    assert len(applied(one)) == 1


@pytest.mark.parametrize("change", [{"proof": "another"}, {"replicas": 3}], ids=["proof", "replicas"])
def test_an_average_that_has_not_the_hash_of_its_offer_is_refused(change: dict[str, Any]) -> None:
    one, made = seeking(held=1)
    give(made, "s0b", replace(average_offer(2), **change), update(2).average)
    assert applied(one) == [] and "damaged" in notes(one)
    clear(one)
    made.offer("s0b", average_offer(2))
    assert asked(one) == []
    give_average(made, 2, "s0c")
    assert len(applied(one)) == 1


def test_all_donors_of_an_average_that_was_not_decided_are_left_at_once() -> None:
    one, made = seeking(held=2, replicas=4, decided=decided({0: "another"}))
    made.offer("s0c", average_offer(STEP))
    give_average(made, STEP)
    assert mail(one, Want) == [("s0d", Want(2, -1))]


def test_a_damaged_chunk_is_refused_its_donor_named_and_all_is_fetched_from_others() -> None:
    one, made = seeking()
    made.offer("s0b", state_offer())
    made.offer("s0c", state_offer())
    clear(one)
    made.chunk("s0b", chunk_of(state_offer(), STATE, 1)[0], vector(3, 5))
    (note,) = [effect.detail for effect in one.out if hasattr(effect, "detail")]
    assert "chunk 1 of the state of commit 3 from S0B (stage 0) was damaged" in note
    assert {to for to, *_ in asked(one)} == {"s0c"}
    clear(one)
    made.offer("s0b", state_offer())
    made.peer_lost("s0c")
    assert {to for to, *_ in asked(one)} <= {"s0c"}
    assert [to for to, _ in mail(one, Want)] == ["s0c"]


def test_who_gave_something_damaged_is_asked_if_there_is_no_other() -> None:
    one, made = seeking(replicas=2)
    made.offer("s0b", state_offer())
    clear(one)
    made.chunk("s0b", chunk_of(state_offer(), STATE, 1)[0], vector(3, 5))
    assert [to for to, _ in mail(one, Want)] == ["s0b"]
    give(made, "s0b", state_offer(), STATE)
    made.loaded(STEP, "hash")
    assert one.held == STEP


def test_who_gave_something_damaged_is_as_good_as_others_when_the_state_is_here() -> None:
    one, made = seeking()
    made.offer("s0b", state_offer())
    made.chunk("s0b", chunk_of(state_offer(), STATE, 1)[0], vector(3, 5))
    made.caught_up()
    clear(one)
    made.seek()
    assert [to for to, _ in mail(one, Want)] == ["s0b", "s0c"]


def test_a_chunk_that_was_not_asked_for_changes_nothing() -> None:
    one, made = seeking()
    made.offer("s0b", state_offer())
    for chunk, values in (chunk_of(state_offer(2), STATE, 0), chunk_of(average_offer(STEP), STATE, 0)):
        made.chunk("s0b", chunk, values)
    assert one.ignored.total() == 2 and notes(one) == []


def test_what_a_donor_has_no_more_is_asked_for_again() -> None:
    one, made = seeking()
    made.offer("s0b", state_offer())
    made.offer("s0c", state_offer())
    clear(one)
    made.gone("s0b", Gone(Part.AVERAGE, STEP))
    made.gone("s0b", Gone(Part.STATE, 2))
    assert mail(one, Get, Want) == [], "something else is meant"
    made.gone("s0b", Gone(Part.STATE, STEP))
    assert {to for to, *_ in asked(one)} == {"s0c"} and mail(one, Want) == []
    made.gone("s0c", Gone(Part.STATE, STEP))
    assert [to for to, _ in mail(one, Want)] == ["s0b", "s0c"]


def test_what_no_one_gives_any_more_begins_again() -> None:
    one, made = seeking()
    made.offer("s0b", state_offer())
    made.chunk("s0b", *chunk_of(state_offer(), STATE, 0))
    made.gone("s0b", Gone(Part.STATE, STEP))
    clear(one)
    made.offer("s0c", state_offer())
    assert [chunk for _, _, _, chunk in asked(one)] == [0, 1, 2]


def test_one_average_that_is_gone_leaves_the_others() -> None:
    one, made = seeking(held=1)
    made.offer("s0b", average_offer(2))
    made.offer("s0b", average_offer(3))
    clear(one)
    made.gone("s0b", Gone(Part.AVERAGE, 3))
    assert mail(one, Want) == []


def test_a_note_says_what_was_fetched_and_how_long_it_took() -> None:
    one, made = seeking()
    one.now = 3.0
    made.offer("s0b", state_offer())
    one.now = 5.5
    give(made, "s0b", state_offer(), STATE)
    assert [effect.detail for effect in wanted(one, Note)] == [
        "S0A has the state of commit 3, 0.0 MB, from S0B in 2.50 s"
    ]


def test_with_more_than_sixteen_averages_ahead_a_newer_state_is_asked_for() -> None:
    one, made = seeking()
    for commit in range(5, 21):
        made.offer("s0b", average_offer(commit))
    assert mail(one, Want) == []
    made.offer("s0b", average_offer(21))
    assert [to for to, _ in mail(one, Want)] == ["s0b", "s0c"]
    clear(one)
    made.offer("s0b", average_offer(5))
    assert asked(one) == [("s0b", Part.AVERAGE, 5, 0), ("s0b", Part.AVERAGE, 5, 1)]
