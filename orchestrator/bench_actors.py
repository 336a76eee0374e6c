"""What the actors themselves cost: a link between two MeshActors, and a hop around a computation.

Started by `bench` in a process of its own, on a Ray cluster of its own; prints one line of JSON.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from orchestrator.ray_keeper import LocalCluster, use_token

SIZE = 16 << 20
REPEATS = 12


def _open_pair(config: Any) -> list[Any]:
    import ray

    from actors.bench_actor import LinkActor
    from actors.transport.identity import Owner
    from orchestrator.launcher import participant_specs

    specs = participant_specs(config)
    actors = [LinkActor.remote(dataclasses.replace(spec)) for spec in specs]  # type: ignore[attr-defined]
    opened = ray.get([actor.open.remote() for actor in actors])
    with tempfile.TemporaryDirectory() as folder:
        owner = Owner.create(Path(folder) / "owner")
        pairs = [
            (owner.issue(key, spec.name, config.run_id), owner.ca_pem)
            for spec, (_, key) in zip(specs, opened, strict=True)
        ]
    addresses = ray.get([actor.listen.remote(*pair) for actor, pair in zip(actors, pairs, strict=True)])
    peers = [(peer, spec.name, address) for spec, (peer, _), address in zip(specs, opened, addresses, strict=True)]
    ray.get([actor.join.remote(peers) for actor in actors])
    return actors


def main() -> None:
    """Measure and print."""
    use_token()
    from orchestrator.config import load

    config = load(None, ["layout.stages=2", "layout.replicas=1", "layout.max_model_share=1", "run_id=bench"])
    config = dataclasses.replace(config, model=dataclasses.replace(config.model, vocab_size=256))
    cluster = LocalCluster(dashboard=False, object_store_mb=256)
    try:
        import ray

        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
        actors = _open_pair(config)
        ray.get(actors[0].send.remote(SIZE, 2))
        seconds = [ray.get(actors[0].send.remote(SIZE, 1)) for _ in range(REPEATS)]
        began = time.perf_counter()
        overhead = ray.get(actors[0].hop.remote(1 << 19, 50))
        assert time.perf_counter() > began
        figures = {"link_mb_per_s": SIZE / 1e6 / median(seconds), "actor_overhead_ms_per_hop": overhead * 1000}
        ray.shutdown()
    finally:
        cluster.close()
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
