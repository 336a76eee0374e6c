"""Real processes are killed, frozen and cut off, and one joins, in one run; the whole grid is in tests/integration."""

from __future__ import annotations

import pytest

from actors.faults.schedule import parse
from orchestrator.bench_elastic import Bench
from orchestrator.bench_grid import wrong_with
from orchestrator.verify import problems, relative_error
from tests.system.conftest import Cluster
from tests.system.runs import EXACT, details

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

STEPS = 84
FAULTS = [
    "kill stage-1/0 mesh at step 6 forward",
    "kill stage-1/1 shard at step 10 averaging",
    "kill leader at step 14 prepared",
    "freeze stage-0/1 20s at step 18 decided",
    "partition stage-1/2 20s at step 19 forward",
    "kill driver at step 62",
]
"""Those that are silent for 20 s are so at the same time, and back long before the end."""


def test_kills_silences_a_newcomer_and_a_lost_driver_leave_the_losses_as_they_are(cluster: Cluster) -> None:
    """By signals to real processes and cuts of real links; participants write the report once the driver is gone."""
    bench = Bench(cluster.address, cluster.keeper, cluster.output)
    settings = [*EXACT, "layout.stages=2", "emulate.tokens_per_s=700", f"train.steps={STEPS}"]
    reference = bench.run("reference", settings, "faults-plain")
    schedule = [f"faults=[{', '.join(FAULTS)}]", "churn=[join x1 at step 3]"]
    running = bench.start("simulate", [*settings, "layout.replicas=3", *schedule], "faults")
    output, _ = running.communicate(timeout=240)
    report = bench.wait_for_report("faults", 180.0, output)
    assert wrong_with(report, reference, STEPS) == []
    happened = details(report, "fault")
    for fault in FAULTS:
        assert any(detail.startswith(f"{parse(fault)}: ") for detail in happened), fault
    kinds = {event["kind"] for event in report["events"]}
    assert {"restart", "shards", "donates", "view", "dead", "assigned", "serves"} <= kinds, "the report tells of it"
    assert len({name for step in report["steps"] for name in step["hashes"]}) == 7, "the newcomer works, too"
    assert bench.orphans() == 0


def test_adamw_with_clipping_and_emulated_links_equals_the_reference(cluster: Cluster) -> None:
    """And a fault that never happens fails the run."""
    settings = ["optimizer.name=adamw", "optimizer.lr=0.001", "optimizer.clip=1", "train.steps=8"]
    code, output = cluster.run("reference", *settings, run_id="adamw")
    assert code == 0, output
    plain = cluster.report("adamw-reference")
    shaped = ["emulate.up_mbps=80", "emulate.down_mbps=80", "emulate.delay_ms=10", "emulate.jitter_ms=5"]
    never = "faults=[kill stage-0/0 at second 5000]"
    layout = ["layout.stages=2", "layout.replicas=2"]
    code, output = cluster.run("simulate", *settings, *shaped, *layout, never, run_id="adamw")
    assert code == 1
    assert "faults that never happened: `kill stage-0/0 at second 5000`" in " ".join(output.split())
    report = cluster.report("adamw")
    assert report["totals"]["outcome"] == "failed"
    assert [text for text in problems(report, plain, 8, 4) if "never happened" not in text] == []
    assert any(step["clip_factor"] < 1 for step in report["steps"]), "something was clipped"
    assert [point["step"] for point in report["validation"]] == [point["step"] for point in plain["validation"]]
    ours, theirs = ({"steps": one["validation"]} for one in (report, plain))
    assert relative_error(ours, theirs) < 1e-5
    assert all(step["tokens"] == known["tokens"] for step, known in zip(report["steps"], plain["steps"], strict=True))
    assert len(report["participants"]) == 4
    assert report["max_model_share"] < 0.6
    assert all(step["averaging_bytes"] > 0 and step["boundary_bytes"] > 0 for step in report["steps"])
