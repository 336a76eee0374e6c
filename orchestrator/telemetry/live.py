"""A display that is redrawn in place."""

from __future__ import annotations

import time
from collections.abc import Callable

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from actors.records import CommitRecord, Event, MeshStatus
from orchestrator.telemetry.lines import ENDINGS, event_line
from orchestrator.telemetry.log_streams import through_standard_streams
from orchestrator.telemetry.mesh_map import stage_map
from orchestrator.telemetry.pace import Pace
from orchestrator.telemetry.text import count, duration, loss, shorten, size, sparkline

MAX_BOUNDARIES = 4
"""With more boundaries than this their mean and range are shown instead of each."""


class LiveProgress:
    """Bar, losses, speed, traffic, and the map of the mesh.

    A thread of rich draws it. An error there would end that thread silently, so it is kept and raised by the next
    call, which lets the caller switch the display off.
    """

    def __init__(
        self, console: Console, run_id: str = "", steps: int = 0, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._run_id, self._phase = run_id, "starting"
        self._pace = Pace(steps)
        self._status: MeshStatus | None = None
        self._clock, self._began = clock, clock()
        self._error: Exception | None = None
        self._closed = False
        self._live = Live(console=console, refresh_per_second=4, get_renderable=self._render)
        self._live.start()
        self._restore_logs = through_standard_streams()

    def phase(self, text: str) -> None:
        """Say what is being done before training."""
        self._check()
        self._phase = text

    def commit(self, record: CommitRecord) -> None:
        """Take the step into the picture."""
        self._check()
        self._pace.add(record)

    def status(self, status: MeshStatus) -> None:
        """Take the mesh into the picture."""
        self._check()
        self._status = status

    def event(self, event: Event) -> None:
        """Print it above the picture, where it stays."""
        self._check()
        if event.kind not in ENDINGS:
            self._live.console.print(Text(f"! {event_line(event)}", "yellow"))

    def close(self, outcome: str = "", failure: str = "") -> None:
        """Leave the last picture on the screen, and the closing lines below it. Closing twice is closing once."""
        if self._closed:
            return
        self._closed = True
        self._restore_logs()
        self._live.stop()
        for line in self._pace.summary(outcome, failure):
            self._live.console.print(line, highlight=False, markup=False)

    def _check(self) -> None:
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def _render(self) -> RenderableType:
        try:
            return self._picture()
        except Exception as error:  # raised again in the caller's thread
            self._error = error
            return Text(f"display: {type(error).__name__}", "red")

    def _picture(self) -> RenderableType:
        lines: list[RenderableType] = [self._bar()]
        last = self._pace.last
        if last is None:
            lines.append(Text(f"{self._phase} ({duration(self._clock() - self._began)})", "dim", no_wrap=True))
        else:
            lines += [self._losses(last), self._traffic(last)]
        if self._status is not None:
            lines.append(stage_map(self._status))
        return Group(*lines)

    def _bar(self) -> RenderableType:
        pace = self._pace
        table = Table.grid(padding=(0, 2), expand=True)
        table.add_column(no_wrap=True)
        table.add_column(ratio=1)
        table.add_column(no_wrap=True, justify="right")
        right = f"{pace.done}/{pace.steps} steps" if pace.steps else f"{pace.done} steps"
        if pace.left_s is not None:
            right += f"  {duration(pace.left_s)} left"
        bar = ProgressBar(total=max(1, pace.steps), completed=pace.done)
        table.add_row(Text(f"tessera {shorten(self._run_id, 26)}", "bold"), bar, Text(right))
        return table

    def _losses(self, last: CommitRecord) -> Text:
        line = Text(no_wrap=True, overflow="ellipsis")
        line.append("loss ", "dim").append(loss(last.loss), "bold").append(" ")
        line.append(sparkline(self._pace.shown_losses(), 20), "cyan")
        line.append("  validation ", "dim").append(loss(self._pace.validation), "bold")
        return line.append("  ").append(f"{count(self._pace.tokens_per_s)} tokens/s", "bold")

    def _traffic(self, last: CommitRecord) -> Text:
        line = Text(no_wrap=True, overflow="ellipsis")
        line.append("a step: ", "dim").append(boundary_text(last.boundary_bytes))
        line.append("  averaging ", "dim").append(size(last.averaging_bytes))
        return line.append("  control ", "dim").append(size(last.control_bytes))


def boundary_text(sent: dict[int, int]) -> str:
    """Bytes over each boundary, or over the usual one where there are many."""
    if not sent:
        return "no boundaries"
    if len(sent) <= MAX_BOUNDARIES:
        return "  ".join(f"{b}→{b + 1} {size(n)}" for b, n in sorted(sent.items()))
    mean = sum(sent.values()) / len(sent)
    return f"{len(sent)} boundaries {size(mean)} each ({size(min(sent.values()))}–{size(max(sent.values()))})"
