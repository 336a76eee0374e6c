"""The process that a person starts: launches participants, watches them, and shows what they say.

It observes; the participants train by themselves. It ends what it started, however it ends itself.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import ray
from rich.console import Console

from actors.faults.log import FaultLog
from actors.keepsakes import owner_folder
from actors.records import CommitRecord, Event
from actors.spec import NAMESPACE
from checkpoint.names import CheckpointId
from orchestrator.config import ConfigError, RunConfig, as_dict
from orchestrator.driver_churn import DriverChurn
from orchestrator.driver_faults import DriverFaults
from orchestrator.launcher import (
    Launched,
    OpenReport,
    churn,
    fault_folder,
    launch,
    places,
    read_bundle,
    schedule,
    with_data,
)
from orchestrator.names import run_name
from orchestrator.ray_keeper import LocalCluster, runs_folder
from orchestrator.resume import unusable, with_checkpoint
from orchestrator.telemetry.telemetry import Telemetry
from sharding.partition import partition, share

ASK_S = 0.25
"""How often participants are asked what is new."""
SILENT_S = 20.0
"""A participant that has not answered the driver for this long counts as gone, until it answers again."""
ANSWER_S = 0.5
GONE_ASK_S = 2.0
"""Whoever is gone is asked this often whether it is back."""
ALL_GONE_S = 60.0
"""When nobody of this site has answered for this long, the run is lost here."""
GAP_S = 5.0
"""A commit that only a lost participant could have told of is waited for this long."""
LAST_S = 10.0
"""After the first participant has said that the run is over, the others have this long."""


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
    schedule(config)  # a mistake in them is told before anything is started
    churn(config)
    return with_data(config)


def run(config: RunConfig, command: str, *, local: bool, console: Console) -> int:
    """Train; return the exit code. `local`: start an own Ray cluster when none is named."""
    config = resolve(config)
    with_checkpoint(config, lambda text: None)  # what cannot be taken up is told before anything is started
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
            outcome, failure = _train(config, OpenReport(config, command, str(folder)), telemetry, started)
    except KeyboardInterrupt as stop:
        outcome, failure = "stopped", "stopped from outside"
        if not isinstance(stop, StoppedError) and started and _leave_running(console):
            telemetry.detach()
            console.print(f"Run {config.run_id} goes on; `orchestrator stop {config.run_id}` ends it.", highlight=False)
            os._exit(0)  # nothing is taken down: the participants, and the Ray they live in, need no driver
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
            shutil.rmtree(owner_folder(config.run_id), ignore_errors=True)
            telemetry.finish(outcome, failure)
    if outcome == "failed":
        console.print(f"[bold red]The run failed:[/] {failure}", highlight=False)
    console.print(f"Report: {folder / 'report.html'}", highlight=False, soft_wrap=True)
    return {"finished": 0, "failed": 1, "stopped": 130}[outcome]


def _train(config: RunConfig, sink: OpenReport, telemetry: Telemetry, started: list[Launched]) -> tuple[str, str]:
    """Launch and watch; return outcome and failure. With a damaged checkpoint once more, from the one before it."""

    def say(text: str) -> None:
        telemetry.event(Event(time.time(), "checkpoint", "", text))

    skip: frozenset[CheckpointId] = frozenset()
    while True:
        chosen = with_checkpoint(config, say, skip)
        try:
            return _once(chosen, dataclasses.replace(sink, config=chosen), telemetry, started)
        except RunFailedError as error:
            damaged = unusable(chosen, str(error))
            if damaged is None or config.checkpoint.resume_commit >= 0:
                raise
            say(f"{error}; the run begins with the checkpoint before it")
            skip |= {damaged}
            _end(started, quick=False)
            started.clear()


def _once(config: RunConfig, sink: OpenReport, telemetry: Telemetry, started: list[Launched]) -> tuple[str, str]:
    launch(config, sink, telemetry.phase, started)
    telemetry.phase("waiting until every stage is built")
    changes = DriverChurn(config, sink, started, churn(config))
    faults = DriverFaults(schedule(config), places(config), FaultLog(fault_folder(sink.folder)))
    outcome = _Watch(config, started, telemetry, faults, changes).until_the_end()
    missing = faults.missing() or changes.missing()
    if outcome == "finished" and missing:
        return "failed", missing
    return outcome, "" if outcome == "finished" else "stopped by a person"


class _Watch:
    """Asks the participants until the run is over. Some may be gone at any time: the run goes on without them."""

    def __init__(
        self,
        config: RunConfig,
        started: list[Launched],
        telemetry: Telemetry,
        faults: DriverFaults,
        changes: DriverChurn,
    ) -> None:
        self._config, self._started, self._telemetry = config, started, telemetry
        self._faults, self._changes = faults, changes
        self._asked: dict[int, Any] = {}
        self._asked_at: dict[int, float] = {}
        self._answered_at = time.monotonic()
        self._phases: dict[int, str] = {}
        self._seen_events: dict[int, int] = {}
        self._records: dict[tuple[int, int], CommitRecord] = {}
        """(Era, step) -> record that was not handed over yet."""
        self._era, self._step = 0, max(0, config.checkpoint.resume_commit)
        """Of the next record."""
        self._gap_since = 0.0
        self._status_at = 0.0
        self._ended_at = 0.0

    def until_the_end(self) -> str:
        """Return "finished" or "stopped" when the participants say so. Raises RunFailedError."""
        while True:
            self._ask()
            self._hand_over()
            self._faults.watch(self._step, self._telemetry.event)
            self._changes.watch(self._step, self._telemetry.event)
            self._show_status()
            ending = {phase for phase in self._phases.values() if phase in ("finished", "stopped")}
            if ending:
                self._ended_at = self._ended_at or time.monotonic()
                everybody = all(phase in ("finished", "stopped", "gone", "left") for phase in self._phases.values())
                if everybody or time.monotonic() - self._ended_at > LAST_S:
                    self._hand_over(all_of_them=True)
                    self._faults.watch(self._step, self._telemetry.event)
                    return "finished" if "finished" in ending else "stopped"
            time.sleep(ASK_S)

    def _ask(self) -> None:
        now = time.monotonic()
        for number, entry in enumerate(list(self._started)):
            self._phases.setdefault(number, "starting")
            if number not in self._asked and now - self._asked_at.get(number, 0.0) > self._pause(number):
                self._asked_at[number] = now
                self._asked[number] = entry.actor.poll.remote(self._era, self._step, self._seen_events.get(number, 0))
        ready, _ = ray.wait(list(self._asked.values()), num_returns=len(self._asked), timeout=ANSWER_S)
        for number, call in list(self._asked.items()):
            if call in ready:
                del self._asked[number]
                self._take(number, call)
            elif now - self._asked_at[number] > SILENT_S:
                del self._asked[number]
                self._lost(number, f"it has not answered for {SILENT_S:.0f} s")
        if all(phase in ("gone", "left") for phase in self._phases.values()) and now - self._answered_at > ALL_GONE_S:
            raise RunFailedError("lost all participants of this site")

    def _pause(self, number: int) -> float:
        """Seconds between questions."""
        return GONE_ASK_S if self._phases[number] in ("gone", "left") else 0.0

    def _gone(self, number: int) -> bool:
        return self._phases[number] == "gone"

    def _lost(self, number: int, why: str) -> None:
        if self._phases[number] == "left":
            return
        if not self._gone(number):
            self._phases[number] = "gone"
            self._telemetry.event(Event(time.time(), "lost", self._started[number].spec.name, why))

    def _take(self, number: int, call: Any) -> None:
        try:
            answer = ray.get(call)
        except ray.exceptions.RayActorError:
            self._lost(number, "its mesh process died")
            return
        self._answered_at = time.monotonic()
        self._phases[number] = answer["phase"]
        for record in answer["records"]:
            self._records.setdefault((record.era, record.step), record)
        for count, event in answer["events"]:
            self._seen_events[number] = count
            self._telemetry.event(event)
        if answer["failure"] and answer["phase"] == "failed":
            raise RunFailedError(answer["failure"])

    def _hand_over(self, *, all_of_them: bool = False) -> None:
        """Tell of the commits in order; a step that nobody here can tell of is passed over after a while.

        So is what a run that returned to an earlier commit does not reach any more.
        """
        while self._records:
            if (self._era, self._step) not in self._records:
                now = time.monotonic()
                self._gap_since = self._gap_since or now
                if now - self._gap_since < GAP_S and not all_of_them:
                    return
                self._era, self._step = min(self._records)
            self._gap_since = 0.0
            self._telemetry.commit(self._records.pop((self._era, self._step)))
            self._step += 1
            following = (self._era, self._step)
            self._records = {place: record for place, record in self._records.items() if place >= following}

    def _show_status(self) -> None:
        if time.monotonic() - self._status_at < 1.0:
            return
        self._status_at = time.monotonic()
        here = [number for number, phase in self._phases.items() if phase not in ("gone", "left")]
        if not here:
            return
        with contextlib.suppress(ray.exceptions.RayError, AssertionError):
            call = self._started[here[0]].actor.status.remote()
            ready, _ = ray.wait([call], timeout=1.0)
            if ready:
                self._telemetry.status(ray.get(call))


def _leave_running(console: Console) -> bool:
    """Ask whoever pressed Ctrl+C what was meant; without a terminal it means the end."""
    if not (console.is_terminal and sys.stdin.isatty()):
        return False
    with contextlib.suppress(KeyboardInterrupt, EOFError):
        answer = console.input("Stop the run (s, Enter), or leave it running without this window (l)? ")
        return answer.strip().lower().startswith("l")
    return False


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
    token = cluster.token if cluster else os.environ.get("RAY_AUTH_TOKEN", "")
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
