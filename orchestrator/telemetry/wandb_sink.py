"""wandb, offline unless configured otherwise. Whatever it does, it does in a thread of its own and stops nothing."""

from __future__ import annotations

import logging
import queue
import threading
from pathlib import Path
from typing import Any

from actors.records import CommitRecord

log = logging.getLogger("tessera.telemetry")
CLOSE_S = 5.0
"""How long the end of a run waits for wandb."""


class WandbSink:
    """Logs commits to wandb from a daemon thread behind a bounded queue; what does not fit is dropped."""

    def __init__(self, mode: str, project: str, run_id: str, folder: Path, config: dict[str, Any]) -> None:
        self._queue: queue.Queue[dict[str, Any] | None] = queue.Queue(maxsize=10_000)
        arguments = (mode, project, run_id, folder, config)
        self._thread = threading.Thread(target=self._work, args=arguments, name="wandb", daemon=True)
        self._thread.start()

    def commit(self, record: CommitRecord) -> None:
        """Queue a step."""
        values = {
            "loss": record.loss,
            "validation_loss": record.validation_loss,
            "grad_norm": record.grad_norm,
            "lr": record.lr,
            "tokens_per_s": record.tokens / record.seconds if record.seconds else None,
            "boundary_bytes": sum(record.boundary_bytes.values()),
            "averaging_bytes": record.averaging_bytes,
        }
        with_step = {key: value for key, value in values.items() if value is not None} | {"step": record.step}
        if self._thread.is_alive() and not self._queue.full():
            self._queue.put_nowait(with_step)

    def close(self) -> None:
        """Let wandb finish, for a few seconds at most."""
        if self._thread.is_alive() and not self._queue.full():
            self._queue.put_nowait(None)
        self._thread.join(CLOSE_S)

    def _work(self, mode: str, project: str, run_id: str, folder: Path, config: dict[str, Any]) -> None:
        try:
            import wandb

            settings = wandb.Settings(silent=True, console="off", init_timeout=20, disable_git=True)
            run = wandb.init(
                project=project, name=run_id, dir=str(folder), mode=mode, config=config, settings=settings
            )
            while (values := self._queue.get()) is not None:
                run.log(values, step=values["step"])
            run.finish()
        except Exception as error:
            log.warning("wandb is switched off: %s: %s", type(error).__name__, error)
