"""Sites that share nothing but addresses, and strangers at a participant's port."""

from __future__ import annotations

import json
import math
import os
import signal
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from actors.transport.identity import Identity, Owner
from actors.transport.tls import client_context
from orchestrator.ray_keeper import LocalCluster
from tests.system.conftest import ROOT, SMALL, Cluster, committed, wait_for
from tests.system.test_ends import DEADLINE_S, assert_all_gone, start_training

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def test_two_ray_clusters_train_one_model(cluster: Cluster, tmp_path: Path) -> None:
    """Each site has a Ray of its own; the participants know each other from the bundle alone."""
    settings = [*SMALL, "layout.stages=2", "layout.replicas=1", "train.steps=5", "run_id=two-sites"]
    addresses = [f"--address=127.0.0.1:{free_port()}" for _ in range(2)]
    bundle = tmp_path / "bundle"
    invite = [sys.executable, "-m", "orchestrator", "invite", "--out", str(bundle), *addresses, *settings]
    subprocess.run(invite, cwd=ROOT, check=True, capture_output=True)
    members = json.loads((bundle / "roster.json").read_text())["members"]
    assert all(oct((bundle / member["name"] / "identity.key").stat().st_mode & 0o777) == "0o600" for member in members)

    other = LocalCluster(dashboard=False, object_store_mb=128)
    try:
        sites = []
        for address, member in zip((cluster.address, other.address), members, strict=True):
            process = cluster.start(
                "train",
                *settings,
                f"ray.address={address}",
                f"mesh.bundle={bundle}",
                f"mesh.participants=[{member['name']}]",
                f"telemetry.output={tmp_path / member['name']}",
                run_id="two-sites",
            )
            sites.append(process)
        outputs = [process.communicate(timeout=200)[0] for process in sites]
        assert [process.returncode for process in sites] == [0, 0], outputs
    finally:
        other.close()
    reports = [json.loads((tmp_path / m["name"] / "two-sites" / "report.json").read_text()) for m in members]
    losses = [[step["loss"] for step in report["steps"]] for report in reports]
    assert len(losses[0]) == 5
    assert losses[0] == losses[1]


def status_command(cluster: Cluster, run_id: str, *options: str) -> list[str]:
    """`status --json` with more options."""
    command = [sys.executable, "-m", "orchestrator", "status", run_id, "--address", cluster.address, "--json"]
    return [*command, *options]


def status(cluster: Cluster, run_id: str, *options: str) -> dict[str, object]:
    """Return what `status --json` prints."""
    command = status_command(cluster, run_id, *options)
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    found: dict[str, object] = json.loads(done.stdout[done.stdout.index("{") :])
    return found


def knock(address: tuple[str, int], data: bytes) -> None:
    """Send bytes without TLS and wait until the other side has had enough."""
    with socket.create_connection(address, timeout=10) as connection:
        connection.settimeout(DEADLINE_S)
        try:
            connection.sendall(data)
            while connection.recv(4096):
                pass
        except OSError:
            pass


def knock_with_key(address: tuple[str, int], context: ssl.SSLContext, data: bytes) -> None:
    """Send bytes over TLS with some identity."""
    try:
        with socket.create_connection(address, timeout=10) as plain, context.wrap_socket(plain) as connection:
            connection.settimeout(DEADLINE_S)
            connection.sendall(data)
            while connection.recv(4096):
                pass
    except OSError:
        pass


AUDIT = """
import json, sys, ray
ray.init(address=sys.argv[1], namespace="tessera", log_to_driver=False, logging_level="ERROR")
from ray.util import list_named_actors
names = [a["name"] for a in list_named_actors(all_namespaces=True) if f"/{sys.argv[2]}/" in a["name"]]
meshes = [name for name in names if name.count("/") == 3]
print(json.dumps({name: ray.get(ray.get_actor(name).audit.remote(), timeout=30) for name in meshes}))
"""


def assert_own_stage_only(cluster: Cluster, run_id: str) -> None:
    """A hook on torch's parameter registration in every shard's process; mesh processes do not even import torch."""
    command = [sys.executable, "-c", AUDIT, cluster.address, run_id]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    found = json.loads(done.stdout[done.stdout.index("{") :])
    assert len(found) == 2
    held: list[str] = []
    for entry in found.values():
        assert entry["torch"] is False
        for shard in entry["shards"]:
            assert shard["constructed"] == sum(math.prod(shape) for shape in shard["held"].values())
            held += shard["held"]
    assert len(held) == len(set(held)), "no parameter is held by two stages"
    assert {name.split(".")[1] for name in held if name.startswith("layers.")} == {"0", "1", "2", "3"}


def test_strangers_are_refused_and_no_process_holds_another_stage_until_sigterm_ends_all(
    cluster: Cluster, tmp_path: Path
) -> None:
    process, meshes, shards = start_training(cluster, "hostile")
    assert_own_stage_only(cluster, "hostile")
    before = status(cluster, "hostile")
    assert before["phase"] == "training"
    observer = next(p for p in before["participants"] if p["name"] == before["observer"])  # type: ignore[attr-defined, index]
    host, port = observer["address"].rsplit(":", 1)
    address = (host, int(port))
    knock(address, os.urandom(4096))
    knock(address, b"")
    knock(address, b"\x16\x03\x01\xff\xff" + bytes(70000))
    owner = Owner.create(tmp_path / "other-owner")
    stranger = Identity.load_or_create(tmp_path / "stranger")
    stranger.install(owner.issue(stranger.public_key, "stranger", "hostile"), owner.ca_pem)
    context = client_context(stranger)
    context.verify_mode = ssl.CERT_NONE
    knock_with_key(address, context, os.urandom(1000))
    names = sorted(p["name"] for p in before["participants"])  # type: ignore[attr-defined]

    def agreed() -> bool:
        found = [status(cluster, "hostile", "--via", name) for name in names]
        assert [one["observer"] for one in found] == names
        return len({one["view"] for one in found}) == 1

    wait_for(agreed, 90.0, "the same mesh from whichever participant is asked")  # news may spread between two questions
    nobody = subprocess.run(
        status_command(cluster, "hostile", "--via", "zoe"), cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert nobody.returncode == 2
    assert f"there is no participant 'zoe' in run hostile; there is {', '.join(names)}" in nobody.stdout + nobody.stderr
    watch = subprocess.Popen(status_command(cluster, "hostile", "--watch"), cwd=ROOT, stdout=subprocess.PIPE, text=True)
    cluster.started.append(watch)
    assert watch.stdout is not None
    lines = [line for line in (watch.stdout.readline() for _ in range(3)) if line.startswith("{")]
    assert all(json.loads(line)["run_id"] == "hostile" for line in lines)
    assert len(lines) >= 2
    watch.send_signal(signal.SIGINT)
    assert watch.wait(timeout=DEADLINE_S) == 0
    seen = committed(cluster.output, "hostile")
    wait_for(lambda: committed(cluster.output, "hostile") >= seen + 3, DEADLINE_S, "three more steps")
    after = status(cluster, "hostile")
    assert sum(after["refused"].values()) >= 3, after["refused"]  # type: ignore[attr-defined]
    assert any(event["kind"] == "refused" for event in after["events"])  # type: ignore[attr-defined]
    assert process.poll() is None
    process.terminate()
    process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 130
    assert cluster.report("hostile")["totals"]["outcome"] == "stopped"
    assert_all_gone([*meshes, *shards])
