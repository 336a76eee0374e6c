"""`orchestrator stop`: end a run through any of its participants, whether its driver lives or not."""

from __future__ import annotations

import contextlib
import time

from rich.console import Console

from orchestrator.config import ConfigError
from orchestrator.status import attached

END_S = 40.0
"""After being told, participants say goodbye and end; whoever is left after this is ended."""


def stop_run(run: str, address: str, console: Console) -> int:
    """Tell one participant, which tells all; wait until those of this cluster are gone. Return the exit code.

    Raises ConfigError where nobody of the run is found.
    """
    with attached(run, address) as window:
        import ray

        from actors.spec import NAMESPACE

        names = window.names()
        if not names:
            raise ConfigError(f"no participant of run {window.run} is at {window.address}: it may have ended.")
        for name in names:
            with contextlib.suppress(ray.exceptions.RayError, ValueError):
                ray.get_actor(name, namespace=NAMESPACE).stop.remote("stopped by a person (orchestrator stop)")
        console.print(f"stopping run {window.run}: {len(names)} participants here", highlight=False)
        end = time.monotonic() + END_S
        while window.names() and time.monotonic() < end:
            time.sleep(0.5)
        for name in window.names():
            with contextlib.suppress(ray.exceptions.RayError, ValueError):
                ray.kill(ray.get_actor(name, namespace=NAMESPACE), no_restart=True)
        console.print(f"run {window.run} has stopped", highlight=False)
    return 0
