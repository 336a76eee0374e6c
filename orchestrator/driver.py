"""The process that a person starts: launches participants, watches them, and shows what they say.

It observes; the participants train by themselves. It ends what it started, however it ends itself.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import ray
from rich.console import Console

from actors.records import Event
from actors.spec import NAMESPACE
from orchestrator.config import ConfigError, RunConfig, as_dict
from orchestrator.launcher import Launched, launch, read_bundle, with_data
from orchestrator.names import run_name
from orchestrator.ray_keeper import LocalCluster, runs_folder
from orchestrator.telemetry.telemetry import Telemetry
from sharding.partition import partition, share

ASK_S = 0.25
"""How often participants are asked what is new."""
SILENT_S = 20.0
"""A participant that has not answered the driver for this long is lost, if the mesh has not said so before."""


class StoppedError(KeyboardInterrupt):
    """The run was stopped by SIGTERM. Like Ctrl+C it passes through whatever catches `Exception`."""


class RunFailedError(Exception):
    """The run ended with a fault; the message names what was lost."""


def resolve(config: RunConfig) -> RunConfig:
    """Give the run its name, its data and its vocabulary. Raises ValueError (ConfigError, DataError)."""
    if config.mesh.bundle:
        run_id, _ = read_bundle(config)
        config = dataclasses.replace(config, run_id=run_id)
    config = dataclasses.replace(config, run_id=config.run_id or run_name())
    return with_data(config)


def run(config: RunConfig, command: str, *, local: bool, console: Console) -> int:
    """Train; return the exit code. `local`: start an own Ray cluster when none is named."""
    config = resolve(config)
    folder = Path(config.telemetry.output).expanduser().resolve() / config.run_id
    telemetry = Telemetry.open(
        config.telemetry, config.run_id, folder, as_dict(config), command, config.train.steps, console
    )
    outcome, failure = "failed", ""
    started: list[Launched] = []
    cluster: LocalCluster | None = None
    note: Path | None = None
    try:
        with _interruptible():
            telemetry.phase("starting Ray")
            cluster = _connect(config, local)
            _install_stop()
            note = _note_run(config, cluster)
            launch(config, telemetry.phase, started)
            telemetry.phase("waiting until every stage is built")
            _Watch(config, started, telemetry).until_the_end()
            outcome = "finished"
    except KeyboardInterrupt:
        outcome, failure = "stopped", "stopped from outside"
    except (RunFailedError, ConfigError) as error:
        failure = str(error)
    except ray.exceptions.RayError as error:
        failure = f"Ray failed: {type(error).__name__}: {str(error).strip().splitlines()[0]}"
    finally:
        with _deaf():
            _end(started, quick=outcome == "stopped")
            if note is not None:
                note.unlink(missing_ok=True)
            ray.shutdown()
            if cluster is not None:
                cluster.close()
            telemetry.finish(outcome, failure)
    if outcome == "failed":
        console.print(f"[bold red]The run failed:[/] {failure}", highlight=False)
    console.print(f"Report: {folder / 'report.html'}", highlight=False, soft_wrap=True)
    return {"finished": 0, "failed": 1, "stopped": 130}[outcome]


class _Watch:
    """Asks the participants until the run is over."""

    def __init__(self, config: RunConfig, started: list[Launched], telemetry: Telemetry) -> None:
        self._config, self._started, self._telemetry = config, started, telemetry
        self._asked: dict[int, Any] = {}
        self._answered = dict.fromkeys(range(len(started)), time.monotonic())
        self._phases = dict.fromkeys(range(len(started)), "starting")
        self._seen_events = dict.fromkeys(range(len(started)), 0)
        self._commits = 0
        self._status_at = 0.0

    def until_the_end(self) -> None:
        """Return when every own participant has the closing decision. Raises RunFailedError."""
        while any(phase != "finished" for phase in self._phases.values()):
            self._ask()
            self._show_status()
            time.sleep(ASK_S)

    def _ask(self) -> None:
        for number, entry in enumerate(self._started):
            if number not in self._asked:
                since = self._commits if number == self._observer() else -1
                self._asked[number] = entry.actor.poll.remote(since, self._seen_events[number])
        ready, _ = ray.wait(list(self._asked.values()), num_returns=len(self._asked), timeout=1.0)
        for number, call in list(self._asked.items()):
            if call in ready:
                del self._asked[number]
                self._take(number, call)
            elif time.monotonic() - self._answered[number] > SILENT_S:
                raise RunFailedError(f"lost participant {self._started[number].label}: no answer for {SILENT_S:.0f} s")

    def _observer(self) -> int:
        """The participant whose commits are shown: the first one that this driver started."""
        return 0

    def _take(self, number: int, call: Any) -> None:
        try:
            answer = ray.get(call)
        except ray.exceptions.RayActorError:
            self._last_words(number)
            raise RunFailedError(f"lost participant {self._started[number].label}: its mesh process died") from None
        self._answered[number] = time.monotonic()
        self._phases[number] = answer["phase"]
        for record in answer["records"]:
            self._telemetry.commit(record)
            self._commits += 1
        for count, event in answer["events"]:
            self._seen_events[number] = count
            self._telemetry.event(event)
        if answer["failure"]:
            raise RunFailedError(answer["failure"])

    def _last_words(self, number: int) -> None:
        label = self._started[number].spec.name
        self._telemetry.event(Event(time.time(), "lost", label, "its mesh process died"))

    def _show_status(self) -> None:
        if time.monotonic() - self._status_at < 1.0:
            return
        self._status_at = time.monotonic()
        with contextlib.suppress(ray.exceptions.RayError):
            call = self._started[self._observer()].actor.status.remote()
            ready, _ = ray.wait([call], timeout=1.0)
            if ready:
                self._telemetry.status(ray.get(call))


def _connect(config: RunConfig, local: bool) -> LocalCluster | None:
    address = config.ray.address or os.environ.get("RAY_ADDRESS", "")
    cluster = None
    if not address and local:
        cluster = LocalCluster(config.ray.dashboard, config.ray.object_store_mb)
        address = cluster.address
    try:
        root = str(Path(__file__).resolve().parents[1])
        path = os.pathsep.join(part for part in (root, os.environ.get("PYTHONPATH", "")) if part)
        environment = {"env_vars": {"PYTHONPATH": path}} if "RAY_JOB_ID" not in os.environ else None
        ray.init(
            address=address or "auto",
            namespace=NAMESPACE,
            log_to_driver=False,
            logging_level="ERROR",
            runtime_env=environment,
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        if cluster is not None:
            cluster.close()
        raise RunFailedError(
            f"there is no Ray at {address or 'auto'} ({str(error).splitlines()[0]}): start one with `ray start --head`"
        ) from None
    return cluster


def _note_run(config: RunConfig, cluster: LocalCluster | None) -> Path:
    """Leave a note from which `status` finds the run's Ray."""
    note = runs_folder() / f"{config.run_id}.json"
    address = cluster.address if cluster else ray.get_runtime_context().gcs_address
    token = cluster.token if cluster else ""
    about = {"run_id": config.run_id, "address": address, "token": token, "driver": os.getpid()}
    handle = os.open(note, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as stream:
        json.dump(about, stream)
    return note


def _end(started: list[Launched], *, quick: bool) -> None:
    """End the participants: politely where there is time, and then for certain."""
    if not ray.is_initialized():
        return
    if not quick and started:
        calls = [entry.actor.end.remote() for entry in started]
        ray.wait(calls, num_returns=len(calls), timeout=5.0)
    for entry in started:
        with contextlib.suppress(ray.exceptions.RayError, ValueError):
            ray.kill(entry.actor, no_restart=True)


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    _install_stop()
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _install_stop() -> None:
    """Stop on SIGTERM. Installed again after `ray.init`, which replaces the handler."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise StoppedError

    signal.signal(signal.SIGTERM, stop)


@contextlib.contextmanager
def _deaf() -> Iterator[None]:
    """Ignore further interrupts while the run is taken down."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def largest_share(config: RunConfig) -> float:
    """Return the largest share of the model that one participant holds."""
    return max(share(config.model, stage) for stage in partition(config.model, config.layout.stages))
