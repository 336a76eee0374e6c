"""Text, JSON lines and their compressed forms, from any place that fsspec reaches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO

import fsspec
import fsspec.core

from orchestrator.data.digest import digest, digest_all
from orchestrator.data.errors import DataError
from orchestrator.data.formats import json_documents, text_documents

_COMPRESSIONS = (".gz", ".bz2", ".xz")
_JSON_LINES = (".jsonl", ".json", ".ndjson")
_CHANGE_MARKS = ("mtime", "ETag", "LastModified", "last_modified", "md5Hash", "etag")


class TextFiles:
    """The files that one fsspec URL or glob names, sorted by path.

    `.jsonl`, `.ndjson` and `.json` are read as one JSON object a line, everything else as plain text; each may be
    compressed (`.gz`, `.bz2`, `.xz`).
    """

    def __init__(self, source: str, field: str) -> None:
        """Look the files up. Raises DataError when the place cannot be reached or no file matches."""
        self._field = field
        with _readable(f"data.source '{source}'"):
            self._files, found = fsspec.core.url_to_fs(source)
            self._infos = self._look_up(found)
        if not self._infos:
            raise DataError(
                f"data.source '{source}' matches no file; check the path (a folder needs a glob: DIR/*.txt)."
            )

    def __iter__(self) -> Iterator[bytes]:
        """Yield the documents file by file. Raises DataError for what cannot be read or parsed."""
        for path in self._infos:
            with _readable(path), self._open(path) as stream:
                plain = _without_compression(path)
                if plain.endswith(_JSON_LINES):
                    yield from json_documents(stream, self._field, path)
                else:
                    yield from text_documents(stream)

    def stamp(self) -> str | None:
        """Hash every file's path, size and mark of change; None when a file system has no such mark (HTTP, memory)."""
        marks = [next((str(info[key]) for key in _CHANGE_MARKS if info.get(key)), "") for info in self._infos.values()]
        if not all(marks):
            return None
        listed = zip(self._infos.items(), marks, strict=True)
        return digest(self._field, digest_all(f"{path} {info['size']} {mark}" for (path, info), mark in listed))

    def _look_up(self, found: str) -> dict[str, dict[str, Any]]:
        """Return path -> fsspec's info, in sorted order, of the files that match."""
        if any(mark in found for mark in "*?["):
            matches: dict[str, dict[str, Any]] = self._files.glob(found, detail=True)
        else:
            matches = {}
            with suppress(FileNotFoundError):
                matches[found] = self._files.info(found)
        return {path: matches[path] for path in sorted(matches) if matches[path]["type"] == "file"}

    @contextmanager
    def _open(self, path: str) -> Iterator[BinaryIO]:
        with self._files.open(path, "rb", compression="infer") as stream:
            yield stream


def read_whole(url: str) -> bytes:
    """Return the content of one file at an fsspec URL. Raises DataError when it cannot be read."""
    with _readable(url), fsspec.open(url, "rb", compression="infer") as stream:
        content: bytes = stream.read()
        return content


def _without_compression(path: str) -> str:
    return next((path.removesuffix(end) for end in _COMPRESSIONS if path.endswith(end)), path)


@contextmanager
def _readable(place: str) -> Iterator[None]:
    """Turn whatever a file system raises into a DataError that names the place."""
    try:
        yield
    except DataError:
        raise
    except ImportError as error:
        raise DataError(f"{place} needs another package: {error} (S3: pip install 'tessera[s3]').") from error
    except Exception as error:  # each of fsspec's file systems and decompressors has errors of its own
        raise DataError(
            f"{place} cannot be read ({type(error).__name__}: {error}); check the address, the access "
            "rights and the file itself."
        ) from error
