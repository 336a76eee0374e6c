"""`orchestrator stop`: end a run through any of its participants, whether its driver lives or not."""

from __future__ import annotations

import contextlib
import time

from rich.console import Console

from orchestrator.config import ConfigError
from orchestrator.status import Window, find_run

END_S = 40.0
"""After being told, participants say goodbye and end; whoever is left after this is ended."""


def stop_run(run: str, address: str, console: Console) -> int:
    """Tell one participant, which tells all; wait until those of this cluster are gone. Return the exit code.

    Raises ConfigError where nobody of the run is found.
    """
    address, run = find_run(run, address)
    import ray  # only now: Ray reads its token when it is imported

    from actors.spec import NAMESPACE

    ray.init(address=address, namespace=NAMESPACE, log_to_driver=False, logging_level="ERROR")
    try:
        window = Window(run, address, "")
        names = window.names()
        if not names:
            raise ConfigError(f"no participant of run {run} is at {address}: it may have ended.")
        for name in names:
            with contextlib.suppress(ray.exceptions.RayError, ValueError):
                ray.get_actor(name, namespace=NAMESPACE).stop.remote("stopped by a person (orchestrator stop)")
        console.print(f"stopping run {run}: {len(names)} participants here", highlight=False)
        end = time.monotonic() + END_S
        while window.names() and time.monotonic() < end:
            time.sleep(0.5)
        for name in window.names():
            with contextlib.suppress(ray.exceptions.RayError, ValueError):
                ray.kill(ray.get_actor(name, namespace=NAMESPACE), no_restart=True)
        console.print(f"run {run} has stopped", highlight=False)
    finally:
        ray.shutdown()
    return 0
