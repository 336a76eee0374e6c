"""A worker: imports modules that are heavy once, then forks a process for every run of tests that it is asked for.

    python -m tests.mutation.worker COPY [MODULE ...]

Requests are lines of JSON on standard input, answers on standard output. It ends, with all that it started, when its
input closes. A request `run` names a file, the text it has meanwhile, and tests with the seconds that each may take; a
request `map` names a test file whose reach is wanted.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import select
import shutil
import signal
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

from tests.mutation import child
from tests.mutation.clock import queued
from tests.mutation.copies import FOLDER
from tests.mutation.hits import Memory
from tests.mutation.plugin import Chosen, Mapping

COLLECT_S = 90.0
"""What importing the tests may take."""
MAP_S = 1800.0
"""What one test may take while the map is made."""
MEMORY = 6 << 30
"""Bytes that the tests may take: a loop without end that collects things must not take the machine's."""
LOOK_S = 1.0
PAGE = os.sysconf("SC_PAGE_SIZE")
SUBREAPER = 36


class InputClosedError(Exception):
    """Who gave us work has ended."""


class Worker:
    """Runs tests in a copy of the tree, one request at a time."""

    def __init__(self, copy: Path) -> None:
        self._copy = copy
        self._planted = 0

    def handle(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answer one request."""
        if request["do"] == "map":
            return self._map(request["file"])
        tests = dict(request["tests"])
        with self._mistake(request["file"], request["text"]):
            return self._watched(list(tests), tests, None)

    def _map(self, file: str) -> dict[str, Any]:
        return self._watched([file], {}, Memory(self._copy))

    @contextlib.contextmanager
    def _mistake(self, file: str, text: str) -> Any:
        """Give a file another text. Its time of change is one that no other text has, so no compiled file is stale."""
        path = self._copy / file
        original, status = path.read_bytes(), path.stat()
        self._planted += 1
        path.write_text(text, encoding="utf-8", newline="")
        os.utime(path, (2_000_000_000 + self._planted,) * 2)
        try:
            yield
        finally:
            path.write_bytes(original)
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    def _watched(self, tests: list[str], limits: dict[str, float], memory: Memory | None) -> dict[str, Any]:
        scratch = Path(tempfile.mkdtemp(prefix="r", dir=self._copy.parent))
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            tell = child.teller(writing)
            plugin = Chosen(self._copy, tests, tell) if memory is None else Mapping(self._copy, tell, memory)
            files = list(dict.fromkeys(test.split("::")[0] for test in tests))
            child.run(self._copy, scratch, files, plugin, stop_early=memory is None)
        os.close(writing)
        try:
            return _Watch(pid, reading, limits, COLLECT_S if limits else MAP_S, scratch).result()
        finally:
            end(pid)
            os.close(reading)
            shutil.rmtree(scratch, ignore_errors=True)


class _Watch:
    """Follows a child through its tests; each has its own deadline."""

    def __init__(self, pid: int, reading: int, limits: dict[str, float], otherwise: float, scratch: Path) -> None:
        self._pid, self._reading, self._limits, self._otherwise = pid, reading, limits, otherwise
        self._scratch = scratch
        self._begun = time.monotonic()
        self._allow(COLLECT_S)
        self._rest = b""
        self._test = ""
        self._events: list[dict[str, Any]] = []

    def result(self) -> dict[str, Any]:
        """Wait for the end, or for a deadline."""
        process = os.pidfd_open(self._pid)
        try:
            while True:
                left = self._left()
                if left <= 0 or weight(self._pid) > MEMORY:
                    return self._answer("timeout", None)
                ready, _, _ = select.select([self._reading, process, sys.stdin], [], [], min(left, LOOK_S))
                if sys.stdin in ready:
                    raise InputClosedError
                if self._reading in ready and self._read():
                    continue
                if process in ready:
                    _, status = os.waitpid(self._pid, 0)
                    return self._answer("ended", os.waitstatus_to_exitcode(status))
        finally:
            os.close(process)

    def _read(self) -> bool:
        data = os.read(self._reading, 1 << 20)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            event = json.loads(line)
            self._events.append(event)
            if event["event"] == "start":
                self._test = event["test"]
                self._allow(self._limits.get(self._test, self._otherwise))
        return bool(data)

    def _allow(self, seconds: float) -> None:
        self._seconds, self._since, self._queued = seconds, time.monotonic(), queued(str(self._pid))

    def _left(self) -> float:
        """Seconds that are left; those in which the child had no processor do not count."""
        waited = queued(str(self._pid)) - self._queued
        return self._seconds - (time.monotonic() - self._since - waited)

    def _answer(self, how: str, code: int | None) -> dict[str, Any]:
        output = ""
        if code not in (0, 1):
            with contextlib.suppress(OSError):
                output = (self._scratch / "output").read_text(errors="replace")[-2000:]
        seconds = time.monotonic() - self._begun
        return {"how": how, "code": code, "test": self._test, "seconds": seconds, "output": output,
                "events": [event for event in self._events if event["event"] != "start"]}  # fmt: skip


def end(pid: int) -> None:
    """Kill a child with its process group, and whatever of it has left the group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    while True:
        for descendant in descendants(os.getpid()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(descendant, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def descendants(pid: int) -> list[int]:
    """Return the processes below one, which orphans of ours are too (we are their reaper)."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for each in (task / "children").read_text().split():
                found += [*descendants(int(each)), int(each)]
    return found


def weight(pid: int) -> int:
    """Return the memory of a process and of those below it, in bytes."""
    total = 0
    for each in (pid, *descendants(pid)):
        with contextlib.suppress(OSError):
            total += int(Path(f"/proc/{each}/statm").read_text().split()[1]) * PAGE
    return total


def preload(names: list[str]) -> None:
    """Import what is heavy, as the project does it."""
    os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=os.environ.get("RAY_AUTH_TOKEN") or "0" * 64)
    os.environ.update(DS_ACCELERATOR="cpu", TORCHDYNAMO_DISABLE="1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in names:
            with contextlib.suppress(ImportError):
                importlib.import_module(name)
    gc.collect()
    gc.freeze()


def main() -> None:
    """Serve requests until the input closes."""
    worker = Worker(Path(sys.argv[1]).resolve())
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what modules print when they are imported is no answer
    ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    preload(sys.argv[2:])
    with contextlib.suppress(InputClosedError):
        while line := _line():
            answers.write(json.dumps(worker.handle(json.loads(line))) + "\n")
            answers.flush()
    forsaken = Path(sys.argv[1]).resolve().parents[1]
    if forsaken.name.startswith(FOLDER):  # the run was killed, so that it could not clean up itself
        shutil.rmtree(forsaken, ignore_errors=True)


def _line() -> str:
    """Read one line without reading ahead, so that `select` sees what is left."""
    found = bytearray()
    while not found.endswith(b"\n"):
        data = os.read(0, 1)
        if not data:
            return ""
        found += data
    return found.decode()


if __name__ == "__main__":
    main()
