"""All real processes die at once; SIGTERM and a spot instance's notice, which lose nothing.

What each policy does about a lost stage is in tests/integration.
"""

from __future__ import annotations

import contextlib
import http.server
import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from orchestrator.bench_elastic import Bench
from orchestrator.verify import problems
from tests.system.conftest import Cluster, committed, wait_for
from tests.system.runs import EXACT, details, good

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

SETTINGS = [*EXACT, "layout.stages=2", "layout.max_model_share=0.7", "emulate.tokens_per_s=1000", "train.keep_every=4"]


def test_all_processes_are_killed_and_the_run_goes_on_from_what_was_kept(cluster: Cluster, tmp_path: Path) -> None:
    """Votes, states and each other's addresses are on their disks; a checkpoint that was half written is not taken."""
    bench = Bench(cluster.address, cluster.keeper, cluster.output)
    settings = [*SETTINGS, "layout.replicas=1", "train.steps=16"]
    reference = bench.run("reference", settings, "returns-plain")
    saving = [f"checkpoint.url={tmp_path}", "checkpoint.every=3", "checkpoint.last=9"]
    running = bench.start("simulate", [*settings, *saving], "returns")
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
    whole = good(tmp_path)
    assert whole[0] == "h0001-c0000000016" and "h0000-c0000000003" in whole, "a new era writes a history of its own"
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
