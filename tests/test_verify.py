"""The check of a run's report finds each way in which a run can be wrong."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from orchestrator.verify import problems, relative_error, steps_lost

REFERENCE = {"steps": [{"step": step, "loss": 2.0 - step / 2, "grad_norm": 1.0 + step} for step in range(3)]}


def report() -> dict[str, Any]:
    """A right one: three steps of two stages, the first with two replicas, three microbatches each."""
    stages = {"ann": 0, "bob": 0, "cid": 1}
    hashes = {"ann": "a", "bob": "a", "cid": "c"}
    counted = {"ann": [0, 2], "bob": [1], "cid": [0, 1, 2]}
    steps = [{**step, "stages": stages, "hashes": hashes, "counted": counted} for step in REFERENCE["steps"]]
    totals = {"outcome": "finished", "failure": ""}
    made: dict[str, Any] = {"steps": steps, "totals": totals, "config": {"layout": {"stages": 2}}}
    return copy.deepcopy(made)


def wrong(change: Any) -> list[str]:
    """What is found after a change."""
    made = report()
    change(made)
    return problems(made, REFERENCE, 3, 3)


def test_a_right_report_has_no_problems() -> None:
    assert problems(report(), REFERENCE, 3, 3) == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda made: made["totals"].update(outcome="failed", failure="no disk"), "it ended as failed: no disk"),
        (lambda made: made["steps"].pop(), "1 of 3 steps are missing or told twice"),
        (lambda made: made["steps"].append(made["steps"][0]), "1 of 3 steps are missing or told twice"),
        (lambda made: made["steps"][1].update(loss=1.5003), "loss differs from the reference by 2.0e-04"),
        (lambda made: made["steps"][2].update(grad_norm=None), "grad_norm differs from the reference by inf"),
        (lambda made: made["steps"][0]["counted"].update(bob=[]), "step 0: stage 0 counted [0, 2]"),
        (lambda made: made["steps"][0]["counted"].update(bob=[1, 2]), "step 0: stage 0 counted [0, 1, 2, 2]"),
        (lambda made: made["steps"][2]["hashes"].update(bob="b"), "step 2: stage 0 has 2 different parameter hashes"),
        (lambda made: made["steps"][1]["stages"].pop("cid"), "step 1: stage 1 counted []"),
    ],
    ids=["outcome", "missing", "twice", "loss", "no norm", "lost", "double", "hash", "stage"],
)
def test_each_fault_is_one_sentence(change: Any, says: str) -> None:
    assert says in wrong(change)


def test_rounding_is_no_problem_and_ten_times_as_much_is() -> None:
    assert wrong(lambda made: made["steps"][0].update(loss=2.0 * (1 + 9e-6))) == []
    assert wrong(lambda made: made["steps"][0].update(loss=2.0 * (1 + 9e-5))) != []


def test_the_error_is_the_largest_one_relative_to_the_reference() -> None:
    ours = {"steps": [{"step": 0, "loss": 2.2}, {"step": 2, "loss": 1.5}]}
    assert relative_error(ours, REFERENCE) == pytest.approx(0.5), "0.1 at step 0; 1.5 where 1.0 is right at step 2"
    assert relative_error({"steps": [{"step": 7, "loss": 1.0}]}, REFERENCE) == float("inf"), "no such step"


def test_steps_lost_counts_missing_and_repeated_ones() -> None:
    told = {"steps": [{"step": 0}, {"step": 0}, {"step": 3}]}
    assert steps_lost(told, 4) == 3, "1 and 2 are missing, 0 is twice there"
