"""`orchestrator status`: attach to a running run through any participant and show its mesh."""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live

from actors.records import MeshStatus
from orchestrator.config import ConfigError
from orchestrator.ray_keeper import runs_folder, use_token
from orchestrator.telemetry.mesh_map import render_status, status_json

ANSWER_S = 10.0
WATCH_S = 1.0


def show_status(run: str, address: str, *, via: str, as_json: bool, watch: bool, console: Console) -> int:
    """Print the status of `run` (or of the newest run), once or until it ends; return the exit code.

    Args:
        run: id of the run; empty for the newest.
        address: of its Ray cluster; empty for the one that the run's note names.
        via: name of the participant to ask; empty for whoever answers.
        as_json: for programs.
        watch: ask again every second.
        console: where people read.
    """
    with attached(run, address, via) as window:
        if watch:
            with contextlib.suppress(KeyboardInterrupt):  # a person has seen enough
                _watch(window, as_json=as_json, console=console)
        elif as_json:
            sys.stdout.write(json.dumps(status_json(window.ask()), indent=1) + "\n")
        else:
            console.print(render_status(window.ask()))
    return 0


@contextlib.contextmanager
def attached(run: str, address: str, via: str = "") -> Iterator[Window]:
    """A window into a run, through its Ray cluster. Raises ConfigError where that cannot be used."""
    address, run = find_run(run, address)
    import ray  # only now: Ray reads its token when it is imported

    from actors.spec import NAMESPACE

    try:
        ray.init(address=address, namespace=NAMESPACE, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ConfigError(
            f"the Ray at {address} cannot be used ({str(error).splitlines()[0]}): if it wants a token, set "
            "RAY_AUTH_MODE=token and RAY_AUTH_TOKEN as where it was started."
        ) from None
    try:
        yield Window(run, address, via)
    finally:
        ray.shutdown()


class Window:
    """Asks participants of one run; whoever answered last is asked first.

    Raises ConfigError where nobody answers.
    """

    def __init__(self, run: str, address: str, via: str) -> None:
        self.run, self.address, self._via = run, address, via
        self._favourite = ""

    def ask(self) -> MeshStatus:
        """The newest status."""
        import ray

        from actors.spec import NAMESPACE

        for name in self.names():
            try:
                answer: Any = ray.get_actor(name, namespace=NAMESPACE).status.remote()
                status: MeshStatus = ray.get(answer, timeout=ANSWER_S)
            except (ray.exceptions.RayError, ValueError):  # ValueError: it ended meanwhile
                continue
            self._favourite = name
            return status
        who = f"participant {self._via!r}" if self._via else "no participant"
        ending = " does not answer" if self._via else " answers"
        raise ConfigError(f"{who} of run {self.run}{ending} at {self.address}: it may have ended.")

    def names(self) -> list[str]:
        """Names of the run's participants at this Ray."""
        from ray.util import list_named_actors

        from actors.spec import NAMESPACE

        names = [entry["name"] for entry in list_named_actors(all_namespaces=True) if entry["namespace"] == NAMESPACE]
        meshes = sorted(name for name in names if name.startswith(f"tessera/{self.run}/") and name.count("/") == 3)
        if self._via:
            known = {name.split("/")[3]: name for name in meshes}
            if self._via not in known:
                there = ", ".join(sorted(known)) or "nobody"
                raise ConfigError(f"there is no participant {self._via!r} in run {self.run}; there is {there}.")
            return [known[self._via]]
        return sorted(meshes, key=lambda name: name != self._favourite)


def _watch(window: Window, *, as_json: bool, console: Console) -> None:
    """Until the run ends or nobody answers."""
    with contextlib.nullcontext() if as_json else Live(console=console, auto_refresh=False) as live:
        while True:
            status = window.ask()
            if live is None:
                sys.stdout.write(json.dumps(status_json(status)) + "\n")
                sys.stdout.flush()
            else:
                live.update(render_status(status), refresh=True)
            if status.phase in ("finished", "failed", "stopped"):
                return
            time.sleep(WATCH_S)


def _living(path: Path) -> dict[str, Any] | None:
    """The note of a run, if its Ray still listens; a note that outlived it is removed."""
    note: dict[str, Any] = json.loads(path.read_text())
    host, _, port = note["address"].rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=3.0).close()
    except (OSError, ValueError):
        path.unlink(missing_ok=True)
        return None
    return note


def find_run(run: str, address: str) -> tuple[str, str]:
    """Return address and run id from what was given and from the notes of running runs."""
    notes = sorted(runs_folder().glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    known = [note for path in notes if (note := _living(path)) is not None]
    chosen = [note for note in known if note["run_id"] == run] if run else known
    if address:
        return address, run or (chosen[0]["run_id"] if chosen else "")
    if not chosen:
        raise ConfigError(f"{'run ' + run if run else 'no run'} is not running here: give --address of its Ray.")
    if chosen[0]["token"]:
        use_token(chosen[0]["token"])
    return chosen[0]["address"], chosen[0]["run_id"]
