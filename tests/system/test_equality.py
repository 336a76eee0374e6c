"""A mesh run has the losses and gradient norms of the same training in one process."""

from __future__ import annotations

import pytest

from tests.system.conftest import Cluster

SGD = ["optimizer.name=sgd", "optimizer.lr=0.1", "optimizer.clip=0", "optimizer.schedule=constant", "train.steps=8"]
ADAMW = ["optimizer.name=adamw", "optimizer.lr=0.001", "optimizer.clip=1", "train.steps=8"]
LAYOUTS = {
    "1x1-zero0": ["layout.stages=1", "layout.replicas=1", "layout.zero=0"],
    "2x1-zero2": ["layout.stages=2", "layout.replicas=1", "layout.zero=2"],
    "4x2-zero1": ["layout.stages=4", "layout.replicas=2", "layout.zero=1"],
    "2x1-zero3-2-devices": ["layout.stages=2", "layout.replicas=1", "layout.zero=3", "layout.devices=2"],
}

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


def assert_equal(cluster: Cluster, run_id: str, reference: str) -> None:
    mesh, plain = cluster.report(run_id), cluster.report(f"{reference}-reference")
    assert [step["step"] for step in mesh["steps"]] == [step["step"] for step in plain["steps"]]
    for ours, theirs in zip(mesh["steps"], plain["steps"], strict=True):
        for figure in ("loss", "grad_norm"):
            assert ours[figure] == pytest.approx(theirs[figure], rel=1e-5), (run_id, ours["step"], figure)
        assert ours["tokens"] == theirs["tokens"]
    assert [point["step"] for point in mesh["validation"]] == [point["step"] for point in plain["validation"]]
    for ours, theirs in zip(mesh["validation"], plain["validation"], strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-5)


@pytest.fixture(scope="module")
def sgd_reference(cluster: Cluster) -> str:
    code, output = cluster.run("reference", *SGD, run_id="sgd")
    assert code == 0, output
    return "sgd"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_sgd_unclipped_equals_the_reference(cluster: Cluster, sgd_reference: str, layout: str) -> None:
    code, output = cluster.run("simulate", *SGD, *LAYOUTS[layout], run_id=layout)
    assert code == 0, output
    assert_equal(cluster, layout, sgd_reference)
    for step in cluster.report(layout)["steps"]:
        counted = sorted(index for part in step["counted"].values() for index in part)
        stages = int(layout[0])
        assert counted == sorted(list(range(4)) * stages), "every stage counts every microbatch once"


def test_adamw_with_clipping_and_emulated_links_equals_the_reference(cluster: Cluster) -> None:
    code, output = cluster.run("reference", *ADAMW, run_id="adamw")
    assert code == 0, output
    shaped = ["emulate.up_mbps=80", "emulate.down_mbps=80", "emulate.delay_ms=10", "emulate.jitter_ms=5"]
    code, output = cluster.run("simulate", *ADAMW, *shaped, "layout.stages=2", "layout.replicas=2", run_id="adamw-2x2")
    assert code == 0, output
    assert_equal(cluster, "adamw-2x2", "adamw")
    report = cluster.report("adamw-2x2")
    assert len(report["participants"]) == 4
    assert report["max_model_share"] < 0.6
    assert report["totals"]["outcome"] == "finished"
    assert all(step["averaging_bytes"] > 0 and step["boundary_bytes"] > 0 for step in report["steps"])
