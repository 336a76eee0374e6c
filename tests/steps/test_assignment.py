"""The log of assignments: the share of the model that one key may ever hold, and which stage a newcomer is given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from actors.steps.assignment import (
    allowed,
    first_log,
    may_have,
    pending,
    serving,
    stage_for,
    strengths,
    wrong_log,
)
from tests.steps.builders import context_of, decision_of, step_setup, voters

MEMBERS = voters(a=0, b=1, c=2)


@pytest.mark.parametrize(
    ("stages", "shares", "most", "held", "may"),
    [
        (4, (), 0.5, (0,), True),
        (4, (), 0.5, (0, 1), True),
        (4, (), 0.5, (0, 1, 2), False),
        (4, (), 0.5, (0, 1, 0, 1), True),
        (4, (), 0.49, (0, 1), False),
        (3, (), 0.34, (2,), True),
        (3, (), 0.3, (2,), False),
        (2, (0.7, 0.3), 0.5, (0,), False),
        (2, (0.7, 0.3), 0.5, (1,), True),
        (2, (0.7, 0.3), 1.0, (0, 1), True),
        (10, (), 0.3, (0, 1, 2), True),
        (1, (), 0.1, (0,), True),
        (4, (), 1.0, (4,), False),
        (4, (), 1.0, (-1,), False),
        (1, (), 1.0, (1,), False),
        (4, (), 0.0, (), True),
    ],
    ids=["a quarter", "half", "three quarters", "the same again", "just too much", "a third", "more than 0.3",
         "a large stage", "a small stage", "the whole", "0.1 + 0.1 + 0.1", "one stage in all", "no such stage",
         "below the first", "beyond the only one", "nothing"],
)  # fmt: skip
def test_all_stages_that_a_key_was_ever_given_make_up_its_share_each_counted_once(
    stages: int, shares: tuple[float, ...], most: float, held: Sequence[int], may: bool
) -> None:
    assert allowed(step_setup(stages=stages, shares=shares, max_share=most), held) is may


@pytest.mark.parametrize(
    ("log", "stage", "may"),
    [((0,), 0, True), ((0,), 1, False), ((0, 1), 1, True), ((0, 1), 0, False), ((), 0, False), ((0, 1, 2), 2, False)],
    ids=["given", "not given", "the newest", "held once", "unknown", "beyond the share"],
)
def test_a_stage_is_for_those_who_were_given_it_last_within_their_share(
    log: tuple[int, ...], stage: int, may: bool
) -> None:
    """Three stages of a third each, and nobody may hold more than two of them."""
    assigned = {"x": log} if log else {}
    context = context_of(decision_of(MEMBERS, assigned=assigned), stages=3, max_share=0.67)
    assert may_have(context, "x", stage) is may


@pytest.mark.parametrize(
    ("before", "after", "wrong"),
    [
        ({"a": (0,)}, {"a": (0,)}, ""),
        ({"a": (0,)}, {"a": (0, 1)}, ""),
        ({"a": (0,)}, {"a": (0,), "x": (2,)}, ""),
        ({"a": (0,)}, {}, "would be forgotten"),
        ({"a": (0, 1)}, {"a": (0,)}, "would be forgotten"),
        ({"a": (0, 1)}, {"a": (1,)}, "would be forgotten"),
        ({"a": (0, 1)}, {"a": (1, 0)}, "would be forgotten"),
        ({"a": (0,)}, {"a": (1,)}, "would be forgotten"),
        ({"a": (0,), "b": (1,)}, {"a": (0,)}, "peer b would be forgotten"),
        ({"a": (0, 1)}, {"a": (0, 1, 2)}, "peer a would have held stages [0, 1, 2]"),
        ({}, {"x": (0, 1, 2)}, "peer x would have held stages [0, 1, 2]"),
        ({}, {"x": (3,)}, "peer x would have held stages [3]"),
        ({"a": (0, 1, 2)}, {"a": (0, 1, 2)}, ""),
        ({"a": (0, 1)}, {"a": (0, 1, 0)}, ""),
    ],
    ids=["the same", "a move", "a newcomer", "gone", "shorter", "without its first", "other order", "replaced",
         "one of two", "beyond the share", "beyond at once", "no such stage", "decided long ago", "back again"],
)  # fmt: skip
def test_the_log_only_grows_and_never_beyond_the_share(
    before: dict[str, tuple[int, ...]], after: dict[str, tuple[int, ...]], wrong: str
) -> None:
    text = wrong_log(step_setup(stages=3, max_share=0.67), before, after)
    assert wrong in text and bool(text) is bool(wrong)


def test_the_first_log_gives_each_member_its_stage() -> None:
    assert first_log(MEMBERS) == {"a": (0,), "b": (1,), "c": (2,)}


@pytest.mark.parametrize(
    ("wish", "memory", "log", "strength", "stage"),
    [
        (-1, 0, (), {0: 3.0, 1: 1.0, 2: 2.0}, 1),
        (-1, 0, (), {0: 2.0, 1: 2.0, 2: 2.0}, 0),
        (-1, 0, (), {0: 1.0, 1: 1.0}, 2),
        (0, 0, (), {0: 3.0, 1: 1.0, 2: 2.0}, 0),
        (7, 0, (), {0: 3.0, 1: 1.0, 2: 2.0}, 1),
        (-1, 150, (), {0: 3.0, 1: 1.0, 2: 2.0}, 0),
        (-1, 200, (), {0: 3.0, 1: 1.0, 2: 2.0}, 1),
        (2, 250, (), {0: 3.0, 1: 1.0, 2: 2.0}, 1),
        (-1, 99, (), {0: 3.0, 1: 1.0, 2: 2.0}, None),
        (-1, 0, (0, 2), {0: 3.0, 1: 1.0, 2: 2.0}, 2),
        (1, 0, (0, 2), {0: 3.0, 1: 1.0, 2: 2.0}, 2),
        (-1, 100, (1, 2), {0: 3.0, 1: 1.0, 2: 2.0}, None),
    ],
    ids=["the weakest", "equals: the first", "nobody serves it", "a wish", "no such wish", "fits", "just fits",
         "a wish that does not fit", "nothing fits", "has held two", "a wish beyond the share", "neither"],
)  # fmt: skip
def test_a_newcomer_gets_the_stage_that_limits_the_run_as_far_as_memory_and_share_allow(
    wish: int, memory: int, log: tuple[int, ...], strength: dict[int, float], stage: int | None
) -> None:
    """The stages take 100, 200 and 300 bytes; two of three may be held."""
    decision = decision_of(MEMBERS, assigned={"x": log} if log else {})
    context = context_of(decision, stages=3, max_share=0.67, stage_bytes=(100, 200, 300))
    assert stage_for(context, "x", wish, memory, strength) == stage


def arrivals(**changes: Any) -> Any:
    """c is a spare; x is on its way to stage 1, y to stage 0 but cannot be reached, s is on its way as a spare."""
    log = {"a": (0,), "b": (1,), "c": (0,), "x": (0, 1), "y": (0,), "s": (1,)}
    members = voters(a=0, b=1, c=0)
    decision = decision_of(members, assigned=log, spares=("c", "s"))
    context = context_of(decision, usable="abcxs", **changes)
    context.router.learn({"a": 4.0, "b": 3.0, "c": 50.0, "x": 2.0, "y": 9.0, "s": 60.0})
    return context


def test_on_their_way_are_those_who_were_given_a_stage_can_be_reached_and_have_no_vote() -> None:
    assert pending(arrivals()) == ["x", "s"]


def test_those_who_serve_are_voters_and_those_on_their_way_without_spares() -> None:
    assert serving(arrivals()) == {"a": 0, "b": 1, "x": 1}


def test_the_strength_of_a_stage_is_the_speed_of_those_who_serve_it_and_will_stay() -> None:
    assert strengths(arrivals()) == {0: 4.0, 1: 5.0}
    assert strengths(arrivals(), leaving=["b"]) == {0: 4.0, 1: 2.0}
    assert strengths(arrivals(stages=3), leaving=["a"]) == {0: 0.0, 1: 5.0, 2: 0.0}
