"""Several workers, each with its own copy of the tree, and requests shared out between them."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from tests.mutation.targets import PRELOADED, SEEDS

ROOT = Path(__file__).resolve().parents[2]
Job = TypeVar("Job")


class WorkerError(Exception):
    """A worker ended before it answered."""


class Link:
    """One worker, from our side."""

    def __init__(self, copy: Path, preloaded: Iterable[str] = PRELOADED) -> None:
        self.copy = copy
        environment = {
            **os.environ,
            **SEEDS,
            "PYTHONPATH": str(copy),
            "PYTHONHASHSEED": "0",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.mutation.worker", str(copy), *preloaded],
            cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Wait for the answer to one request."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except (OSError, ValueError) as error:
            raise WorkerError(str(error)) from error
        if not line:
            raise WorkerError("a worker ended")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """End the worker and all that it started."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()


def share(links: list[Link], jobs: Iterable[Job], work: Callable[[Link, Job], None]) -> None:
    """Do all jobs, each with the next free worker. The first error ends it, and all workers."""
    waiting: queue.SimpleQueue[Job] = queue.SimpleQueue()
    for job in jobs:
        waiting.put(job)
    errors: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()

    def serve(link: Link) -> None:
        try:
            while True:
                work(link, waiting.get_nowait())
        except queue.Empty:
            errors.put(None)
        except BaseException as error:
            errors.put(error)

    threads = [threading.Thread(target=serve, args=(link,), daemon=True) for link in links]
    for thread in threads:
        thread.start()
    for _ in threads:
        error = errors.get()
        if error is not None:
            raise error
