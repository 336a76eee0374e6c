"""Which tests are run against a mutant: those that reach its statement, the quickest first, within a budget."""

from __future__ import annotations

import ast
from collections import defaultdict
from dataclasses import dataclass

from tests.mutation.covering import Covering, KnownTest
from tests.mutation.mutant import Mutant
from tests.mutation.source import Source

QUICK_S = 2.0
"""The first batch takes so long; most mutants are noticed there."""
FILE_S = 0.3
"""What a test file costs by itself."""
CASES = 3
"""So many cases of a parametrised test are in the first batch."""


@dataclass(frozen=True)
class Choice:
    """Tests in the batches in which they are run."""

    batches: tuple[tuple[KnownTest, ...], ...]
    covering: int
    left_out: int
    """Tests that reach the statement and do not fit into the budget."""


class Chooser:
    """Chooses tests for mutants."""

    def __init__(self, covering: Covering, sources: dict[str, Source], budget: float) -> None:
        self._covering = covering
        self._budget = budget
        self._mentions: dict[str, set[tuple[str, int]]] = defaultdict(set)
        """Name -> statements inside functions that mention it."""
        for source in sources.values():
            self._index(source)

    def choose(self, mutant: Mutant) -> Choice:
        """Return the tests for a mutant; none if no test reaches it."""
        tests = [self._covering.tests[name] for name in self._reaching(mutant)]
        tests.sort(key=lambda test: (test.alone, test.name))
        left = self._budget
        quick: list[KnownTest] = []
        rest: list[KnownTest] = []
        made: set[str] = set()
        """Files that are imported and fixtures that are made for tests that are run anyway."""
        cases: dict[str, int] = defaultdict(int)
        spent = 0.0
        for test in tests:
            needed = {test.file: FILE_S, **dict(test.shared)}
            cost = test.seconds + sum(seconds for name, seconds in needed.items() if name not in made)
            if cost > left and made:
                continue
            left -= cost
            made |= needed.keys()
            function = test.name.split("[")[0]
            cases[function] += 1
            if cases[function] > CASES:
                rest.append(test)
                continue
            spent += cost
            (quick if spent <= QUICK_S else rest).append(test)
        batches = tuple(_in_files(batch) for batch in (quick, rest) if batch)
        return Choice(batches, len(tests), len(tests) - len(quick) - len(rest))

    def _reaching(self, mutant: Mutant) -> set[str]:
        source, node = mutant.point.source, mutant.point.spot.node
        statement = source.statement(node)
        if statement is None:
            return set()
        if source.inside_function(node):
            return self._covering.reaching(source.name, {statement.lineno})
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):  # a default: all who run the function
            return self._covering.reaching(source.name, {each.lineno for each in statement.body})
        found = {
            test
            for name in _bound(statement)
            for file, line in self._mentions[name]
            for test in self._covering.reaching(file, {line})
        }
        return found or self._covering.reaching(source.name) or self._covering.importing(source.name)

    def _index(self, source: Source) -> None:
        for node in ast.walk(source.tree):
            name = node.id if isinstance(node, ast.Name) else getattr(node, "attr", None)
            if isinstance(node, ast.keyword):
                name = node.arg
            if name and source.inside_function(node):
                statement = source.statement(node)
                assert statement is not None
                self._mentions[name].add((source.name, statement.lineno))


def _bound(statement: ast.stmt) -> set[str]:
    """Names that a statement of a module or a class gives a value."""
    return {
        each.id for each in ast.walk(statement) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)
    }  # fmt: skip


def _in_files(tests: list[KnownTest]) -> tuple[KnownTest, ...]:
    """Keep the tests of a file together, as fixtures of a file are made once; the quickest files first."""
    seconds: dict[str, float] = defaultdict(float)
    for test in tests:
        seconds[test.file] += test.seconds
    return tuple(sorted(tests, key=lambda test: (seconds[test.file], test.file, test.seconds)))
