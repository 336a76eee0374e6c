"""Files at a URL, through fsspec: whole puts, ranged reads, listings, deletions.

A put is atomic: a reader finds the old file or the new one, never half of one. On a local disk that takes a temporary
name, fsync and a rename; object stores put atomically. Failures are repeated, as every operation may be: puts write
the same bytes again, and a deletion of what is gone is done.
"""

from __future__ import annotations

import contextlib
import errno
import os
import posixpath
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from checkpoint.errors import StoreError
from checkpoint.files import settle
from checkpoint.retry import Retry

Answer = TypeVar("Answer")
TEMPORARY = ".writing-"
"""How names begin that are never read."""
GONE = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
"""There is no such file."""
HOPELESS = (PermissionError, NotImplementedError)
"""Errors that come again however often one tries."""
FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class FileInfo:
    """What a listing says of a file."""

    size: int
    """In bytes."""
    modified: float | None
    """Seconds since 1970 by the store's clock; None where the store does not say."""


class Store:
    """A folder at a URL. Paths are relative to it, with slashes.

    Args:
        fs: an fsspec filesystem.
        root: path of the folder in it.
        retry: how failures are repeated.
    """

    def __init__(self, fs: Any, root: str, retry: Retry | None = None) -> None:
        protocol = (fs.protocol,) if isinstance(fs.protocol, str) else tuple(fs.protocol)
        self._fs, self._root, self._retry = fs, root.rstrip("/"), retry or Retry()
        self._local = "file" in protocol

    @classmethod
    def open(cls, url: str, retry: Retry | None = None) -> Store:
        """Open the folder at `url` (`file://`, `memory://`, `s3://`, a path, ...). It need not exist yet.

        Raises StoreError where the URL has no meaning or its filesystem is not installed.
        """
        from fsspec.core import url_to_fs

        try:
            fs, root = url_to_fs(url)
        except ImportError as error:
            hint = "; install tessera[s3]" if url.startswith(("s3:", "s3a:")) else ""
            raise StoreError(f"{url!r} needs a package that is not installed ({error}){hint}.") from None
        except Exception as error:
            raise StoreError(f"{url!r} is not a URL of a folder ({_first_line(error)}).") from None
        return cls(fs, root, retry)

    def put(self, path: str, data: bytes | bytearray | memoryview) -> None:
        """Write a whole file, atomically; an existing one is replaced. Raises StoreError."""
        operation = self._put_local if self._local else self._put_object

        def write() -> None:
            try:
                operation(path, data)
            except GONE as error:  # somebody removed the empty folder meanwhile; it is made again
                raise OSError(_first_line(error)) from error

        self._repeat(f"writing {path}", write)

    def read(self, path: str, start: int, stop: int) -> bytes:
        """Return bytes start .. stop - 1, fewer where the file ends before. Raises StoreError, FileNotFoundError."""
        full = self._full(path)
        try:
            return self._repeat(f"reading {path}", lambda: self._read(full, start, stop))
        except GONE:
            raise FileNotFoundError(path) from None

    def exists(self, path: str) -> bool:
        """Whether there is a file. Raises StoreError."""
        return self.info(path) is not None

    def info(self, path: str) -> FileInfo | None:
        """Return what the store says of a file; None when there is none. Raises StoreError."""

        def ask() -> FileInfo | None:
            self._fs.invalidate_cache()
            entry = self._fs.info(self._full(path))
            return _file_info(entry) if entry.get("type") == "file" else None

        try:
            return self._repeat(f"looking at {path}", ask)
        except GONE:
            return None

    def folders(self, below: str = "") -> list[str]:
        """Return the names of the folders directly below the root or a folder, sorted. Raises StoreError."""
        full = self._full(below) if below else self._root

        def ask() -> list[str]:
            self._fs.invalidate_cache()
            entries = self._fs.ls(full, detail=True)
            return sorted(entry["name"].rstrip("/").rpartition("/")[2] for entry in entries if _is_folder(entry))

        try:
            return self._repeat(f"listing {below or 'the checkpoints'}", ask)
        except GONE:
            return []

    def files(self, folder: str) -> dict[str, FileInfo]:
        """Return all files below a folder by path; none when there is no such folder. Raises StoreError."""
        full = self._full(folder)

        def ask() -> dict[str, FileInfo]:
            self._fs.invalidate_cache()
            found: dict[str, Any] = self._fs.find(full, detail=True)
            return {folder + _tail(name, full): _file_info(entry) for name, entry in found.items()}

        try:
            return self._repeat(f"listing {folder}", ask)
        except GONE:
            return {}

    def delete(self, paths: Iterable[str]) -> None:
        """Delete files; those that are gone already are fine. Raises StoreError."""
        left = sorted(paths)
        if not self._local and len(left) > 1 and not any(mark in self._root + "".join(left) for mark in "*?["):
            with contextlib.suppress(Exception):  # many in one request; what that does not do is done below
                self._fs.rm([self._full(path) for path in left])
                return
        for path in left:
            with contextlib.suppress(FileNotFoundError):
                self._repeat(f"deleting {path}", partial(self._fs.rm_file, self._full(path)))

    def delete_folder(self, folder: str) -> None:
        """Delete all files below a folder and, where folders are things of their own, those that are empty then.

        Raises StoreError.
        """
        self.delete(self.files(folder))
        for path in (*(f"{folder}/{name}" for name in self.folders(folder)), folder):
            with contextlib.suppress(Exception):  # object stores have none; one that is not empty stays, as it should
                self._fs.rmdir(self._full(path))

    def _full(self, path: str) -> str:
        return f"{self._root}/{path}"

    def _read(self, full: str, start: int, stop: int) -> bytes:
        if start >= stop:
            return b""
        with self._fs.open(full, "rb", **({} if self._local else {"cache_type": "none"})) as file:
            file.seek(start)
            data: bytes = file.read(stop - start)
        return data

    def _put_object(self, path: str, data: bytes | bytearray | memoryview) -> None:
        self._fs.pipe_file(self._full(path), bytes(data))

    def _put_local(self, path: str, data: bytes | bytearray | memoryview) -> None:
        full = self._full(path)
        folder, name = posixpath.split(full)
        temporary = f"{folder}/{TEMPORARY}{uuid.uuid4().hex[:8]}-{name}"
        if not self._fs.isdir(folder):
            self._fs.makedirs(folder, exist_ok=True)
            _sync_folder(posixpath.dirname(self._root))
        try:
            with self._fs.open(temporary, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            self._fs.mv(temporary, full)
        except Exception:
            with contextlib.suppress(Exception):
                self._fs.rm_file(temporary)
            raise
        _sync_folder(folder)
        _sync_folder(posixpath.dirname(folder))  # whoever made the folder may have ended before it did this

    def _repeat(self, doing: str, operation: Callable[[], Answer]) -> Answer:
        """Whatever the filesystem's library raises is a failure of the store."""
        failures = 0
        while True:
            try:
                return operation()
            except GONE:
                raise
            except Exception as error:
                failures += 1
                hopeless = isinstance(error, HOPELESS) or getattr(error, "errno", None) in FULL
                if hopeless or not self._retry.wait(failures):
                    tries = "" if hopeless else f" after {failures} tries"
                    raise StoreError(f"{doing} failed{tries}: {_first_line(error)}.") from error


def _sync_folder(folder: str) -> None:
    """Make renames in a folder last through a loss of power, where the system can."""
    with contextlib.suppress(OSError):
        settle(folder)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0].rstrip(".") or type(error).__name__


def _is_folder(entry: dict[str, Any]) -> bool:
    return bool(entry.get("type") == "directory")


def _tail(name: str, full: str) -> str:
    """The part of a found path below the folder; some filesystems add a slash in front."""
    at = name.find(full.lstrip("/"))
    return name[at + len(full.lstrip("/")) :]


def _file_info(entry: dict[str, Any]) -> FileInfo:
    for key in ("mtime", "LastModified", "modified", "updated", "created"):
        value = entry.get(key)
        if value is not None and not isinstance(value, str):
            seconds = value.timestamp() if hasattr(value, "timestamp") else float(value)
            return FileInfo(int(entry["size"] or 0), seconds)
    return FileInfo(int(entry["size"] or 0), None)
