"""The commit that a leader proposes: what forbids it, who is left out, the clip factor, and what the record says."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.records import Traffic
from actors.steps.ballots import Average, Prepared
from actors.steps.context import Context
from actors.steps.decide import clip_factor, commit_record, disagreement, dissenters, step_decision
from tests.steps.builders import context_of, decision_of, prepared_of, voters

TWO_BY_TWO = voters(a=0, b=0, c=1, d=1)


def order_of(**groups: str) -> Average:
    """order_of(s0="ab", s1="c"): who averages."""
    stages = {int(stage[1:]): tuple(peers) for stage, peers in groups.items()}
    return Average(6, 0, 2, 3, stages, {})


ORDER = order_of(s0="ab", s1="cd")


def context(**changes: Any) -> Context:
    return context_of(decision_of(TWO_BY_TWO), **changes)


def reports(**changes: dict[str, Any]) -> dict[str, Prepared]:
    """All is well: each stage has counted 0 to 3 once, and its replicas agree."""
    right: dict[str, dict[str, Any]] = {
        "a": {"counted": (0, 2)},
        "b": {"counted": (1, 3)},
        "c": {"counted": (0, 1, 2, 3)},
        "d": {"counted": ()},
    }
    return {peer: prepared_of(**{**values, **changes.get(peer, {})}) for peer, values in right.items()}


@pytest.mark.parametrize(
    ("norm", "clip", "factor"),
    [
        (4.0, 1.0, 0.25),  # 1 / 4
        (5.0, 2.5, 0.5),
        (10.0, 1.0, 0.1),
        (1.0, 4.0, 1.0),  # below the limit nothing is made larger
        (0.0, 1.0, 1.0),
        (4.0, 0.0, 1.0),  # 0: no clipping
        (4.0, -1.0, 1.0),
    ],
    ids=["a quarter", "half", "a tenth", "below", "no gradient", "no clipping", "negative"],
)
def test_the_gradient_is_scaled_down_to_the_limit_and_never_up(norm: float, clip: float, factor: float) -> None:
    assert clip_factor(norm, clip) == pytest.approx(factor, rel=1e-5)


def test_a_norm_that_is_the_very_limit_is_as_good_as_not_clipped() -> None:
    """The millionth that keeps a norm of 0 from dividing: 2 / 2.000001."""
    assert clip_factor(2.0, 2.0) == 2.0 / 2.000001
    assert clip_factor(2.0, 2.000002) == 1.0


@settings(deadline=None, max_examples=100)
@given(st.floats(0, 1e6), st.floats(1e-3, 1e3))
def test_a_clipped_norm_is_at_most_the_limit(norm: float, clip: float) -> None:
    factor = clip_factor(norm, clip)
    assert 0 < factor <= 1 and norm * factor <= clip * (1 + 1e-12)


@pytest.mark.parametrize(
    ("hashes", "left_out"),
    [
        ("x", ""),
        ("xx", ""),
        ("xy", ""),
        ("xxy", "c"),
        ("yxx", "a"),
        ("xyz", ""),
        ("xxyy", ""),
        ("xyyy", "a"),
        ("xxyz", ""),
        ("xxxyy", "de"),
        ("xyxyx", "bd"),
        ("xxyyz", ""),
        ("xxxyyy", ""),
        ("xxxxyz", "ef"),
    ],
)
def test_who_holds_other_parameters_than_most_is_left_out_and_half_of_a_stage_is_not_most(
    hashes: str, left_out: str
) -> None:
    peers = "abcdef"[: len(hashes)]
    given = {peer: prepared_of(parameters=hashed) for peer, hashed in zip(peers, hashes, strict=True)}
    assert dissenters(order_of(s0=peers), given) == set(left_out)


def test_each_stage_has_a_majority_of_its_own() -> None:
    """Stage 0 is of two minds; in stage 1 two of three agree, on what stage 0 has nothing to do with."""
    hashes = {"a": "x", "b": "y", "c": "z", "d": "z", "e": "x"}
    given = {peer: prepared_of(parameters=hashed) for peer, hashed in hashes.items()}
    assert dissenters(order_of(s0="ab", s1="cde"), given) == {"e"}


def test_nothing_forbids_a_commit_when_every_stage_has_counted_every_microbatch_once() -> None:
    assert disagreement(context(), ORDER, reports(), closing=False) == ""


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"a": {"counted": (0,)}}, "stage 0 (A and B) counted microbatch 2 0 times"),
        ({"a": {"counted": (0, 2, 3)}}, "stage 0 (A and B) counted microbatch 3 2 times"),
        ({"d": {"counted": (1,)}}, "stage 1 (C and D) counted microbatch 1 2 times"),
        ({"c": {"counted": (0, 1, 2)}}, "stage 1 (C and D) counted microbatch 3 0 times"),
        ({"b": {"counted": (1, 3, 4)}}, "stage 0 (A and B) counted microbatch 4 1 times"),
        ({"b": {"counted": (1, -1)}}, "stage 0 (A and B) counted microbatch -1 1 times, 3 0 times"),
        ({"b": {"average": "other"}}, "the replicas of stage 0 (A and B) have different averages"),
        ({"d": {"average": "other"}}, "the replicas of stage 1 (C and D) have different averages"),
        ({"b": {"parameters": "q"}}, "the replicas of stage 0 (A and B) hold different parameters"),
        ({"c": {"parameters": "q"}}, "the replicas of stage 1 (C and D) hold different parameters"),
    ],
    ids=["lost", "twice", "twice at the last stage", "lost at the last stage", "beyond the step", "negative",
         "averages", "averages at the last stage", "parameters", "parameters at the last stage"],
)  # fmt: skip
def test_what_forbids_a_commit_is_named(changes: dict[str, dict[str, Any]], why: str) -> None:
    assert disagreement(context(), ORDER, reports(**changes), closing=False) == why


def test_stages_need_not_agree_with_each_other() -> None:
    other = {"average": "z", "parameters": "q"}
    assert disagreement(context(), ORDER, reports(c=other, d=other), closing=False) == ""


def test_a_closing_step_has_counted_nothing() -> None:
    nothing = {peer: {"counted": ()} for peer in "abcd"}
    assert disagreement(context(), ORDER, reports(**nothing), closing=True) == ""
    assert "counted microbatch 0 1 times" in disagreement(context(), ORDER, reports(), closing=True)
    assert "0 0 times, 1 0 times, 2 0 times, 3 0 times" in disagreement(
        context(), ORDER, reports(**nothing), closing=False
    )


def record_of(context: Context, closing: bool = False) -> Any:
    """Of a step that took from second 2 to second 12; all was counted at second 9."""
    context.now, context.decided_at = 12.0, 2.0
    given = {
        "a": prepared_of((0, 2), parameters="p", tokens_per_s=5.0, traffic=Traffic({0: 3, 1: 1}, 10, 100)),
        "c": prepared_of((0, 1, 2, 3), parameters="q", tokens_per_s=7.0, traffic=Traffic({0: 4}, 20, 200)),
    }
    losses = [] if closing else [1.0, 2.0, 3.0, 6.0]
    return commit_record(context, given, 5.0, losses, [0.5, 1.5], ["A"], 9.0)


def test_the_record_of_a_step_says_what_was_done() -> None:
    """The mean of 1, 2, 3 and 6 is 3; four microbatches of ten tokens are 40; 1 / 5 of the gradient is left."""
    record = record_of(context(clip=1.0))
    assert (record.step, record.commit, record.loss, record.grad_norm) == (3, 4, 3.0, 5.0)
    assert record.clip_factor == pytest.approx(0.2, rel=1e-5)
    assert (record.lr, record.tokens, record.validation_loss, record.leader) == (0.1, 40, 1.0, "A")
    assert (record.seconds, record.work_seconds) == (10.0, 7.0)
    assert record.counted == {"A": [0, 2], "C": [0, 1, 2, 3]}
    assert (record.hashes, record.throughput) == ({"A": "p", "C": "q"}, {"A": 5.0, "C": 7.0})
    assert (record.boundary_bytes, record.averaging_bytes, record.control_bytes) == ({0: 7, 1: 1}, 30, 300)
    assert (record.sources, record.stages) == (["A"], {"A": 0, "C": 1}), "B and D had no part in it"
    assert (record.slot, record.view, record.era) == (6, 2, 0)


def test_the_learning_rate_is_that_of_the_step() -> None:
    assert record_of(context(learning_rate=lambda step: step / 100)).lr == 0.03


def test_the_record_of_a_closing_step_has_no_training_in_it() -> None:
    record = record_of(context(), closing=True)
    assert (record.step, record.commit) == (3, 3), "the parameters stay"
    assert (record.loss, record.grad_norm, record.lr, record.tokens) == (None, None, 0.0, 0)
    assert record.validation_loss == 1.0


def test_the_record_names_the_era() -> None:
    assert record_of(context_of(decision_of(TWO_BY_TWO, returns=((9, 3), (8, 2))))).era == 2


def test_work_that_was_counted_before_the_step_is_no_negative_time() -> None:
    one = context()
    one.decided_at = 11.0
    assert commit_record(one, {}, 0.0, [1.0], [], [], 9.0).work_seconds == 0.0
    assert commit_record(one, {}, 0.0, [1.0], [], [], 9.0).validation_loss is None


def test_the_decision_names_the_average_of_every_stage_and_who_holds_it() -> None:
    before = decision_of(TWO_BY_TWO, assigned={"a": (1, 0)}, spares=("b",), returns=((9, 3),))
    one = context_of(before, clip=1.0)
    one.stored = (0, 2)
    record = record_of(one)
    given = {**reports(a={"average": "x"}, b={"average": "x"}, c={"average": "y"}, d={"average": "y"})}
    decision = step_decision(one, ORDER, given, record, closing=False)
    assert (decision.slot, decision.view_number, decision.members, decision.step) == (6, 2, TWO_BY_TWO, 4)
    assert (decision.averages, decision.holders) == ({0: "x", 1: "y"}, ("a", "b", "c", "d"))
    assert decision.record is record and math.isclose(decision.clip_factor, 0.2, rel_tol=1e-5)
    assert not decision.finished
    assert (decision.assigned, decision.spares, decision.returns) == ({"a": (1, 0)}, ("b",), ((9, 3),))
    assert (decision.stored, decision.source) == ((0, 2), (-1, -1))


def test_holders_are_in_the_order_of_identities_whatever_their_stages() -> None:
    one = context_of(decision_of(voters(a=1, b=1, c=0, d=0)))
    order = order_of(s0="cd", s1="ab")
    assert step_decision(one, order, reports(), record_of(one), closing=False).holders == ("a", "b", "c", "d")


def test_the_closing_decision_applies_nothing_and_ends_the_run() -> None:
    one = context()
    decision = step_decision(one, ORDER, reports(), record_of(one, closing=True), closing=True)
    assert (decision.step, decision.averages, decision.finished) == (3, {}, True)
