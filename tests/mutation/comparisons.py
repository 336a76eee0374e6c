"""Operators between values: comparisons, arithmetic, `and` and `or`, sets."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tests.mutation.source import Change, Source
from tests.mutation.spot import Spot

COMPARISONS: dict[type[ast.cmpop], tuple[str, ...]] = {
    ast.Lt: ("<=", ">"),
    ast.LtE: ("<", ">="),
    ast.Gt: (">=", "<"),
    ast.GtE: (">", "<="),
    ast.Eq: ("!=",),
    ast.NotEq: ("==",),
    ast.In: ("not in",),
    ast.NotIn: ("in",),
    ast.Is: ("is not",),
    ast.IsNot: ("is",),
}
ARITHMETIC: dict[type[ast.operator], tuple[str, ...]] = {
    ast.Add: ("-",),
    ast.Sub: ("+",),
    ast.Mult: ("/", "+"),
    ast.Div: ("*",),
    ast.FloorDiv: ("*", "/"),
    ast.Mod: ("//",),
    ast.Pow: ("*",),
    ast.LShift: (">>",),
    ast.RShift: ("<<",),
    ast.BitOr: ("&",),
    ast.BitAnd: ("|",),
    ast.BitXor: ("|",),
}
SETS = {"union": "intersection", "intersection": "union", "issubset": "issuperset", "issuperset": "issubset"}
TOKEN = re.compile(r"not\s+in\b|is\s+not\b|in\b|is\b|and\b|or\b|[<>=!]=|<<|>>|\*\*|//|[-<>+*/%@|&^]")


def _token(source: Source, start: int, end: int, new: str) -> Change:
    """Replace the operator between two operands, beside which there may be parentheses and comments."""
    between = re.sub(r"#.*", lambda comment: " " * len(comment[0]), source.between(start, end))
    found = TOKEN.search(between)
    assert found is not None, between
    before = len(between[: found.start()].encode())
    return Change(start + before, start + before + len(found[0]), new)


def comparison(source: Source, node: ast.AST) -> Iterator[Spot]:
    """`<` for `<=`, `==` for `!=`, `in` for `not in`, ..."""
    if not isinstance(node, ast.Compare):
        return
    operands = [node.left, *node.comparators]
    for left, kind, right in zip(operands, node.ops, operands[1:], strict=False):
        ends = source.end(left), source.start(right)
        yield Spot("comparison", node, tuple(_token(source, *ends, new) for new in COMPARISONS[type(kind)]))


def arithmetic(source: Source, node: ast.AST) -> Iterator[Spot]:
    """`+` for `-`, `*` for `/`, `|` for `&`, also where the result is assigned (`+=`)."""
    if isinstance(node, ast.BinOp):
        if _of_text(node.left) or _of_text(node.right):
            return
        ends = source.end(node.left), source.start(node.right)
    elif isinstance(node, ast.AugAssign):
        if _of_text(node.value):
            return
        ends = source.end(node.target), source.start(node.value)
    else:
        return
    changes = [_token(source, *ends, new) for new in ARITHMETIC.get(type(node.op), ())]
    if changes:
        yield Spot("arithmetic", node, tuple(changes))


def _of_text(node: ast.AST) -> bool:
    return isinstance(node, ast.JoinedStr | ast.List | ast.Tuple) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str | bytes)
    )


def and_or(source: Source, node: ast.AST) -> Iterator[Spot]:
    """`and` for `or`, at one place of a chain."""
    if not isinstance(node, ast.BoolOp):
        return
    new = "or" if isinstance(node.op, ast.And) else "and"
    for left, right in zip(node.values, node.values[1:], strict=False):
        yield Spot("and-or", node, (_token(source, source.end(left), source.start(right), new),))


def union(source: Source, node: ast.AST) -> Iterator[Spot]:
    """`a.union(b)` for `a.intersection(b)`; `|` and `&` are arithmetic."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in SETS:
        end = source.end(node.func)
        yield Spot("union", node, (Change(end - len(node.func.attr), end, SETS[node.func.attr]),))
