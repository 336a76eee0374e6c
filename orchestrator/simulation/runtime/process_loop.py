"""An event loop in virtual time: one simulated process, whose callbacks run when the world's clock says.

asyncio code runs unchanged in it. A process can be paused, and then its callbacks wait; it can be killed between any
two of its actions, and then nothing of it runs any more. All processes of a world share one `Kernel`.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from typing import Any, TypeVar, TypeVarTuple, cast
from weakref import WeakSet

from orchestrator.simulation.kernel import Kernel

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class ProcessKilledError(BaseException):
    """Unwinds the code of a process that was killed in the middle of what it did."""


class ProcessLoop(asyncio.AbstractEventLoop):
    """The event loop of one process.

    Work for threads is done at once, in the loop: a world is one thread, and its disk and corpus are quick.

    Args:
        kernel: the world's clock.
        name: of the process, for messages.
    """

    def __init__(self, kernel: Kernel, name: str) -> None:
        self._kernel, self.name = kernel, name
        self.dead = False
        self._paused = False
        self._waiting: list[asyncio.Handle] = []
        """Callbacks that were due while the process was paused."""
        self._tasks: WeakSet[asyncio.Task[Any]] = WeakSet()
        self.errors: list[str] = []
        """What no code of the process has caught: faults of the program."""

    # --- the life of the process -----------------------------------------------------------------------------------

    def kill(self) -> None:
        """Nothing of this process runs any more."""
        self.dead = True
        self._waiting.clear()
        for task in self._tasks:
            coro = task.get_coro()
            if inspect.iscoroutine(coro) and inspect.getcoroutinestate(coro) == inspect.CORO_CREATED:
                coro.close()  # Python would warn of one that never ran

    def pause(self) -> None:
        """The process stops where it stands."""
        self._paused = True

    def resume(self) -> None:
        """The process goes on, with what was due meanwhile."""
        self._paused = False
        waiting, self._waiting = self._waiting, []
        for handle in waiting:
            self._kernel.after(0.0, self._run, handle)

    def start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run a coroutine as a task of this process; called from outside of it."""
        return self.create_task(work)

    def _run(self, handle: asyncio.Handle) -> None:
        if self.dead or handle.cancelled():
            return
        if self._paused:
            self._waiting.append(handle)
            return
        before = asyncio._get_running_loop()
        asyncio._set_running_loop(self)
        try:
            handle._run()
        finally:
            asyncio._set_running_loop(before)

    # --- what asyncio asks of a loop -------------------------------------------------------------------------------

    def time(self) -> float:
        """Seconds since the beginning of the world."""
        return self._kernel.now

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """Call it in the next turn."""
        handle = asyncio.Handle(callback, args, self, context)
        self._kernel.after(0.0, self._run, handle)
        return handle

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """As `call_soon`: a world has one thread."""
        return self.call_soon(callback, *args, context=context)

    def call_later(
        self, delay: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Call it so many seconds later."""
        return self.call_at(self._kernel.now + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Call it at that time."""
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._kernel.at(when, self._run, handle)
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """A cancelled callback is skipped when its time has come."""

    def create_future(self) -> asyncio.Future[Any]:
        """A future of this loop."""
        return asyncio.Future(loop=self)

    def create_task(
        self,
        coro: Generator[Any, None, T] | Coroutine[Any, Any, T],
        *,
        name: str | None = None,
        context: Context | None = None,
    ) -> asyncio.Task[T]:
        """A task of this loop."""
        if self.dead:
            coro.close()  # a process that is gone begins nothing
            return cast(asyncio.Task[T], self.create_future())
        task = asyncio.Task(coro, loop=self, name=name, context=context)
        self._tasks.add(task)
        return task

    def run_in_executor(
        self, executor: object, func: Callable[[*Ts], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """Do it now; the caller hears of it in the next turn."""
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Keep what no code has caught. What a killed process leaves behind is of no interest."""
        error = context.get("exception")
        if not self.dead and not isinstance(error, ProcessKilledError):
            self.errors.append(f"{context.get('message', '')}: {error!r}")

    def get_debug(self) -> bool:
        """Never."""
        return False

    def is_running(self) -> bool:
        """As long as the process lives."""
        return not self.dead

    def is_closed(self) -> bool:
        """Once the process is dead."""
        return self.dead
