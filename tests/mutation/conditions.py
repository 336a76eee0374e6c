"""Conditions: negated, always or never true, a `not` or a filter dropped."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.mutation.source import Source
from tests.mutation.spot import Spot

OPPOSITE = (ast.Eq, ast.NotEq, ast.In, ast.NotIn, ast.Is, ast.IsNot)
"""Comparisons whose other operator is the negation."""


def negated(source: Source, node: ast.AST) -> Iterator[Spot]:
    """`if not (...)`; a comparison or a `not` that says so itself has an operator of its own."""
    if not isinstance(node, ast.If | ast.While | ast.IfExp):
        return
    test = node.test
    plain = isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)
    opposite = isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], OPPOSITE)
    if not plain and not opposite and not isinstance(test, ast.Constant):
        text = source.text(test)
        whole = isinstance(test, ast.Name | ast.Attribute | ast.Call | ast.Compare | ast.Subscript)
        yield Spot("negated", test, (source.instead(test, f"not {text}" if whole else f"not ({text})"),))


def not_dropped(source: Source, node: ast.AST) -> Iterator[Spot]:
    """`x` for `not x`."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield Spot("not-dropped", node, (source.instead(node, source.text(node.operand)),))


def branch(source: Source, node: ast.AST) -> Iterator[Spot]:
    """A branch that is always taken, or never."""
    if isinstance(node, ast.If | ast.IfExp) and not isinstance(node.test, ast.Constant):
        changes = [source.instead(node.test, new) for new in ("True", "False")]
        yield Spot("branch", node.test, tuple(changes))


def filter_dropped(source: Source, node: ast.AST) -> Iterator[Spot]:
    """A comprehension that lets all through. `if True` says the same as no filter."""
    if isinstance(node, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
        for generator in node.generators:
            for test in generator.ifs:
                yield Spot("filter-dropped", node, (source.instead(test, "True"),))
