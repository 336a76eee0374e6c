"""A filesystem over another one whose operations stop the process, fail, or are lost, repeated or late."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from enum import Enum
from typing import Any

from fsspec.spec import AbstractFileSystem


class Fault(Enum):
    """What happens to an operation that changes something."""

    NONE = "none"
    STOP = "the process ends before it"
    STOP_HALF = "the process ends in the middle: half of what it wrote is there"
    STOP_AFTER = "the process ends right after it"
    FAIL = "it is not done, and an error says so"
    FAIL_AFTER = "it is done, and an error says it is not"
    LOSE = "it is not done, and nobody says so"
    TWICE = "it is done twice"
    LATE = "it is done some operations later"
    LATE_AGAIN = "it is done, and again some operations later"
    FULL = "there is no room"


class Stopped(BaseException):
    """The process is dead; nothing may catch it and go on."""


class FaultyFileSystem(AbstractFileSystem):
    """Passes everything on to `inner`; each operation that changes something asks `plan` first.

    Args:
        inner: the filesystem that keeps the files.
        plan: from the operation's number and name to what happens to it.
        read_fails: from the number of an operation that only looks to whether it fails.
        late_by: operations until a late one is done.
    """

    cachable = False

    def __init__(
        self,
        inner: AbstractFileSystem,
        plan: Callable[[int, str], Fault],
        read_fails: Callable[[int], bool] = lambda number: False,
        late_by: int = 7,
    ) -> None:
        super().__init__()
        self.protocol = inner.protocol
        self._inner, self._plan, self._read_fails, self._late_by = inner, plan, read_fails, late_by
        self._late: list[tuple[int, Callable[[], None]]] = []
        self.changes = self.looks = 0
        self.log: list[str] = []
        self._dead = False

    # Operations that change something

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:
        self._change(f"put {path}", lambda: self._inner.pipe_file(path, value))

    def rm_file(self, path: str) -> None:
        self._change(f"delete {path}", lambda: self._inner.rm_file(path))

    def mv(self, path1: str, path2: str, **kwargs: Any) -> None:
        self._change(f"rename {path2}", lambda: self._inner.mv(path1, path2))

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        self._change(f"make {path}", lambda: self._inner.makedirs(path, exist_ok=exist_ok))

    def rmdir(self, path: str) -> None:
        self._change(f"remove {path}", lambda: self._inner.rmdir(path))

    def write(self, file: Any, data: Any) -> None:
        """Write to an open file."""
        half = bytes(data)[: len(data) // 2]
        self._change("write", lambda: file.write(data), lambda: (file.write(half), file.flush()))

    # Operations that look

    def open(self, path: str, mode: str = "rb", **kwargs: Any) -> Any:
        if mode == "rb":
            self._look()
            return self._inner.open(path, mode, **kwargs)
        self._change(f"open {path}", lambda: None)
        return _File(self, self._inner.open(path, mode, **kwargs))

    def info(self, path: str, **kwargs: Any) -> Any:
        self._look()
        return self._inner.info(path, **kwargs)

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> Any:
        self._look()
        return self._inner.ls(path, detail=detail, **kwargs)

    def find(self, path: str, *args: Any, **kwargs: Any) -> Any:
        self._look()
        return self._inner.find(path, *args, **kwargs)

    def isdir(self, path: str) -> bool:
        self._look()
        return bool(self._inner.isdir(path))

    def flush_late(self) -> None:
        """Do what is late now."""
        late, self._late = self._late, []
        for _, operation in late:
            _quietly(operation)

    def _look(self) -> None:
        if self._dead:
            raise Stopped
        self.looks += 1
        if self._read_fails(self.looks):
            raise OSError("the store did not answer")

    def _change(self, name: str, do: Callable[[], Any], half: Callable[[], Any] | None = None) -> None:
        if self._dead:
            raise Stopped
        number = self.changes
        self.changes += 1
        self.log.append(name)
        for due, operation in [one for one in self._late if one[0] <= number]:
            self._late.remove((due, operation))
            _quietly(operation)
        fault = self._plan(number, name)
        if fault in (Fault.STOP, Fault.STOP_HALF):
            self._dead = True
            if fault is Fault.STOP_HALF and half is not None:
                half()
            raise Stopped
        if fault is Fault.STOP_AFTER:
            self._dead = True
            _quietly(do)
            raise Stopped
        if fault is Fault.FAIL:
            raise OSError("the store refused")
        if fault is Fault.FULL:
            raise OSError(28, "No space left on device")
        if fault is Fault.LATE or fault is Fault.LATE_AGAIN:
            self._late.append((number + self._late_by, do))
        if fault not in (Fault.LATE, Fault.LOSE):
            do()
        if fault is Fault.TWICE:
            _quietly(do)
        if fault is Fault.FAIL_AFTER:
            raise OSError("the store did not confirm")


class _File:
    """An open file whose writes are operations."""

    def __init__(self, fs: FaultyFileSystem, file: Any) -> None:
        self._fs, self._file = fs, file

    def write(self, data: Any) -> None:
        self._fs.write(self._file, data)

    def flush(self) -> None:
        self._file.flush()

    def fileno(self) -> int:
        return int(self._file.fileno())

    def __enter__(self) -> _File:
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()


def _quietly(operation: Callable[[], Any]) -> None:
    """A repeat of a deletion finds nothing to delete; the store says so to nobody."""
    with contextlib.suppress(OSError):
        operation()
