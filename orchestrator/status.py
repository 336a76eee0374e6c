"""`orchestrator status`: attach to a running run through any participant and show its mesh."""

from __future__ import annotations

import json
import sys

from rich.console import Console

from orchestrator.config import ConfigError
from orchestrator.ray_keeper import runs_folder, use_token
from orchestrator.telemetry.mesh_map import render_status, status_json

ANSWER_S = 10.0


def show_status(run: str, address: str, *, as_json: bool, console: Console) -> int:
    """Print the status of `run` (or of the newest run); return the exit code."""
    address, run = _find(run, address)
    import ray  # only now: Ray reads its token when it is imported
    from ray.util import list_named_actors

    from actors.spec import NAMESPACE

    ray.init(address=address, namespace=NAMESPACE, log_to_driver=False, logging_level="ERROR")
    try:
        names = [entry["name"] for entry in list_named_actors(all_namespaces=True) if entry["namespace"] == NAMESPACE]
        meshes = sorted(name for name in names if name.startswith(f"tessera/{run}/") and name.count("/") == 3)
        for name in meshes:
            actor = ray.get_actor(name, namespace=NAMESPACE)
            try:
                status = ray.get(actor.status.remote(), timeout=ANSWER_S)
            except ray.exceptions.RayError:
                continue
            if as_json:
                sys.stdout.write(json.dumps(status_json(status), indent=1) + "\n")
            else:
                console.print(render_status(status))
            return 0
    finally:
        ray.shutdown()
    raise ConfigError(f"no participant of run {run} answers at {address}: it may have ended.")


def _find(run: str, address: str) -> tuple[str, str]:
    """Return address and run id from what was given and from the notes of running runs."""
    notes = sorted(runs_folder().glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    known = [json.loads(path.read_text()) for path in notes]
    chosen = [note for note in known if note["run_id"] == run] if run else known
    if address:
        return address, run or (chosen[0]["run_id"] if chosen else "")
    if not chosen:
        raise ConfigError(f"{'run ' + run if run else 'no run'} is not running here: give --address of its Ray.")
    if chosen[0]["token"]:
        use_token(chosen[0]["token"])
    return chosen[0]["address"], chosen[0]["run_id"]
