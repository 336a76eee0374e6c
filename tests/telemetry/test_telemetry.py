"""All sinks together: each sees everything once, and none can stop a run."""

from __future__ import annotations

import io
import json
import logging
import socket
import sys
import threading
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from actors.records import CommitRecord, Event, MeshStatus
from orchestrator.telemetry import ray_metrics, wandb_sink
from orchestrator.telemetry.config import TelemetryConfig
from orchestrator.telemetry.files import read_journal
from orchestrator.telemetry.telemetry import Telemetry
from tests.telemetry import runs

QUIET = TelemetryConfig(progress="lines", ray_metrics=False, wandb="disabled")


class Listener:
    """A sink that notes what it is told, and raises in one method if asked to."""

    def __init__(self, breaks: str = "") -> None:
        self.heard: list[str] = []
        self._breaks = breaks

    def _hear(self, what: str) -> None:
        self.heard.append(what)
        if what == self._breaks:
            raise OSError("no room")

    def phase(self, text: str) -> None:
        self._hear("phase")

    def commit(self, record: CommitRecord) -> None:
        self._hear("commit")

    def status(self, status: MeshStatus) -> None:
        self._hear("status")

    def event(self, event: Event) -> None:
        self._hear("event")

    def close(self, outcome: str = "", failure: str = "") -> None:
        self._hear("close")


def open_telemetry(folder: Path, config: TelemetryConfig = QUIET, **more: Any) -> Telemetry:
    return Telemetry.open(config, "run-x", folder, {"a": 1}, "train", 3, Console(file=io.StringIO()), **more)


def play(telemetry: Telemetry, *, times: int = 1) -> None:
    members = runs.participants(4, 2)
    telemetry.phase("starting")
    for _ in range(times):
        telemetry.status(runs.status(members, 0, 3, (Event(runs.START, "joined", "ada", ""),)))
        for record in [*runs.commits(3, members), runs.closing(3)]:
            telemetry.commit(record)
        telemetry.event(Event(runs.START + 1, "lost", "ben", "x"))
    telemetry.finish("finished")


def report_of(folder: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return document


def test_repeats_reach_the_sinks_once(tmp_path: Path) -> None:
    telemetry, listener = open_telemetry(tmp_path), Listener()
    telemetry.add("listener", lambda: listener)
    play(telemetry, times=3)
    telemetry.finish("failed", "too late to count")
    assert listener.heard.count("commit") == 4
    assert listener.heard.count("event") == 2
    assert listener.heard.count("close") == 1
    assert [line["step"] for line in read_journal(tmp_path / "metrics.jsonl")] == [0, 1, 2, 3]
    assert report_of(tmp_path)["totals"]["outcome"] == "finished"


@pytest.mark.parametrize("breaks", ["phase", "commit", "status", "event", "close"])
def test_a_failing_sink_is_switched_off(tmp_path: Path, breaks: str, caplog: pytest.LogCaptureFixture) -> None:
    telemetry, good, bad = open_telemetry(tmp_path), Listener(), Listener(breaks)
    telemetry.add("bad", lambda: bad)
    telemetry.add("good", lambda: good)
    play(telemetry, times=2)
    assert bad.heard.count(breaks) <= 2, "once, and once more where it is closed"
    assert good.heard.count("commit") == 4
    report = report_of(tmp_path)
    assert [e["detail"] for e in report["events"] if e["kind"] == "telemetry"] == [
        "bad is switched off: OSError: no room"
    ]
    assert len(report["steps"]) == 3
    assert len([r for r in caplog.records if r.levelno >= logging.WARNING]) == 1


def test_sinks_that_do_not_open_are_left_out_and_the_others_hear_everything(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The folder lies under a file, and neither the progress nor the wandb mode exists: no sink of its own opens."""
    (tmp_path / "file").write_text("")
    config = TelemetryConfig(progress="?", ray_metrics=False, wandb="?")
    telemetry, listener = open_telemetry(tmp_path / "file" / "below", config), Listener()
    telemetry.add("listener", lambda: listener)
    play(telemetry)
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert sorted(line.split(" is switched off: ")[0] for line in said) == ["progress", "report", "wandb"]
    assert [listener.heard.count(what) for what in ("phase", "commit", "status", "event", "close")] == [1, 4, 1, 2, 1]
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_one_sink_that_does_not_open_is_named_in_the_report(tmp_path: Path) -> None:
    telemetry = open_telemetry(tmp_path, TelemetryConfig(progress="lines", ray_metrics=False, wandb="?"))
    play(telemetry)
    report = report_of(tmp_path)
    (event,) = [event for event in report["events"] if event["kind"] == "telemetry"]
    assert event["detail"].startswith("wandb is switched off: ")
    assert len(report["steps"]) == 3


def test_resuming_goes_on_with_the_journal(tmp_path: Path) -> None:
    members = runs.participants(4, 2)
    records = list(runs.commits(3, members))
    first = open_telemetry(tmp_path)
    first.commit(records[0])
    first.finish("stopped")
    second = open_telemetry(tmp_path, resume=True)
    for record in records:
        second.commit(record)
    second.finish("finished")
    assert report_of(tmp_path)["totals"]["steps"] == 3
    assert len(read_journal(tmp_path / "metrics.jsonl")) == 3


# Ray metrics


class FakeMetric:
    """Stands for Gauge and Counter; checks tags as Ray does."""

    def __init__(self, values: dict[tuple[str, str], float], name: str, description: str, tag_keys: tuple[str, ...]):
        self._values, self._name, self._keys = values, name, set(tag_keys)

    def _at(self, tags: dict[str, str]) -> tuple[str, str]:
        assert set(tags) == self._keys
        return self._name, ",".join(f"{key}={tags[key]}" for key in sorted(tags) if key != "run")

    def set(self, value: float, tags: dict[str, str]) -> None:
        self._values[self._at(tags)] = value

    def inc(self, value: float, tags: dict[str, str]) -> None:
        assert value > 0
        self._values[self._at(tags)] = self._values.get(self._at(tags), 0) + value


def test_ray_metrics_carry_tags(monkeypatch: pytest.MonkeyPatch) -> None:
    values: dict[tuple[str, str], float] = {}

    def make(name: str, description: str, tag_keys: tuple[str, ...]) -> FakeMetric:
        return FakeMetric(values, name, description, tag_keys)

    fake: Any = types.ModuleType("ray.util")
    fake.metrics = types.SimpleNamespace(Gauge=make, Counter=make)
    monkeypatch.setitem(sys.modules, "ray.util", fake)
    monkeypatch.setattr(ray_metrics, "_ray_runs", lambda: True)
    members = runs.participants(4, 2, dead=1)
    sink = ray_metrics.RayMetrics("run-x")
    sink.status(runs.status(members, 0, 3))
    records = list(runs.commits(3, members))
    for record in [*records, runs.closing(3)]:
        sink.commit(record)
    assert {name for name, _ in values} == set(ray_metrics.GAUGES) | set(ray_metrics.COUNTERS)
    assert values["tessera_tokens_total", ""] == sum(r.tokens for r in records)
    assert values["tessera_boundary_bytes_total", "boundary=0"] == sum(r.boundary_bytes[0] for r in records) + 900
    assert values["tessera_participants", "stage=1"] == 1
    assert values["tessera_model_share", "participant=dora,stage=1"] == 0
    assert values["tessera_validation_loss", ""] == 1.47


def test_ray_metrics_do_nothing_without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "ray", raising=False)
    sink = ray_metrics.RayMetrics("run-x")
    sink.status(runs.status(runs.participants(2, 2), 0, 3))
    sink.commit(next(runs.commits(1, [])))
    assert "ray" not in sys.modules


# wandb


def fake_wandb(monkeypatch: pytest.MonkeyPatch, init: Callable[..., Any]) -> None:
    module: Any = types.ModuleType("wandb")
    module.Settings = lambda **_: None
    module.init = init
    monkeypatch.setitem(sys.modules, "wandb", module)


def test_wandb_that_hangs_is_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    release = threading.Event()
    fake_wandb(monkeypatch, lambda **_: release.wait())
    monkeypatch.setattr(wandb_sink, "CLOSE_S", 0.05)
    monkeypatch.setattr(wandb_sink, "QUEUE", 2)
    sink = wandb_sink.WandbSink("online", "tessera", "run-x", tmp_path, {})
    for record in runs.commits(5, []):
        sink.commit(record)
    sink.close("finished")
    assert "did not finish" in caplog.text
    release.set()
    sink._thread.join(5)


@pytest.mark.parametrize("error", [ValueError("no key"), SystemExit(1), KeyboardInterrupt()])
def test_wandb_that_raises_is_one_log_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    def init(**_: Any) -> None:
        raise error

    fake_wandb(monkeypatch, init)
    telemetry = open_telemetry(tmp_path, TelemetryConfig(progress="lines", ray_metrics=False, wandb="online"))
    play(telemetry)
    assert caplog.text.count("wandb is switched off") == 1
    assert report_of(tmp_path)["totals"]["outcome"] == "finished"


def test_wandb_offline_needs_no_network_key_or_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("wandb")
    connect = socket.socket.connect

    def local_only(self: socket.socket, address: Any) -> None:
        if isinstance(address, tuple) and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise AssertionError(f"connects to {address}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", local_only)
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    monkeypatch.setattr(wandb_sink, "CLOSE_S", 30.0)
    run = tmp_path / "run"
    play(open_telemetry(run, TelemetryConfig(progress="lines", ray_metrics=False, wandb="offline")))
    assert "wandb" not in caplog.text
    assert list((run / "wandb").glob("offline-run-*/run-*.wandb"))
    assert capfd.readouterr() == ("", "")
