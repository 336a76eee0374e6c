"""The corpus that every machine already has: the source text of its Python installation.

Machines agree on it when they run the same Python release, whatever virtual environment they run it from. Parts that
distributors tend to split off or to patch are left out, and so are tests, which would be two thirds of the text.
What is left is 9 to 10 MB.
"""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator.data.digest import digest_all
from orchestrator.data.errors import DataError

_SKIPPED_FOLDERS = frozenset({"__pycache__", "site-packages", "dist-packages", "test", "tests", "idle_test"})
_SPLIT_OFF = frozenset({"distutils", "ensurepip", "idlelib", "lib2to3", "msilib", "tkinter", "turtledemo"})


class StandardLibrary:
    """All `*.py` of the standard library, sorted by their path relative to it; one document a file.

    Only what belongs to a module that Python itself lists as its own counts: neither what pip installs nor a
    distributor's `sitecustomize.py` or a build's `_sysconfigdata` changes the corpus.
    """

    def __init__(self, root: Path | None = None) -> None:
        """Use the running interpreter's library, or the one at `root`. Raises DataError when it has no source text."""
        self._root = root or Path(sysconfig.get_path("stdlib"))
        self._paths = sorted(_sources(self._root, "", top=True))
        if not self._paths:
            raise DataError(
                f"data.source 'stdlib': {self._root} holds no Python source text; name another corpus in data.source."
            )

    def __iter__(self) -> Iterator[bytes]:
        """Yield one document a file. Raises DataError when one cannot be read."""
        for path in self._paths:
            with _readable():
                document = (self._root / path).read_bytes()
            if document:
                yield document

    def stamp(self) -> str:
        """Hash every file's relative path, size and time of change."""
        return digest_all(f"{path} {size} {changed}" for path, size, changed in self._status())

    def _status(self) -> Iterator[tuple[str, int, int]]:
        for path in self._paths:
            with _readable():
                status = (self._root / path).stat()
            yield path, status.st_size, status.st_mtime_ns


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(
            f"data.source 'stdlib' cannot be read ({error}); repair the Python installation or name another corpus in "
            "data.source."
        ) from error


def _sources(folder: Path, prefix: str, *, top: bool = False) -> Iterator[str]:
    """Yield the relative posix paths of the files that count, below `folder`."""
    for entry in folder.iterdir() if folder.is_dir() else ():
        if top and not _is_ours(entry.name):
            continue
        if entry.suffix == ".py":
            yield prefix + entry.name
        elif entry.name not in _SKIPPED_FOLDERS and entry.is_dir():
            yield from _sources(entry, f"{prefix}{entry.name}/")


def _is_ours(name: str) -> bool:
    module = name.removesuffix(".py")
    return module in sys.stdlib_module_names and module not in _SPLIT_OFF
