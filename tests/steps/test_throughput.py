"""The measured speed of a participant's shards, by which work is dealt."""

from __future__ import annotations

import pytest

from actors.steps.context import Context
from actors.steps.hop import Hop
from actors.steps.messages import Backward
from tests.steps.parts import STEP, context, finish, forward, jobs

ROUTE = ("s0a", "s1a")
"""A microbatch has 100 tokens."""


def hop(me: str = "s1a") -> tuple[Context, Hop]:
    one = context(me)
    return one, Hop(one)


def count(one: Context, made: Hop, index: int, seconds: float) -> None:
    """Compute a microbatch at the last stage."""
    made.forward("s0a", forward(index, 1, ROUTE), ("in",))
    finish(made, jobs(one)[-1], seconds=seconds)


def test_speed_is_tokens_over_the_time_that_the_shards_were_busy() -> None:
    one, made = hop()
    assert made.tokens_per_s == 0.0
    count(one, made, 0, 2.0)
    assert made.tokens_per_s == 50.0
    count(one, made, 1, 6.0)
    assert made.tokens_per_s == 25.0, "200 tokens in 8 s"


def test_forward_and_backward_are_both_work_and_one_microbatch() -> None:
    one, made = hop("s0a")
    made.forward("s0a", forward(0, 0, ROUTE), ("in",))
    finish(made, jobs(one)[-1], seconds=1.0)
    assert made.tokens_per_s == 0.0
    made.backward("s1a", Backward(STEP, 0, 0, 0.5, ("s1a",)), ("gradient",))
    finish(made, jobs(one)[-1], seconds=3.0)
    assert made.tokens_per_s == 25.0


def test_what_is_computed_again_takes_time_and_counts_no_tokens() -> None:
    one, made = hop()
    count(one, made, 0, 2.0)
    count(one, made, 0, 2.0)
    count(one, made, 1, 1.0)
    assert made.tokens_per_s == 40.0, "200 tokens in 5 s"


def test_older_measurements_count_half_with_each_step() -> None:
    """100 tokens in 1 s become 50 in 0.5 s; with 100 in 2.5 s these are 150 in 3 s."""
    one, made = hop()
    count(one, made, 0, 1.0)
    assert made.measure() == 100.0
    made.begin_step()
    count(one, made, 0, 2.5)
    assert made.tokens_per_s == 50.0


def test_who_got_nothing_to_do_is_believed_to_be_a_quarter_faster_each_time() -> None:
    one, made = hop()
    count(one, made, 0, 1.0)
    assert made.measure() == 100.0, "it had work"
    made.begin_step()
    assert [made.measure(), made.measure()] == [125.0, 156.25]


def test_who_has_measured_nothing_says_nothing() -> None:
    _, made = hop()
    assert made.measure() == 0.0


def test_work_that_took_no_time_is_no_speed() -> None:
    one, made = hop()
    count(one, made, 0, 0.0)
    assert made.counted == {0: 0.0} and made.tokens_per_s == 0.0
    count(one, made, 1, 0.5)
    assert made.tokens_per_s == pytest.approx(400.0)
