"""An event loop with real sockets whose time jumps to the next timer as soon as no socket has anything.

So a wait costs nothing, and what a transfer takes depends on its timers and not on the machine. Only for sockets
between participants of this process: what another process does takes no time here.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")

SHARE = 0.02
"""A jump is preceded by a look at the sockets for this share of it: what was written to one may be on its way."""
SHORTEST_S, LONGEST_S = 1e-4, 5e-3


class JumpingSelector(selectors.DefaultSelector):
    """Waits for sockets for a moment only, and then lets the time of the loop pass instead."""

    def __init__(self) -> None:
        super().__init__()
        self.passed = 0.0
        self.threads = 0
        """Work that other threads do for the loop: time does not pass before it is done."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None and timeout <= 0:
            return super().select(0)
        if timeout is None or self.threads:
            return super().select(None)
        ready = super().select(min(LONGEST_S, max(SHORTEST_S, SHARE * timeout)))
        if not ready:
            self.passed += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """Seconds since its beginning; they pass when all wait for a timer."""

    def __init__(self) -> None:
        self._jumping = JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return 1000.0 + self._jumping.passed

    def stall(self, seconds: float) -> None:
        """The process did not run for so long."""
        self._jumping.passed += seconds

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> asyncio.Future[Any]:
        future = super().run_in_executor(executor, func, *args)
        self._jumping.threads += 1
        future.add_done_callback(self._thread_done)
        return future

    def _thread_done(self, future: asyncio.Future[Any]) -> None:
        self._jumping.threads -= 1


def virtually(main: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    """Run a test in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main())


def now() -> float:
    """Seconds of the loop that runs."""
    return asyncio.get_running_loop().time()


async def passes(seconds: float) -> None:
    """Let so much time pass. In virtual time only, where it costs nothing and everything that is due happens."""
    assert isinstance(asyncio.get_running_loop(), VirtualLoop), "a test does not wait in real time"
    await asyncio.sleep(seconds)
