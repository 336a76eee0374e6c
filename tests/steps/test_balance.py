"""Moves from rich stages to poor ones: by a fifth at least, one at a time, and only when all has been quiet."""

from __future__ import annotations

from typing import Any

import pytest

from actors.steps.balance import Move, best_move, due_move
from actors.steps.context import Context
from tests.steps.builders import context_of, decision_of, voters

ANYWHERE = {peer: (0, 1, 2) for peer in "abcdefgh"}


def even(*speeds: str) -> dict[int, dict[str, float]]:
    """even("abc", "d"): replicas of one token/s each."""
    return {stage: dict.fromkeys(peers, 1.0) for stage, peers in enumerate(speeds)}


@pytest.mark.parametrize(
    ("speeds", "move"),
    [
        (even("abc", "d"), Move("a", 0, 1, 1.0, 2.0)),
        (even("d", "abc"), Move("a", 1, 0, 1.0, 2.0)),
        (even("ab", "c"), None),  # 1 and 2: nothing won
        (even("ab", "cd"), None),
        (even("abc", "de", "f"), Move("a", 0, 2, 1.0, 2.0)),
        (even("ab", "cd", "e"), None),  # whichever goes leaves one behind: 1 as before
        ({0: {"a": 1.0, "b": 1.0, "c": 2.0}, 1: {"d": 1.0}}, Move("a", 0, 1, 1.0, 2.0)),  # with c: 2 and 3, as good
        ({0: {"a": 1.0, "b": 2.0, "c": 4.0}, 1: {"d": 1.0}}, Move("b", 0, 1, 1.0, 3.0)),  # a: 2, b: 3, c: 3
        ({0: {"a": 9.0}, 1: {"b": 1.0}}, None),  # the last of its stage stays
        ({0: {"a": 5.0, "b": 5.0}, 1: {"c": 10.0, "d": 9.0}}, None),  # moving c to 0 leaves 9
        ({0: {"a": 1.0, "b": 1.0, "c": 1.0}, 1: {"d": 2.5}}, None),  # 2 left behind
        ({0: {"a": 0.5, "b": 2.0, "c": 2.0}, 1: {"d": 2.5}}, Move("a", 0, 1, 2.5, 3.0)),  # 3 / 2.5 is a fifth
        ({0: {"a": 0.4, "b": 2.0, "c": 2.0}, 1: {"d": 2.5}}, None),  # 2.9 / 2.5 is less; b and c leave 2.4
    ],
    ids=["three to one", "the other way", "two to one", "even", "the middle stays", "nothing to give", "equals: first",
         "greatest gain", "the last stays", "would be worse", "leaves too little", "a fifth", "less than a fifth"],
)  # fmt: skip
def test_the_best_move_raises_the_slowest_stage_most_and_by_a_fifth(
    speeds: dict[int, dict[str, float]], move: Move | None
) -> None:
    assert best_move(speeds, ANYWHERE) == move


def test_of_two_poor_stages_the_first_is_helped() -> None:
    """Helping one of two leaves the slowest as slow as before."""
    assert best_move(even("a", "b", "cdef"), ANYWHERE) is None
    assert best_move({0: {"a": 1.0}, 1: {"b": 1.1}, 2: dict.fromkeys("cd", 3.0)}, ANYWHERE) is None
    assert best_move({0: {"a": 1.0}, 1: {"b": 1.2}, 2: dict.fromkeys("cd", 3.0)}, ANYWHERE) == Move("c", 2, 0, 1.0, 1.2)


def test_the_order_in_which_stages_and_replicas_are_named_does_not_matter() -> None:
    mixed = {1: {"d": 1.0}, 2: dict.fromkeys("hgf", 1.0), 0: dict.fromkeys("cba", 1.0)}
    assert best_move(mixed, ANYWHERE) == Move("a", 0, 1, 1.0, 2.0)


def test_only_those_move_who_may_be_given_the_poor_stage() -> None:
    assert best_move(even("abc", "d"), {"c": (0, 1), "a": (0,)}) == Move("c", 0, 1, 1.0, 2.0)
    assert best_move(even("abc", "d"), {}) is None


MEMBERS = voters(a=0, b=0, c=0, d=1)


def table(speeds: dict[str, float] | None = None, quiet: int = 5, seconds: float = 20.0, **changes: Any) -> Context:
    """Three replicas against one, all of one token/s; nothing has changed for five steps and 20 seconds."""
    values: dict[str, Any] = {"moves": True, "floor_s": 20.0}
    decision = decision_of(MEMBERS, step=30, **changes.pop("decided", {}))
    context = context_of(decision, now=100.0, **{**values, **changes})
    context.router.learn(dict.fromkeys("abcd", 1.0) if speeds is None else speeds)
    context.changed_step, context.changed_at = 30 - quiet, 100.0 - seconds
    return context


SMALL = {"a": 0.5, "b": 1.0, "c": 1.0, "d": 1.0}
"""Moving a gives 2.0 and 1.5: a gain of 1.5."""


def test_a_move_is_due_when_nothing_has_changed_for_long_enough() -> None:
    assert due_move(table(SMALL), "abcd") == Move("a", 0, 1, 1.0, 1.5)


@pytest.mark.parametrize(
    ("quiet", "seconds", "speeds", "due"),
    [
        (5, 20.0, SMALL, True),
        (4, 20.0, SMALL, False),
        (5, 19.9, SMALL, False),
        (0, 20.0, None, True),  # a gain of 2
        (0, 19.9, None, False),
        (0, 20.0, {"a": 1.0, "b": 1.0, "c": 1.0}, False),  # d was not measured: 1 is its mean
        (0, 20.0, {"a": 0.8, "b": 1.0, "c": 1.0, "d": 1.0}, True),  # 1.8 and 2.0
        (0, 20.0, {"a": 0.79, "b": 1.0, "c": 1.0, "d": 1.0}, False),  # 1.79, whoever moves
        (5, 20.0, {"a": 1.0, "b": 1.0, "c": 1.0}, True),
    ],
    ids=["quiet", "four steps", "too soon", "great", "great but too soon", "not measured", "1.8", "1.79", "later"],
)
def test_a_small_gain_waits_for_five_steps_and_a_great_one_that_is_measured_does_not(
    quiet: int, seconds: float, speeds: dict[str, float] | None, due: bool
) -> None:
    assert (due_move(table(speeds, quiet, seconds), "abcd") is not None) is due


@pytest.mark.parametrize(
    ("changes", "workers"),
    [
        ({"moves": False}, "abcd"),
        ({}, "abd"),
        ({"decided": {"assigned": {"a": (0,), "b": (0,), "c": (0,), "d": (1,), "x": (0,)}}}, "abcd"),
        ({"max_share": 0.5}, "abcd"),
    ],
    ids=["not wanted", "somebody does not work", "somebody is on its way", "beyond the share"],
)
def test_no_move_is_due_while_something_is_under_way_or_forbids_it(changes: dict[str, Any], workers: str) -> None:
    context = table(**changes)
    context.usable.add("x")
    assert due_move(context, workers) is None


def test_who_was_given_a_stage_and_cannot_be_reached_holds_no_move_up() -> None:
    log = {"a": (0,), "b": (0,), "c": (0,), "d": (1,), "x": (0,)}
    assert due_move(table(decided={"assigned": log}), "abcd") is not None


def test_who_held_the_other_stage_before_may_go_back_within_its_share() -> None:
    log = {"a": (0,), "b": (0,), "c": (1, 0), "d": (1,)}
    one = table(decided={"assigned": log}, max_share=0.5)
    assert due_move(one, "abcd") is None, "no key may have held both"
    thirds = table(decided={"assigned": {"a": (2, 0), "b": (2, 0), "c": (1, 0), "d": (1,)}}, stages=2, max_share=1.0)
    assert due_move(thirds, "abcd") == Move("c", 0, 1, 1.0, 2.0), "stage 2 does not exist, so a and b may not"


def test_spares_neither_move_nor_make_a_stage_rich() -> None:
    one = table(decided={"spares": ("a",)})
    assert due_move(one, "abcd") is None, "two against one: a move wins nothing"


def test_nobody_moves_to_a_stage_that_has_lost_everybody() -> None:
    """There is no donor of its state: what happens then is for the stage policy to say."""
    context = context_of(decision_of(voters(a=0, b=0, c=0), step=30), now=100.0, moves=True)
    assert due_move(context, "abc") is None


def test_spares_that_do_not_work_hold_no_move_up() -> None:
    decision = decision_of(voters(a=0, b=0, c=0, d=1, e=1), step=30, spares=("e",))
    context = context_of(decision, now=100.0, moves=True)
    assert due_move(context, "abcd") == Move("a", 0, 1, 1.0, 2.0)
