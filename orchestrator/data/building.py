"""One builder at a time, where the system offers a lock."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

log = logging.getLogger(__name__)

PATIENCE_S = 1800.0
"""Longest wait for another process's build. Longer: a hung builder blocks the others; shorter: work is done twice."""
_POLL_S = 0.05


@contextmanager
def one_builder(lock: Path, patience_s: float = PATIENCE_S) -> Iterator[None]:
    """Hold the file `lock` while building; others wait for up to `patience_s` seconds and then build as well.

    The lock only saves work: what is built is renamed into place whole, so two builders at once do no harm. That is
    also what happens without file locks (Windows, some network file systems). The system releases a dead process's
    lock. Raises OSError when the lock file cannot be made.
    """
    with lock.open("ab") as file:
        _wait(file, lock, time.monotonic() + patience_s)
        yield


def _wait(file: BinaryIO, lock: Path, deadline: float) -> None:
    try:
        import fcntl
    except ImportError:
        return
    said = False
    while time.monotonic() < deadline:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if not said:
                log.info("another process is tokenising the corpus; waiting for %s", lock)
            said = True
            time.sleep(_POLL_S)
        except OSError as error:
            log.info("no file locks for %s (%s); building without one", lock, error)
            return
    log.warning("another process has held %s until the deadline; building without it", lock)
