"""wandb, offline unless configured otherwise. Whatever it does, it does in a thread of its own and stops nothing."""

from __future__ import annotations

import logging
import math
import queue
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from actors.records import CommitRecord, Event, MeshStatus

log = logging.getLogger("tessera.telemetry")
MODES = ("offline", "online", "disabled")
CLOSE_S = 10.0
"""How long the end of a run waits for wandb."""
INIT_S = 20
QUEUE = 10_000
"""Steps that wait for wandb at most; further ones are dropped, and their number is logged at the end."""


class WandbSink:
    """Logs commits to wandb from a daemon thread behind a bounded queue. Its files go to `<folder>/wandb`.

    Online, the key comes from wandb's own places (`wandb login`, WANDB_API_KEY); it is never asked for.
    """

    def __init__(self, mode: str, project: str, run_id: str, folder: Path, config: Mapping[str, Any]) -> None:
        if mode not in MODES:
            raise ValueError(f"telemetry.wandb is {mode!r}; it must be one of {', '.join(MODES)}")
        self._folder = folder
        self._arguments: dict[str, Any] = {"mode": mode, "project": project, "name": run_id, "config": dict(config)}
        self._queue: queue.Queue[dict[str, Any]] = queue.Queue(maxsize=QUEUE)
        self._closing = threading.Event()
        self._exit_code = 0
        self._dropped = 0
        self._thread = threading.Thread(target=self._work, name="tessera-wandb", daemon=True)
        self._thread.start()

    def commit(self, record: CommitRecord) -> None:
        """Queue a step."""
        try:
            self._queue.put_nowait(values(record))
        except queue.Full:
            self._dropped += 1

    def phase(self, text: str) -> None:
        """Not for wandb."""

    def event(self, event: Event) -> None:
        """Not for wandb."""

    def status(self, status: MeshStatus) -> None:
        """Not for wandb."""

    def close(self, outcome: str = "", failure: str = "") -> None:
        """Let wandb finish, for CLOSE_S seconds at most."""
        self._exit_code = 0 if outcome in ("", "finished") else 1
        self._closing.set()
        self._thread.join(CLOSE_S)
        if self._thread.is_alive():
            log.warning("wandb did not finish within %.0f s and is left behind", CLOSE_S)
        elif self._dropped:
            log.warning("wandb missed %d steps", self._dropped)

    def _work(self) -> None:
        try:
            run = self._start()
            run.define_metric("*", step_metric="step")  # a run that returns to an earlier commit has steps twice
            while (waiting := self._next()) is not None:
                run.log(waiting)
            run.finish(exit_code=self._exit_code)
        except BaseException as error:  # wandb also raises SystemExit and KeyboardInterrupt; none may pass
            log.warning("wandb is switched off: %s: %s", type(error).__name__, error)

    def _start(self) -> Any:
        import wandb

        settings = wandb.Settings(
            silent=True,
            console="off",
            init_timeout=INIT_S,
            login_timeout=INIT_S,
            x_disable_stats=True,
            disable_git=True,
            save_code=False,
        )
        self._folder.mkdir(parents=True, exist_ok=True)
        return wandb.init(**self._arguments, dir=str(self._folder), settings=settings, reinit="create_new")

    def _next(self) -> dict[str, Any] | None:
        """The next step to log; None when the run is over and nothing waits."""
        while True:
            try:
                return self._queue.get(timeout=0.2)
            except queue.Empty:
                if self._closing.is_set():
                    return None


def values(record: CommitRecord) -> dict[str, Any]:
    """What wandb is told about a step: numbers that there are, none that is NaN."""
    found: dict[str, float | None] = {
        "loss": record.loss,
        "validation_loss": record.validation_loss,
        "grad_norm": record.grad_norm,
        "lr": record.lr if record.tokens else None,
        "tokens": record.tokens or None,
        "tokens_per_s": record.tokens / record.seconds if record.tokens and record.seconds > 0 else None,
        "averaging_bytes": record.averaging_bytes,
        "control_bytes": record.control_bytes,
    }
    found |= {f"boundary_bytes/{boundary}": sent for boundary, sent in record.boundary_bytes.items()}
    return {k: v for k, v in found.items() if v is not None and math.isfinite(v)} | {"step": record.step}
