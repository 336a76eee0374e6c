"""Shared memory in which a copy of the tree marks the statements that are reached."""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from pathlib import Path

from tests.mutation.instrument import NAME, instrument

MEMORY = ".reached"
CUSTOMIZE = f'''"""Gives every Python process that is started in this copy the memory in which statements are marked."""
import builtins, mmap, pathlib
with pathlib.Path(__file__).with_name("{MEMORY}").open("r+b") as _file:
    builtins.{NAME} = mmap.mmap(_file.fileno(), 0)
'''


@dataclass(frozen=True)
class Places:
    """Which statement each byte of the memory stands for."""

    files: tuple[str, ...]
    firsts: tuple[int, ...]
    lines: tuple[tuple[int, ...], ...]

    def named(self, numbers: set[int]) -> dict[str, list[int]]:
        """Return file -> first lines of the statements with these numbers."""
        found: dict[str, list[int]] = {}
        for file, first, lines in zip(self.files, self.firsts, self.lines, strict=True):
            reached = {line for place, line in enumerate(lines, first) if place in numbers}
            if reached:
                found[file] = sorted(reached)
        return found


def prepare(copy: Path, files: list[str]) -> Places:
    """Make a copy of the tree mark what it reaches in these files."""
    firsts, lines, total = [], [], 0
    for name in files:
        text, marked = instrument((copy / name).read_bytes(), total)
        (copy / name).write_text(text, encoding="utf-8")
        firsts.append(total)
        lines.append(tuple(marked))
        total += len(marked)
    (copy / MEMORY).write_bytes(bytes(max(1, total)))
    (copy / "sitecustomize.py").write_text(CUSTOMIZE, encoding="utf-8")
    return Places(tuple(files), tuple(firsts), tuple(lines))


class Memory:
    """The memory, for the process that runs tests: read and emptied between them."""

    def __init__(self, copy: Path) -> None:
        with (copy / MEMORY).open("r+b") as file:
            self._bytes = mmap.mmap(file.fileno(), 0)

    def take(self) -> set[int]:
        """Return the numbers that were marked, and forget them."""
        held = self._bytes[:]
        self._bytes[:] = bytes(len(held))
        return {place for place, mark in enumerate(held) if mark}
