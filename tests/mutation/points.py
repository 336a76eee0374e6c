"""All points of mutation of a file, with names that outlive changes elsewhere in the file."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.mutation import calls, comparisons, conditions, numbers, statements, swaps
from tests.mutation.places import mutable
from tests.mutation.source import Change, Source
from tests.mutation.spot import Spot

OPERATORS: tuple[Callable[[Source, ast.AST], Iterator[Spot]], ...] = (
    comparisons.comparison,
    comparisons.arithmetic,
    comparisons.and_or,
    comparisons.union,
    conditions.negated,
    conditions.not_dropped,
    conditions.branch,
    conditions.filter_dropped,
    numbers.number,
    numbers.boolean,
    numbers.string,
    numbers.slice_bound,
    statements.deleted,
    statements.early_exit,
    swaps.swapped_statements,
    calls.other_function,
    calls.order_dropped,
    calls.swapped_arguments,
    calls.keyword_dropped,
)


@dataclass(frozen=True)
class Point:
    """A place where an operator can make a mistake."""

    source: Source
    spot: Spot
    function: str
    before: str
    nth: int
    """Number among those of the same function, operator and text."""

    @property
    def key(self) -> str:
        """Name that stays while the code around it changes."""
        return "|".join((self.source.name, self.function, self.spot.operator, self.before, str(self.nth)))


def points(source: Source) -> list[Point]:
    """Return every point of a file."""
    seen: Counter[tuple[str, str, str]] = Counter()
    found = []
    for node in mutable(source):
        for operator in OPERATORS:
            for spot in operator(source, node):
                before, _ = source.shown(spot.changes[0], spot.node)
                function = source.function(spot.node)
                place = (function, spot.operator, before)
                found.append(Point(source, spot, function, before, seen[place]))
                seen[place] += 1
    return found


def compiles(point: Point, change: Change) -> bool:
    """Whether a change gives a module that is another one than before."""
    try:
        tree = ast.parse(point.source.changed(change))
        compile(tree, point.source.name, "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return False
    return ast.dump(tree) != ast.dump(point.source.tree)
