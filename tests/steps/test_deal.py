"""Who drives which microbatch: in proportion to tokens/s, the same from plan to plan, handed on when nothing moves."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.steps.deal import Deal
from actors.steps.router import Router


def deal(**speeds: float) -> Deal:
    router = Router()
    router.learn(speeds)
    return Deal(router)


@pytest.mark.parametrize(
    ("speeds", "microbatches", "counts"),
    [
        ({"a": 1.0, "b": 1.0}, 6, {"a": 3, "b": 3}),
        ({"a": 1.0, "b": 1.0}, 5, {"a": 3, "b": 2}),
        ({"a": 10.0, "b": 30.0}, 8, {"a": 2, "b": 6}),
        ({"a": 100.0, "b": 50.0, "c": 50.0}, 16, {"a": 8, "b": 4, "c": 4}),
        ({"a": 1.0, "b": 9.0}, 4, {"b": 4}),
        ({}, 4, {"a": 2, "b": 2}),
        ({"a": 6.0}, 4, {"a": 2, "b": 2}),
        ({"a": 3.0, "c": 1.0}, 6, {"a": 3, "b": 2, "c": 1}),
    ],
    ids=["even", "odd", "1 to 3", "2 to 1 to 1", "a tenth of four is none", "none measured", "one measured", "a mean"],
)
def test_microbatches_are_dealt_in_proportion_to_measured_speed(
    speeds: dict[str, float], microbatches: int, counts: dict[str, int]
) -> None:
    """Who was not measured has the mean of the others: of 3 and 1 that is 2, so b gets 2 of 6."""
    origins = sorted({"a", "b", *speeds})
    train, validate = deal(**speeds).give(range(microbatches), [], origins, {})
    assert {peer: len(part) for peer, part in train.items()} == counts
    assert sorted(index for part in train.values() for index in part) == list(range(microbatches))
    assert validate == {}


SPEEDS = st.dictionaries(st.sampled_from("abcdef"), st.floats(0.5, 1000.0), min_size=1)


@settings(deadline=None, max_examples=60)
@given(SPEEDS, st.sets(st.integers(0, 40), max_size=30), st.sets(st.integers(0, 9), max_size=8))
def test_each_microbatch_is_dealt_once_whatever_the_speeds(
    speeds: dict[str, float], train: set[int], validate: set[int]
) -> None:
    hands = deal(**speeds).give(sorted(train), sorted(validate), sorted(speeds), {})
    for given_out, wanted in zip(hands, (train, validate), strict=True):
        assert sorted(index for part in given_out.values() for index in part) == sorted(wanted)
        assert all(part for part in given_out.values()) and given_out.keys() <= speeds.keys()


@settings(deadline=None, max_examples=60)
@given(SPEEDS, st.integers(1, 30))
def test_nobody_is_done_later_than_one_more_microbatch_would_take_anybody(speeds: dict[str, float], count: int) -> None:
    train, _ = deal(**speeds).give(range(count), [], sorted(speeds), {})
    longest = max(len(part) / speeds[peer] for peer, part in train.items())
    assert longest <= min((len(train.get(peer, ())) + 1) / speed for peer, speed in speeds.items()) * (1 + 1e-9)


def test_the_next_one_goes_to_who_would_be_done_with_it_first() -> None:
    """At 2 and 3 tokens/s: b is done at 1/3, a at 1/2, b at 2/3; then both at 1 (the first is asked), then b at 4/3."""
    train, _ = deal(a=2.0, b=3.0).give(range(5), [], ["a", "b"], {})
    assert train == {"a": (1, 3), "b": (0, 2, 4)}


def test_the_order_in_which_speeds_were_learned_does_not_matter() -> None:
    one = deal(a=1.0, b=3.0, c=2.0).give(range(12), range(6), ["a", "b", "c"], {})
    assert one == deal(c=2.0, b=3.0, a=1.0).give(range(12), range(6), ["a", "b", "c"], {})


def test_who_drives_a_microbatch_drives_it_in_later_plans_too() -> None:
    one = deal(a=1.0, b=1.0)
    assert one.give(range(4), [], ["a", "b"], {})[0] == {"a": (0, 2), "b": (1, 3)}
    assert one.give([1, 2], [], ["a", "b"], {})[0] == {"a": (2,), "b": (1,)}
    assert one.give([1, 3], [], ["a", "b"], {})[0] == {"b": (1, 3)}, "although a has nothing to do"


def test_what_an_origin_that_is_gone_drove_is_dealt_to_those_who_are_left() -> None:
    one = deal(a=1.0, b=1.0, c=1.0)
    assert one.give(range(6), [], ["a", "b", "c"], {})[0] == {"a": (0, 3), "b": (1, 4), "c": (2, 5)}
    assert one.give(range(6), [], ["a", "c"], {})[0] == {"a": (0, 1, 3), "c": (2, 4, 5)}
    assert one.give(range(6), [], ["a", "b", "c"], {})[0] == {"a": (0, 1, 3), "c": (2, 4, 5)}, "and stays with them"


def test_who_drives_it_already_goes_on_but_an_earlier_word_of_this_leader_is_newer() -> None:
    one = deal(a=1.0, b=1.0)
    assert one.give([0, 1], [], ["a", "b"], {0: "b", 1: "x"})[0] == {"a": (1,), "b": (0,)}
    assert one.give([0, 1], [], ["a", "b"], {0: "a"})[0] == {"a": (1,), "b": (0,)}


def test_when_nothing_comes_through_each_hands_on_to_the_next() -> None:
    one = deal(a=1.0, b=1.0, c=1.0)
    origins = ["a", "b", "c"]
    one.give(range(3), [], origins, {})
    one.stalled()
    assert one.give(range(3), [], origins, {})[0] == {"a": (2,), "b": (0,), "c": (1,)}
    assert one.give(range(3), [], origins, {})[0] == {"a": (2,), "b": (0,), "c": (1,)}, "once for every stall"
    one.stalled()
    one.stalled()
    assert one.give(range(3), [], origins, {})[0] == {"a": (0,), "b": (1,), "c": (2,)}, "twice: two further"


def test_validation_is_handed_on_too() -> None:
    one = deal(a=1.0, b=1.0)
    assert one.give([], range(3), ["a", "b"], {})[1] == {"a": (0, 2), "b": (1,)}
    one.stalled()
    assert one.give([], range(3), ["a", "b"], {})[1] == {"b": (0, 2), "a": (1,)}


def test_a_single_origin_keeps_all_whatever_stalls() -> None:
    one = deal(a=1.0)
    one.stalled()
    assert one.give([0, 1], [2], ["a"], {}) == ({"a": (0, 1)}, {"a": (2,)})


def test_each_plan_without_progress_gets_twice_the_time_of_the_one_before_up_to_32_times() -> None:
    one = deal(a=1.0)
    patience = [one.patience]
    for _ in range(7):
        one.stalled()
        patience.append(one.patience)
    assert patience == [1, 2, 4, 8, 16, 32, 32, 32]
    one.moves()
    assert one.patience == 1, "something came through"
