"""A run of the same name can begin again, whatever the one before left behind."""

from __future__ import annotations

import os
import signal

import pytest

from tests.system.conftest import Cluster
from tests.system.test_ends import LONG, assert_all_gone, start_training

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]


def test_a_run_that_was_killed_whole_can_begin_again_under_its_name(cluster: Cluster) -> None:
    process, meshes, shards = start_training(cluster, "again")
    process.kill()
    process.wait()
    command = ["layout.stages=2", "layout.replicas=1", "train.steps=3"]
    for pid in cluster.processes("ray::MeshActor"):
        os.kill(pid, signal.SIGSTOP)  # so that nobody tidies up: as after a power cut
    import ray

    from actors.spec import NAMESPACE

    ray.init(address=cluster.address, namespace=NAMESPACE, log_to_driver=False, logging_level="ERROR")
    try:
        from ray.util import list_named_actors

        for entry in list_named_actors(all_namespaces=True):
            if entry["name"].startswith("tessera/again/") and entry["name"].count("/") == 3:
                ray.kill(ray.get_actor(entry["name"], namespace=NAMESPACE), no_restart=True)
    finally:
        ray.shutdown()
    assert_all_gone([*meshes, *shards])
    assert LONG
    code, output = cluster.run("simulate", *command, run_id="again")
    assert code == 0, output
