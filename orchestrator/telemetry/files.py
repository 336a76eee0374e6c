"""Writing results so that a crash leaves either the old file or the new one, and JSON that every reader accepts."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any, TextIO

from checkpoint.files import replacing


def plain(value: Any) -> Any:
    """The value in what JSON knows: NaN and infinities become null, keys text, tuples and sets lists, the rest text."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, Set):
        return sorted((plain(item) for item in value), key=str)
    if isinstance(value, Sequence):
        return [plain(item) for item in value]
    return str(value)


def dump(document: Mapping[str, Any]) -> str:
    """JSON with a line for every key and for every item of a list below it: short, and still good to read and diff."""
    lines = []
    for key, value in document.items():
        if isinstance(value, list) and value:
            inner = ",\n  ".join(_compact(item) for item in value)
            lines.append(f"{_compact(key)}: [\n  {inner}\n ]")
        else:
            lines.append(f"{_compact(key)}: {_compact(value)}")
    return "{\n " + ",\n ".join(lines) + "\n}\n"


def _compact(value: Any) -> str:
    return json.dumps(value, allow_nan=False, ensure_ascii=False)


def write_atomic(path: Path, text: str) -> None:
    """Replace the file in one step; a reader never sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, 0o644) as file:
        file.write(text.encode("utf-8"))


class Journal:
    """One line a commit (or an event), flushed at once, so a crash loses nothing that was committed."""

    NAME = "metrics.jsonl"
    EVENTS = "events.jsonl"

    def __init__(self, folder: Path, *, resume: bool = False, name: str = NAME) -> None:
        """Open the journal. An earlier one is kept beside it under a number, or continued when resuming."""
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / name
        if self.path.exists() and not resume:
            self.path.rename(_free_name(self.path))
        torn = self.path.exists() and self.path.read_bytes()[-1:] not in (b"", b"\n")
        self._file: TextIO = self.path.open("a", encoding="utf-8")
        if torn:  # the last writer died within a line; ours begins on a new one
            self._file.write("\n")

    def append(self, record: Mapping[str, Any]) -> None:
        """Write one line and hand it to the operating system."""
        self._file.write(_compact(plain(record)) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file; further lines would raise ValueError."""
        self._file.close()


def _free_name(path: Path) -> Path:
    number = 1
    while (other := path.with_name(f"{path.stem}.{number}{path.suffix}")).exists():
        number += 1
    return other


def read_journal(path: Path) -> list[dict[str, Any]]:
    """Lines of a journal, without a torn last one. An absent file has none."""
    if not path.exists():
        return []
    records = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return [record for record in records if isinstance(record, dict)]
