"""A local Ray cluster of our own, and the process that ends it.

The keeper runs in a session of its own, so that Ctrl+C in the terminal reaches the driver only. It starts Ray (whose
processes end with it), prints the address, and waits for its standard input to close: the driver closes it when it is
done, and the system closes it when the driver is killed. Then participants get some time to end by themselves.

    python -m orchestrator.ray_keeper '{"dashboard": false, "object_store_mb": 256, "temp": "/tmp/ts-x"}'
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any


class LocalCluster:
    """A local Ray cluster, from the driver's side."""

    def __init__(self, dashboard: bool, object_store_mb: int) -> None:
        """Start it. Raises RuntimeError with Ray's own words when it does not come up."""
        self._temp = tempfile.mkdtemp(prefix="ts-")
        self.token = os.environ.get("RAY_AUTH_TOKEN", "")
        options = {"dashboard": dashboard, "object_store_mb": object_store_mb, "temp": self._temp}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "orchestrator.ray_keeper", json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            text=True,
            env=_environment(),
        )
        self.pid = self._process.pid
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        if not line.startswith("RAY "):
            self.close()
            raise RuntimeError(f"the local Ray cluster did not start: {line or 'no answer'}")
        self.address = line.split()[1]

    def close(self) -> None:
        """End it; returns when its processes are gone."""
        with contextlib.suppress(OSError, ValueError):
            assert self._process.stdin is not None
            self._process.stdin.write("end\n")
            self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        shutil.rmtree(self._temp, ignore_errors=True)


def use_token(token: str = "") -> None:
    """Make this process, and those it starts, show `token` (a new one by default) to Ray.

    Must be called before `ray` is imported, which is when Ray reads it.
    """
    os.environ["RAY_AUTH_MODE"] = "token"
    os.environ["RAY_AUTH_TOKEN"] = token or os.environ.get("RAY_AUTH_TOKEN") or secrets.token_hex(32)


def _environment() -> dict[str, str]:
    """Return the environment of the cluster: threads bounded, no colour codes, our packages importable."""
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    path = os.pathsep.join(part for part in (root, os.environ.get("PYTHONPATH", "")) if part)
    quiet = {
        "RAY_DEDUP_LOGS": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        "MALLOC_ARENA_MAX": "2",
    }
    return {**os.environ, "PYTHONPATH": path, **quiet}


def runs_folder() -> Path:
    """Return where running runs are noted for `status`."""
    folder = Path(os.environ.get("XDG_STATE_HOME", "~/.local/state")).expanduser() / "tessera" / "runs"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def main() -> None:
    """Run the keeper until standard input closes."""
    options: dict[str, Any] = json.loads(sys.argv[1])
    import ray

    stop = threading.Event()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        ray.init(
            include_dashboard=options["dashboard"],
            object_store_memory=options["object_store_mb"] << 20,
            _temp_dir=options["temp"],
            _node_ip_address="127.0.0.1",
            num_cpus=os.cpu_count(),
            configure_logging=True,
            logging_level=logging.WARNING,
            log_to_driver=False,
        )
    except Exception as error:
        sys.stdout.write(f"{type(error).__name__}: {str(error).splitlines()[0]}\n")
        sys.stdout.flush()
        return
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    sys.stdout.write(f"RAY {ray.get_runtime_context().gcs_address}\n")
    sys.stdout.flush()
    said = sys.stdin.readline()
    if said.strip() != "end":
        sys.stderr.write(
            "tessera: lost the driver: its process ended without a word; the run goes on "
            "(`python -m orchestrator status` shows it, `python -m orchestrator stop` ends it)\n"
        )
        sys.stderr.flush()
        _wait_for_participants(stop)
        shutil.rmtree(options["temp"], ignore_errors=True)
    ray.shutdown()


def _wait_for_participants(stop: threading.Event) -> None:
    """The run does not need its driver: its Ray stays as long as there are participants."""
    import ray
    from ray.util import list_named_actors

    while not stop.wait(1.0):
        with contextlib.suppress(ray.exceptions.RayError):
            if not [actor for actor in list_named_actors(all_namespaces=True) if actor["namespace"] == "tessera"]:
                return


if __name__ == "__main__":
    main()
