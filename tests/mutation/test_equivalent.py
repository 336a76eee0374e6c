"""Mutants that are set aside: by what they say, for a reason, and no longer than there is such code."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.mutation import equivalent
from tests.mutation.equivalent import Equivalent
from tests.mutation.mutant import Mutant
from tests.mutation.points import Point, points
from tests.mutation.source import Source
from tests.mutation.targets import area_of

TEXT = "class A:\n    def f(self, a):\n        return a < 1\n"
ENTRY = Equivalent("a.py", "A.f", "comparison", "return a < 1", "return a <= 1", "a is never 1 here")


def comparison(text: str) -> tuple[Point, list[Mutant]]:
    found = next(each for each in points(Source("a.py", text.encode())) if each.spot.operator == "comparison")
    return found, [Mutant(found, change) for change in found.spot.changes]


def test_an_entry_matches_its_mutant_wherever_the_function_stands() -> None:
    for text in (TEXT, "import os\n\n\n" + TEXT):
        _, (or_equal, greater) = comparison(text)
        assert equivalent.reason([ENTRY], or_equal) == "a is never 1 here"
        assert equivalent.reason([ENTRY], greater) == ""


def test_a_star_stands_for_all_that_the_operator_makes_of_a_text() -> None:
    _, mutants = comparison(TEXT)
    entry = replace(ENTRY, after="*")
    assert [equivalent.reason([entry], mutant) for mutant in mutants] == ["a is never 1 here"] * 2


@pytest.mark.parametrize(
    "other",
    [{"file": "b.py"}, {"function": "A.g"}, {"operator": "number"}, {"before": "return a < 2"}, {"after": "return 1"}],
    ids=lambda other: next(iter(other)),
)
def test_an_entry_that_nothing_matches_any_more_is_told(other: dict[str, str]) -> None:
    point, _ = comparison(TEXT)
    entry = replace(ENTRY, **other)
    assert equivalent.stale([ENTRY, entry], [point]) == [entry]


def test_an_entry_needs_a_reason_in_words() -> None:
    with pytest.raises(ValueError, match="no reason"):
        replace(ENTRY, reason="equivalent")


def test_entries_are_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "equivalent.toml"
    assert equivalent.load(path) == []
    names = ("file", "function", "operator", "before", "after", "reason")
    lines = [f'{name} = "{getattr(ENTRY, name)}"' for name in names]
    path.write_text("\n".join(["[[equivalent]]", *lines]), encoding="utf-8")
    assert equivalent.load(path) == [ENTRY]


def test_the_entries_of_the_project_are_of_files_that_are_mutated() -> None:
    assert [entry.file for entry in equivalent.load() if not area_of(entry.file)] == []
