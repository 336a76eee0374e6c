"""`orchestrator stop` ends a run through any of its participants; `orchestrator leave` lets some of them go."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from typing import Any

from rich.console import Console

from orchestrator.config import ConfigError
from orchestrator.status import attached

LEAVE_S = 120.0
"""A leaver goes between two steps, and when its stage has another replica."""
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


def let_leave(run: str, names: Sequence[str], address: str, console: Console) -> int:
    """Ask participants to go, and wait until they have; return the exit code, 1 where somebody could not go yet.

    Raises ConfigError where one of them is not at this cluster.
    """
    with attached(run, address) as window:
        import ray

        from actors.spec import NAMESPACE

        here = {name.split("/")[3]: name for name in window.names()}
        for name in names:
            if name not in here:
                raise ConfigError(f"there is no participant {name!r} in run {run}; there is {', '.join(sorted(here))}.")
        actors = {name: ray.get_actor(here[name], namespace=NAMESPACE) for name in names}
        for actor in actors.values():
            actor.leave.remote("asked to by a person (orchestrator leave)")
        console.print(f"{', '.join(names)} finish what is under way and go", highlight=False)
        waiting, end = dict(actors), time.monotonic() + LEAVE_S
        while waiting and time.monotonic() < end:
            time.sleep(0.5)
            for name, actor in list(waiting.items()):
                if _has_left(actor):
                    console.print(f"{name} has left", highlight=False)
                    del waiting[name]
        for name in waiting:
            console.print(f"{name} is still needed: it goes as soon as its stage has another replica", highlight=False)
    return 1 if waiting else 0


def _has_left(actor: Any) -> bool:
    import ray

    try:
        return str(ray.get(actor.status.remote(), timeout=10.0).phase) == "left"
    except ray.exceptions.RayActorError:
        return True
    except ray.exceptions.GetTimeoutError:
        return False
