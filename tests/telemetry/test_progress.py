"""Displays on a recorded console of 80 columns."""

from __future__ import annotations

import dataclasses
import io
import logging
import math
import re
import sys
from collections.abc import Iterator

import pytest
from rich.console import Console

from actors.records import Event
from orchestrator.telemetry.config import TelemetryConfig
from orchestrator.telemetry.live import boundary_text
from orchestrator.telemetry.mesh_map import render_status, status_json
from orchestrator.telemetry.pace import Pace
from orchestrator.telemetry.progress import LineProgress, LiveProgress, make_progress
from tests.telemetry import runs

LOST = Event(runs.START, "lost", "hana", "no answer [bold]\x1b[2J")
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def terminal(width: int = 80) -> Console:
    """A console that takes itself for a terminal and writes into memory."""
    return Console(file=io.StringIO(), width=width, height=40, force_terminal=True, color_system="truecolor")


def written(console: Console) -> list[str]:
    """Lines of it without colours and cursor movements."""
    assert isinstance(console.file, io.StringIO)
    return [part for line in CONTROL.sub("", console.file.getvalue()).split("\n") for part in line.split("\r")]


@pytest.fixture
def live() -> Iterator[tuple[LiveProgress, Console]]:
    console = terminal()
    progress = LiveProgress(console, "quickstart-7f3a", 20)
    yield progress, console
    progress.close()


@pytest.mark.parametrize(("number", "stages"), [(1, 1), (8, 4), (64, 8), (40, 40)])
def test_live_display_fits_eighty_columns(live: tuple[LiveProgress, Console], number: int, stages: int) -> None:
    progress, console = live
    members = runs.participants(number, stages)
    progress.phase("starting Ray")
    progress.status(runs.status(members, 0, 20))
    for record in runs.commits(5, members):
        progress.commit(record)
    progress.event(LOST)
    progress.commit(runs.closing(20))
    progress.close("finished")
    lines = written(console)
    assert max(len(line) for line in lines) <= 80
    text = "\n".join(lines)
    assert "5/20 steps" in text
    assert "! hana: lost: no answer [bold] [2J" in text
    assert "validation 1.4700" in text
    assert [line for line in lines if line][-1] == "finished"


def test_live_display_of_a_diverged_run(live: tuple[LiveProgress, Console]) -> None:
    progress, console = live
    record = next(runs.commits(1, []))
    progress.commit(dataclasses.replace(record, loss=math.nan, seconds=0.0))
    progress.close("failed", "the loss is not a number")
    assert "loss nan" in "\n".join(written(console))
    assert "failed: the loss is not a number" in "\n".join(written(console))


def test_live_display_survives_twenty_columns() -> None:
    console = terminal(20)
    progress = LiveProgress(console, "quickstart-7f3a", 20)
    members = runs.participants(8, 4)
    progress.status(runs.status(members, 0, 20))
    progress.commit(next(runs.commits(1, members)))
    progress.close()
    assert max(len(line) for line in written(console)) <= 20


def test_error_while_drawing_reaches_the_caller(
    live: tuple[LiveProgress, Console], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise RuntimeError("no picture")

    progress, _ = live
    monkeypatch.setattr(progress, "_picture", broken)
    progress._render()
    with pytest.raises(RuntimeError, match="no picture"):
        progress.phase("x")


def test_log_lines_pass_the_live_display(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr(sys, "stderr", screen)
    handler = logging.StreamHandler(screen)
    logger = logging.getLogger("tests.telemetry.live")
    logger.addHandler(handler)
    try:
        progress = LiveProgress(Console(width=80, force_terminal=True), "r", 5)
        assert handler.stream is not screen, "while the display is up, the handler goes through rich"
        logger.warning("a warning")
        progress.close()
        assert handler.stream is screen
    finally:
        logger.removeHandler(handler)
    assert re.search(r"^a warning$", CONTROL.sub("", screen.getvalue()).replace("\r", "\n"), re.M)


def test_one_line_a_step() -> None:
    console = Console(file=io.StringIO(), width=80)
    progress = LineProgress(console, 20)
    progress.phase("starting Ray")
    members = runs.participants(4, 2)
    for record in runs.commits(3, members):
        progress.commit(record)
    progress.status(runs.status(members, 3, 20))
    progress.event(LOST)
    progress.commit(runs.closing(3))
    progress.close("stopped", "from outside")
    lines = written(console)
    assert lines[0] == "· starting Ray"
    assert lines[1].startswith("step 1/20 | loss ")
    assert "validation at commit 0: 5.5500" in lines[1]
    assert lines[3].startswith("step 3/20")
    assert lines[4] == "! hana: lost: no answer [bold] [2J"
    assert lines[5] == "validation at commit 3: 1.4700"
    assert lines[-2] == "stopped: from outside"


def test_auto_takes_what_the_console_is() -> None:
    assert isinstance(make_progress(TelemetryConfig(), Console(file=io.StringIO())), LineProgress)
    live = make_progress(TelemetryConfig(), terminal())
    live.close()
    assert isinstance(live, LiveProgress)
    with pytest.raises(ValueError, match="fancy"):
        make_progress(TelemetryConfig(progress="fancy"), terminal())


def test_pace_measures_recent_steps_only() -> None:
    pace = Pace(100)
    records = [dataclasses.replace(r, seconds=10.0 if r.step < 30 else 1.0, tokens=100) for r in runs.commits(50, [])]
    for record in records:
        pace.add(record)
    pace.add(records[0])  # late; changes nothing
    assert (pace.done, pace.tokens_per_s, pace.left_s) == (50, 100.0, 50.0)


def test_many_boundaries_are_summed_up() -> None:
    assert boundary_text({1: 2000, 0: 1000}) == "0→1 1.00 kB  1→2 2.00 kB"
    assert boundary_text({b: 1000 for b in range(9)}) == "9 boundaries 1.00 kB each (1.00 kB–1.00 kB)"


@pytest.mark.parametrize(("number", "stages"), [(0, 1), (1, 1), (8, 4), (64, 8)])
def test_status_fits_eighty_columns(number: int, stages: int) -> None:
    members = runs.participants(number, stages, dead=min(number, 1))
    members = [dataclasses.replace(m, data_ok=False) if m.stage == 1 else m for m in members]
    status = runs.status(members, 3, 20, (LOST,))
    console = terminal()
    console.print(render_status(status, next(runs.commits(1, members))))
    lines = written(console)
    assert max(len(line) for line in lines) <= 80
    text = "\n".join(lines)
    assert all(word in text for word in ("quickstart-7f3a", "unknown identity 11×", "hana: lost"))
    assert ("other data" in text) == (stages > 1)


def test_status_shows_what_the_mesh_believes() -> None:
    members = runs.participants(6, 2)
    mine = "00c0ffee00c0ffee"
    shown = [mine, mine, "dead0000dead0000", "", mine, mine]
    states = ["active", "suspect", "active", "joining", "left", "dead"]
    members = [
        dataclasses.replace(
            member, view=view, state=state, incarnation=1_760_000_000 + n, rtt_ms=None if n == 0 else 12.5 * n
        )
        for n, (member, view, state) in enumerate(zip(members, shown, states, strict=True))
    ]
    members[1] = dataclasses.replace(members[1], suspected_by=("cleo", "dora"))
    status = dataclasses.replace(
        runs.status(members, 3, 20), view=mine, health=2, beyond=("emil", "fay"), split=("cleo",)
    )
    console = terminal()
    console.print(render_status(status))
    lines = written(console)
    text = "\n".join(lines)
    assert max(len(line) for line in lines) <= 80
    assert f"view {mine} of ada: 4 members, 1 showed another one last" in text
    assert "its own health 2 of 8" in text
    assert "CUT: 2 fell silent together and are tried again: emil, fay" in text
    assert "SPLIT VIEW: cleo stay" in text
    (suspect,) = [line for line in lines if line.startswith("ben") and "1760000001" in line]
    assert all(word in suspect for word in ("◍ suspect", "12.5 ms", "equal", "cleo, dora"))
    (other,) = [line for line in lines if line.startswith("cleo") and "1760000002" in line]
    assert "≠ dead00" in other
    found = status_json(status)
    assert found["view"] == mine
    assert found["participants"][1]["suspected_by"] == ["cleo", "dora"]
    whole = [dataclasses.replace(member, view=mine, state="active", suspected_by=()) for member in members]
    console = terminal()
    console.print(render_status(dataclasses.replace(status, participants=tuple(whole), beyond=(), split=(), health=0)))
    assert "6 members, all that were heard agree" in "\n".join(written(console))


def test_status_for_programs() -> None:
    members = runs.participants(2, 2)
    found = status_json(runs.status(members, 3, 20), next(runs.commits(1, members)))
    assert found["participants"][1]["name"] == "ben"
    assert found["latest"]["step"] == 0
    assert status_json(runs.status(members, 3, 20))["latest"] is None
