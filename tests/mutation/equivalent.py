"""Mutants that change nothing that the rules speak of, each with the reason in words: `equivalent.toml`.

An entry names file, function, operator and the text before and after, so that it outlives changes elsewhere in the
file. It stands for all places that read the same. `after = "*"` stands for whatever the operator makes of that text.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from tests.mutation.mutant import Mutant
from tests.mutation.points import Point

FILE = Path(__file__).with_name("equivalent.toml")


@dataclass(frozen=True)
class Equivalent:
    """One entry."""

    file: str
    function: str
    operator: str
    before: str
    after: str
    reason: str

    def __post_init__(self) -> None:
        if len(self.reason.split()) < 3:
            raise ValueError(f"{self}: no reason")

    def matches(self, mutant: Mutant) -> bool:
        """Whether a mutant is this one."""
        before, after = mutant.texts
        place = (self.file, self.function, self.operator, self.before)
        return place == (mutant.file, mutant.function, mutant.operator, before) and self.after in ("*", after)


def load(path: Path = FILE) -> list[Equivalent]:
    """Read all entries."""
    if not path.exists():
        return []
    return [Equivalent(**entry) for entry in tomllib.loads(path.read_text(encoding="utf-8")).get("equivalent", [])]


def reason(entries: list[Equivalent], mutant: Mutant) -> str:
    """Return why a mutant is set aside, "" if it is not."""
    return next((entry.reason for entry in entries if entry.matches(mutant)), "")


def stale(entries: list[Equivalent], points: list[Point]) -> list[Equivalent]:
    """Return the entries that no mutant of the code as it is now matches."""
    wanted = {(entry.file, entry.function, entry.operator) for entry in entries}
    possible = [
        Mutant(point, change)
        for point in points
        if (point.source.name, point.function, point.spot.operator) in wanted
        for change in point.spot.changes
    ]
    return [entry for entry in entries if not any(entry.matches(mutant) for mutant in possible)]
