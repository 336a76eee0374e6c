"""Which replica gets a microbatch: in proportion to measured tokens/s, and past those who are behind."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.steps.router import Router, split_by_speed


def router(**speeds: float) -> Router:
    made = Router()
    made.learn(speeds)
    return made


def dealt(one: Router, candidates: list[str], microbatches: int) -> dict[int, str]:
    """Who gets each microbatch as long as everything comes back at once."""
    found = {}
    for index in range(microbatches):
        found[index] = one.choose(candidates, index, microbatches)
        one.returned(found[index])
    return found


def outstanding(one: Router, peer: str, count: int) -> None:
    """Give a peer so much to do: it is the only candidate."""
    for _ in range(count):
        one.choose([peer], 0, 8)


def test_a_speed_is_what_was_measured_and_else_the_mean_of_what_is_known() -> None:
    nothing, one = router(), router(a=100.0, b=300.0)
    assert nothing.speed("a") == 1.0
    assert (one.speed("a"), one.speed("b"), one.speed("c")) == (100.0, 300.0, 200.0)
    assert (one.measured("a"), one.measured("c")) == (True, False)


def test_a_newer_measurement_replaces_an_older_one_and_none_does_not() -> None:
    one = router(a=100.0, b=300.0)
    one.learn({"a": 50.0, "b": 0.0, "c": -1.0})
    assert (one.speed("a"), one.speed("b")) == (50.0, 300.0)
    assert not one.measured("c")


@pytest.mark.parametrize(
    ("speeds", "shares"),
    [
        ({"a": 1.0, "b": 1.0}, {"a": 8, "b": 8}),
        ({"a": 5.0, "b": 3.0}, {"a": 10, "b": 6}),
        ({"a": 3.0, "b": 5.0}, {"a": 6, "b": 10}),
        ({"a": 2.0, "b": 1.0, "c": 1.0}, {"a": 8, "b": 4, "c": 4}),
    ],
    ids=str,
)
def test_sixteen_microbatches_are_dealt_in_proportion_to_speed(
    speeds: dict[str, float], shares: dict[str, int]
) -> None:
    assert Counter(dealt(router(**speeds), sorted(speeds), 16).values()) == shares


def test_new_speeds_are_a_new_deal() -> None:
    one = router(a=1.0, b=1.0)
    dealt(one, ["a", "b"], 16)
    one.learn({"a": 5.0, "b": 3.0})
    assert Counter(dealt(one, ["a", "b"], 16).values()) == {"a": 10, "b": 6}


def test_other_candidates_or_another_number_of_microbatches_are_another_deal() -> None:
    one = router(a=1.0, b=1.0, c=1.0)
    assert Counter(dealt(one, ["a", "b"], 8).values()) == {"a": 4, "b": 4}
    assert Counter(dealt(one, ["a", "c"], 8).values()) == {"a": 4, "c": 4}
    assert Counter(dealt(one, ["a", "b"], 6).values()) == {"a": 3, "b": 3}


def test_an_index_beyond_the_number_of_microbatches_is_dealt_as_in_the_next_round() -> None:
    one = router(a=1.0, b=1.0)
    first = dealt(one, ["a", "b"], 8)
    fresh = router(a=1.0, b=1.0)
    for index, peer in first.items():
        assert fresh.choose(["a", "b"], index + 8, 8) == peer
        fresh.returned(peer)


def test_all_origins_deal_alike_and_none_feeds_one_replica_only() -> None:
    """Origins are dealt microbatches in their order, which must not be the order of the replicas' deal."""
    here, there = router(a=1.0, b=1.0, x=1.0, y=1.0), router(a=1.0, b=1.0, x=1.0, y=1.0)
    deal = dealt(here, ["x", "y"], 16)
    assert deal == dealt(there, ["x", "y"], 16)
    assert split_by_speed(range(16), ["a", "b"], here) == {"a": tuple(range(0, 16, 2)), "b": tuple(range(1, 16, 2))}
    for part in (range(0, 16, 2), range(1, 16, 2)):
        assert {deal[index] for index in part} == {"x", "y"}


def test_a_replica_that_is_behind_is_passed_over() -> None:
    """With equal speeds a load is one more than what is outstanding: 2 is not above 2.5 times 1, and 3 is."""
    one = router(a=1.0, b=1.0)
    mine = next(index for index, peer in dealt(one, ["a", "b"], 8).items() if peer == "a")
    outstanding(one, "a", 1)
    assert one.choose(["a", "b"], mine, 8) == "a"
    assert one.choose(["a", "b"], mine, 8) == "b"
    assert one.choose(["a", "b"], mine, 8) == "a", "the load of both is 3 and 2 now"


def test_a_load_of_exactly_two_and_a_half_times_the_least_is_not_behind() -> None:
    """a: (4 + 1) / 1 = 5; b: (1 + 1) / 1 = 2."""
    one = router(a=1.0, b=1.0)
    mine = next(index for index, peer in dealt(one, ["a", "b"], 8).items() if peer == "a")
    outstanding(one, "a", 4)
    outstanding(one, "b", 1)
    assert one.choose(["a", "b"], mine, 8) == "a"
    assert one.choose(["a", "b"], mine, 8) == "b"


def test_what_is_outstanding_weighs_less_on_a_fast_replica() -> None:
    """a: (5 + 1) / 4 = 1.5; b: (0 + 1) / 1 = 1."""
    one = router(a=4.0, b=1.0)
    mine = next(index for index, peer in dealt(one, ["a", "b"], 8).items() if peer == "a")
    outstanding(one, "a", 5)
    assert one.choose(["a", "b"], mine, 8) == "a"


def test_a_slow_replica_gets_nothing_as_long_as_a_much_faster_one_is_idle() -> None:
    """a: (0 + 1) / 3, then (1 + 1) / 3; b: (0 + 1) / 1. That is 3 times as long, and then 1.5 times."""
    one = router(a=3.0, b=1.0)
    loaded = router(a=3.0, b=1.0)
    assert set(dealt(one, ["a", "b"], 16).values()) == {"a"}
    outstanding(loaded, "a", 1)
    assert Counter(dealt(loaded, ["a", "b"], 16).values()) == {"a": 12, "b": 4}


def test_what_came_back_is_outstanding_no_more() -> None:
    one = router(a=1.0, b=1.0)
    mine = next(index for index, peer in dealt(one, ["a", "b"], 8).items() if peer == "a")
    outstanding(one, "a", 2)
    one.returned("a")
    assert one.choose(["a", "b"], mine, 8) == "a", "one outstanding: a load of 2"


def test_more_than_was_sent_cannot_come_back() -> None:
    one = router(a=1.0, b=1.0)
    mine = next(index for index, peer in dealt(one, ["a", "b"], 8).items() if peer == "a")
    for _ in range(5):
        one.returned("a")
    outstanding(one, "a", 2)
    assert one.choose(["a", "b"], mine, 8) == "b", "two outstanding: a load of 3"


def test_the_next_microbatch_goes_to_who_would_be_done_with_it_first() -> None:
    """a has 2 tokens/s, b 1. Done at a / b: .5/1 a, 1/1 a (first of equals), 1.5/1 b, 1.5/2 a, 2/2 a, 2.5/2 b."""
    assert split_by_speed(range(6), ["a", "b"], router(a=2.0, b=1.0)) == {"a": (0, 1, 3, 4), "b": (2, 5)}


def test_who_is_dealt_nothing_is_not_named() -> None:
    assert split_by_speed([7], ["a", "b"], router(a=1.0, b=2.0)) == {"b": (7,)}
    assert split_by_speed([], ["a"], router()) == {}


@given(st.lists(st.floats(0.5, 8.0), min_size=1, max_size=5), st.integers(1, 64))
def test_every_microbatch_is_dealt_once_and_none_is_far_from_its_share(
    speeds: list[float], microbatches: int
) -> None:
    one = router(**{f"p{number}": speed for number, speed in enumerate(speeds)})
    parts = split_by_speed(range(microbatches), sorted(f"p{n}" for n in range(len(speeds))), one)
    assert sorted(index for part in parts.values() for index in part) == list(range(microbatches))
    for number, speed in enumerate(speeds):
        share = microbatches * speed / sum(speeds)
        assert abs(len(parts.get(f"p{number}", ())) - share) <= len(speeds)
