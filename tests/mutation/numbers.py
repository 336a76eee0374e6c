"""Constants: whole numbers, True and False, strings that are compared or are keys, bounds of slices."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.mutation.source import Change, Source, called
from tests.mutation.spot import Spot

BY_KEY = {"get", "pop", "setdefault"}


def number(source: Source, node: ast.AST) -> Iterator[Spot]:
    """One more or one less."""
    parent = source.parents.get(node)
    if isinstance(parent, ast.Slice) or _power_of_two(parent, node):
        return
    if isinstance(node, ast.Constant) and type(node.value) is int:
        near = (node.value + 1, node.value - 1)
        yield Spot("number", node, tuple(source.instead(node, str(new)) for new in near if new >= 0))


def _power_of_two(parent: ast.AST | None, node: ast.AST) -> bool:
    """Whether a node is the 1 of `1 << n`, of which n is the number."""
    shift = isinstance(parent, ast.BinOp) and isinstance(parent.op, ast.LShift) and parent.left is node
    return shift and isinstance(node, ast.Constant) and node.value == 1


def boolean(source: Source, node: ast.AST) -> Iterator[Spot]:
    """True for False."""
    parent = source.parents.get(node)
    if isinstance(parent, ast.While) or (isinstance(parent, ast.keyword) and parent.arg == "strict"):
        return
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield Spot("boolean", node, (source.instead(node, str(not node.value)),))


def string(source: Source, node: ast.AST) -> Iterator[Spot]:
    """Another string where it is compared or is a key."""
    if not isinstance(node, ast.Constant) or not isinstance(node.value, str | bytes):
        return
    text = source.text(node)
    if _selects(source.parents[node], node) and text.count(text[-1]) == 2:
        yield Spot("string", node, (Change(source.end(node) - 1, source.end(node) - 1, "_"),))


def _selects(parent: ast.AST, node: ast.Constant) -> bool:
    match parent:
        case ast.Compare():
            return True
        case ast.Dict(keys=keys):
            return node in keys
        case ast.Subscript(slice=key):
            return key is node
        case ast.Call(args=[first, *_]):
            return first is node and called(parent) in BY_KEY
    return False


def slice_bound(source: Source, node: ast.AST) -> Iterator[Spot]:
    """A slice that begins or ends one off."""
    if not isinstance(node, ast.Slice):
        return
    for bound in (node.lower, node.upper):
        if bound is None:
            continue
        if isinstance(bound, ast.Constant) and type(bound.value) is int:
            near = [str(new) for new in (bound.value + 1, bound.value - 1) if new >= 0]
        else:
            text = source.text(bound)
            around = text if isinstance(bound, ast.Name | ast.Attribute | ast.Call | ast.Subscript) else f"({text})"
            near = [f"{around} + 1", f"{around} - 1"]
        yield Spot("slice", node, tuple(source.instead(bound, new) for new in near))
