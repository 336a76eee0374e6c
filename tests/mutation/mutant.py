"""A mutant: a file with one small mistake."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from functools import cached_property

from tests.mutation.points import Point
from tests.mutation.source import Change


@dataclass(frozen=True)
class Mutant:
    """One change at one point."""

    point: Point
    change: Change

    @property
    def file(self) -> str:
        return self.point.source.name

    @cached_property
    def line(self) -> int:
        """Line of the first character that is changed."""
        return self.point.source.data.count(b"\n", 0, self.change.start) + 1

    @property
    def function(self) -> str:
        return self.point.function

    @property
    def operator(self) -> str:
        return self.point.spot.operator

    @cached_property
    def texts(self) -> tuple[str, str]:
        """What stands there, and what stands there instead."""
        return self.point.source.shown(self.change, self.point.spot.node)

    @cached_property
    def data(self) -> bytes:
        """The file with the mistake."""
        return self.point.source.changed(self.change)

    def __str__(self) -> str:
        return f"{self.file}:{self.line} {self.operator} | {self.texts[0]} -> {self.texts[1]}"

    def diff(self) -> str:
        """Return the change as a diff with two lines around it."""
        before = self.point.source.data.decode().splitlines(keepends=True)
        after = self.data.decode().splitlines(keepends=True)
        return "".join(difflib.unified_diff(before, after, self.file, self.file, n=2))
