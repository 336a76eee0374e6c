"""How one open file becomes documents."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import BinaryIO

from orchestrator.data.errors import DataError

PIECE = 4 * 2**20
"""Longest document cut from plain text, in bytes; bounds the memory that reading and tokenising take."""


def text_documents(stream: BinaryIO, limit: int = PIECE) -> Iterator[bytes]:
    """Yield a text file as one document, or, above `limit` bytes, as several that are cut behind a line's end.

    Where it is cut depends on the content only, not on how many bytes a read happens to return. A line longer than
    `limit` is cut inside.
    """
    waiting = b""
    while block := stream.read(limit):
        waiting += block
        while len(waiting) > limit:
            cut = waiting.rfind(b"\n", 0, limit) + 1 or limit
            yield waiting[:cut]
            waiting = waiting[cut:]
    if waiting:
        yield waiting


def json_documents(stream: BinaryIO, field: str, path: str) -> Iterator[bytes]:
    """Yield the text in `field` of every line's JSON object; blank lines and empty texts are passed over.

    Raises DataError, with file and line number, for what is no JSON object or has no text in the field.
    """
    for number, line in enumerate(stream, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise DataError(
                f"{path}, line {number} is not valid JSON ({error}); repair the line or remove it."
            ) from error
        text = row.get(field) if isinstance(row, dict) else None
        if not isinstance(text, str):
            raise DataError(f"{path}, line {number} has no text in the field '{field}'{_fields(row)}; set data.field.")
        if text:
            yield text.encode("utf-8", "replace")


def _fields(row: object) -> str:
    return f" (it has: {', '.join(sorted(row))})" if isinstance(row, dict) and row else ""
