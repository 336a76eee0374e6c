"""Real signals to processes of this machine."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence


def kill(processes: Sequence[int]) -> None:
    """SIGKILL, in the order given."""
    _send(processes, signal.SIGKILL)


def freeze(processes: Sequence[int], seconds: float) -> None:
    """SIGSTOP, in the order given; a process of its own sends SIGCONT when the time is over."""
    ids = " ".join(str(process) for process in processes)
    script = f"sleep {seconds:.3f}; kill -CONT {ids} 2>/dev/null"
    subprocess.Popen(
        ["/bin/sh", "-c", script],
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _send(processes, signal.SIGSTOP)


def _send(processes: Sequence[int], number: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, number)
