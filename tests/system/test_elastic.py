"""Real processes that come and go while a run trains: what is committed is what `reference` commits."""

from __future__ import annotations

import random

import pytest

from orchestrator.bench_elastic import Bench
from orchestrator.verify import problems
from tests.system.conftest import SMALL, Cluster

pytestmark = [pytest.mark.system, pytest.mark.timeout(420)]

STEPS = 66
SETTINGS = [
    *SMALL,
    "layout.stages=2",
    "layout.replicas=2",
    "layout.max_model_share=0.7",
    "train.microbatches=8",
    "optimizer.name=sgd",
    "optimizer.lr=0.03",
    "optimizer.clip=0",
    "optimizer.schedule=constant",
    "emulate.tokens_per_s=400",
    f"train.steps={STEPS}",
]


def test_four_grow_to_ten_and_shrink_to_five_with_kills_among_joiners_and_donors(cluster: Cluster) -> None:
    bench = Bench(cluster.address, cluster.keeper, cluster.output)
    rng = random.Random(11)
    joins = [
        f"join x{count} at step {step}" for count, step in ((2, rng.randint(2, 4)), (3, 8), (2, rng.randint(10, 14)))
    ]
    leavers = ["newcomer-1", "stage-0/1", "newcomer-4", "stage-1/0"]
    goes = [f"leave {who} at step {rng.randint(44, 54)}" for who in leavers]
    changes = [*joins, f"remove newcomer-3 at step {rng.randint(14, 18)}", *goes, "remove newcomer-2 at step 57"]
    faults = ["kill stage-0/0 at step 12", "kill stage-1/1 at step 32"]
    schedule = [f"churn=[{', '.join(changes)}]", f"faults=[{', '.join(faults)}]"]
    reference = bench.run("reference", SETTINGS, "grows-plain")
    report = bench.run("simulate", [*SETTINGS, *schedule], "grows", seconds=400)
    assert problems(report, reference, STEPS, 8) == []
    sizes = [len(step["stages"]) for step in report["steps"]]
    assert sizes[0] == 4
    assert max(sizes) >= 9
    assert sizes[-1] == 5
    kinds = [event["kind"] for event in report["events"]]
    assert {"assigned", "serves", "donates", "leaving"} <= set(kinds)
    left = {
        event["participant"]
        for event in report["events"]
        if event["kind"] == "left" and "has left the run" in event["detail"]
    }
    assert len(left) == len(leavers)
    suspected = {event["detail"].split()[0] for event in report["events"] if event["kind"] in ("suspect", "dead")}
    assert not suspected & left, "who leaves politely is not suspected"
    assert bench.orphans() == 0
