"""A whole stage dies, on real processes: each policy; and SIGTERM and a spot instance's notice, which lose nothing."""

from __future__ import annotations

import contextlib
import http.server
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest

from orchestrator.bench_elastic import Bench
from orchestrator.verify import problems
from tests.system.conftest import SMALL, Cluster, committed, committed_steps, wait_for

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

SETTINGS = [
    *SMALL,
    "layout.stages=2",
    "layout.max_model_share=0.7",
    "train.microbatches=4",
    "optimizer.name=sgd",
    "optimizer.lr=0.03",
    "optimizer.clip=0",
    "optimizer.schedule=constant",
    "emulate.tokens_per_s=1000",
    "train.keep_every=4",
]


def details(report: dict[str, Any], kind: str) -> list[str]:
    """What was said of that kind."""
    return [event["detail"] for event in report["events"] if event["kind"] == kind]


def test_wait_the_run_returns_to_what_was_kept_and_ends_as_undisturbed(cluster: Cluster) -> None:
    """Everybody is killed at once: votes, states and each other's addresses are on their disks."""
    bench = Bench(cluster.address, cluster.keeper, cluster.output)
    settings = [*SETTINGS, "layout.replicas=1", "train.steps=16"]
    reference = bench.run("reference", settings, "returns-plain")
    running = bench.start("simulate", settings, "returns")
    wait_for(lambda: committed(bench.folder, "returns") >= 9, 120, "step 9")
    for process in bench.actors():
        with contextlib.suppress(psutil.Error):  # it may have died with another one
            process.kill()
    running.communicate(timeout=240)
    report = bench.report("returns")
    assert problems(report, reference, 16, 4) == []
    found = [re.search(r"up step (\d+) and returns to commit (\d+)", text) for text in details(report, "returned")]
    step, commit = max((int(match[1]), int(match[2])) for match in found if match is not None)
    assert commit % 4 == 0 and report["totals"]["steps_lost"] == step - commit > 0
    assert {row["step"]: row["era"] for row in report["steps"]} == {n: int(n >= commit) for n in range(16)}
    assert bench.orphans() == 0


def test_stop_the_run_ends_and_says_why(cluster: Cluster) -> None:
    bench = Bench(cluster.address, cluster.keeper, cluster.output)
    settings = [*SETTINGS, "layout.replicas=1", "train.steps=40", "train.lost_stage=stop"]
    report = bench.run("simulate", [*settings, "faults=[kill stage-1 at step 6]"], "stops", seconds=240)
    assert report["totals"]["outcome"] == "failed"
    assert "stage 1 has lost everybody" in report["totals"]["failure"]
    assert "train.lost_stage=stop" in report["totals"]["failure"]
    assert bench.orphans() == 0


REMOVE = """
import sys, ray
from ray.util import list_named_actors
ray.init(address=sys.argv[1], namespace="tessera", log_to_driver=False, logging_level="ERROR")
names = [one["name"] for one in list_named_actors(all_namespaces=True)]
(name,) = [name for name in names if f"/{sys.argv[2]}/" in name and name.endswith(f"/{sys.argv[3]}")]
ray.kill(ray.get_actor(name), no_restart=True)
"""


def test_spare_goes_on_with_the_stage_and_no_step_is_lost(cluster: Cluster) -> None:
    """The only other one of its stage is ended for good as soon as the spare follows."""
    bench, steps = Bench(cluster.address, cluster.keeper, cluster.output), 150
    settings = [*SETTINGS, f"train.steps={steps}", "layout.replicas=1", "train.lost_stage=spare", "layout.spares=1"]
    reference = bench.run("reference", settings, "spare-plain")
    running = bench.start("simulate", [*settings, "emulate.tokens_per_s=600"], "spare")

    def newest() -> dict[str, Any]:
        return committed_steps(bench.folder, "spare")[-1]

    wait_for(lambda: committed(bench.folder, "spare") > 0, 120, "the first step")
    (worked,) = [name for name, stage in newest()["stages"].items() if stage == 1 and newest()["counted"][name]]
    wait_for(lambda: list(newest()["stages"].values()).count(1) == 2, 120, "the spare of stage 1")
    before = newest()
    (spare,) = [name for name, stage in before["stages"].items() if stage == 1 and name != worked]
    assert before["counted"][spare] == []
    subprocess.run([sys.executable, "-c", REMOVE, cluster.address, "spare", worked], check=True, timeout=90)
    wait_for(lambda: len(newest()["counted"].get(spare, [])) == 4, 120, "the first step that the spare counted")
    told = newest()["step"]
    wait_for(lambda: newest()["step"] > told + 2, 60, "three more steps")
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=60)
    report = bench.report("spare")
    done = len(report["steps"])
    assert told < done <= steps and report["totals"]["outcome"] in ("stopped", "finished")
    assert [text for text in problems(report, reference, done, 4) if "it ended as stopped" not in text] == []
    assert report["totals"]["steps_lost"] == 0
    counted = {step["step"]: step["counted"].get(spare, []) for step in report["steps"]}
    assert not any(counted[step] for step in range(before["step"] + 1)) and len(counted[done - 1]) == 4
    assert not [text for kind in ("leaving", "restart") for text in details(report, kind)], "nobody comes back"
    assert bench.orphans() == 0


class Metadata(http.server.BaseHTTPRequestHandler):
    """A cloud's metadata service that gives notice when it is told to."""

    notice = threading.Event()

    def do_GET(self) -> None:
        """As Google Cloud answers."""
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"TRUE" if self.notice.is_set() else b"FALSE")

    def log_message(self, *given: Any) -> None:
        """Nothing."""


@pytest.fixture
def metadata() -> Iterator[str]:
    """Address of a metadata service."""
    Metadata.notice.clear()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Metadata) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def after(bench: Bench, run_id: str, steps: int, what: Callable[[], None]) -> None:
    """Do something when so many steps are committed."""

    def watch() -> None:
        wait_for(lambda: committed(bench.folder, run_id) >= steps, 200, f"step {steps} of {run_id}")
        what()

    threading.Thread(target=watch, daemon=True).start()


def test_sigterm_and_the_notice_of_a_spot_instance_are_wishes_to_leave(cluster: Cluster, metadata: str) -> None:
    """All are on that machine: one of each stage goes, and the last ones stay as long as the run needs them."""
    bench = Bench(cluster.address, cluster.keeper, cluster.output)
    settings = [*SETTINGS, "layout.replicas=2", "train.steps=44"]
    reference = bench.run("reference", settings, "spot-plain")

    def term() -> None:
        pid = next(one.pid for one in bench.actors() if "MeshActor" in one.cmdline()[0])
        os.kill(pid, signal.SIGTERM)

    after(bench, "spot", 6, term)
    after(bench, "spot", 20, Metadata.notice.set)
    cloud = ["mesh.spot=gcp", f"mesh.spot_url={metadata}"]
    report = bench.run("simulate", [*settings, *cloud], "spot", seconds=280)
    assert problems(report, reference, 44, 4) == []
    sizes = [len(step["stages"]) for step in report["steps"]]
    assert sizes[0] == 4 and 3 in sizes
    assert sorted(report["steps"][-1]["stages"].values()) == [0, 1]
    gone = [event for event in report["events"] if event["kind"] == "left" and "has left the run" in event["detail"]]
    first, second = dict.fromkeys(event["participant"] for event in gone)
    wishes = details(report, "leaving")
    assert [name in text for text in wishes[:1] for name in (first, "SIGTERM")] == [True, True]
    assert sum("gcp takes this spot instance back" in text for text in wishes) == 3
    named = re.compile(rf"\b({first}|{second})\b")
    assert not [text for kind in ("suspect", "dead", "lost") for text in details(report, kind) if named.search(text)]
    assert bench.orphans() == 0
