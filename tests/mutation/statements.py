"""Statements: one left out, an early exit that is another one or none."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.mutation.source import Source, blocks
from tests.mutation.spot import Spot


def deleted(source: Source, node: ast.AST) -> Iterator[Spot]:
    """A call, an assignment to an attribute or an item, or an augmented assignment left out."""
    match node:
        case ast.Expr(value=ast.Call() | ast.Await()) | ast.AugAssign() | ast.Delete():
            pass
        case ast.Assign(targets=targets) if any(isinstance(each, ast.Attribute | ast.Subscript) for each in targets):
            pass
        case ast.AnnAssign(target=ast.Attribute() | ast.Subscript()):
            pass
        case _:
            return
    yield Spot("deleted", node, (source.instead(node, "pass"),))


def early_exit(source: Source, node: ast.AST) -> Iterator[Spot]:
    """An early `return` left out, `break` for `continue`."""
    new: tuple[str, ...]
    match node:
        case ast.Return(value=value):
            if _at_the_end(source, node, (ast.FunctionDef, ast.AsyncFunctionDef), nested=value is None):
                return
            new = ("pass",)
        case ast.Continue():
            last = _at_the_end(source, node, (ast.For, ast.AsyncFor, ast.While), nested=True)
            new = ("break",) if last else ("break", "pass")
        case ast.Break():
            new = ("continue", "pass")
        case _:
            return
    yield Spot("early-exit", node, tuple(source.instead(node, each) for each in new))


def _at_the_end(source: Source, node: ast.stmt, kinds: tuple[type[ast.AST], ...], nested: bool) -> bool:
    """Whether a statement is the last of what it leaves: nothing would follow. `nested` counts branches at the end."""
    inner: ast.AST = node
    for outer in source.above(node):
        block = next((each for each in blocks(outer) if inner in each), None)
        if block is not None and block[-1] is not inner:
            return False
        if isinstance(outer, kinds):
            return nested or inner is node
        if isinstance(outer, ast.For | ast.AsyncFor | ast.While):
            return False
        inner = outer
    return False
