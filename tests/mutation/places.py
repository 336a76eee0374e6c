"""Which nodes of a file may be mutated: code that does something, not text for people and not types."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.mutation.source import Source, called

LOGS = {"log", "logger", "logging", "warnings"}
NOTES = {"note", "_note", "Note", "ignore"}
"""What is written in the run's notes: the call may be deleted, the words in it are not mutated."""
NAMES_OF_TYPES = {"isinstance", "issubclass", "cast", "TypeVar", "field"}
TEXTS = {"__repr__", "__str__"}


def is_log(node: ast.AST) -> bool:
    """Whether a statement or a call only logs."""
    if isinstance(node, ast.Expr):
        node = node.value
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return False
    owner = node.func.value
    return (owner.id if isinstance(owner, ast.Name) else getattr(owner, "attr", "")).lstrip("_") in LOGS


def is_note(node: ast.AST) -> bool:
    """Whether a statement or a call only writes a note."""
    return called(node.value if isinstance(node, ast.Expr) else node) in NOTES


def is_prose(node: ast.AST) -> bool:
    """Whether an expression is text for people."""
    if isinstance(node, ast.IfExp):
        return is_prose(node.body) or is_prose(node.orelse)
    if isinstance(node, ast.BoolOp):
        return any(is_prose(value) for value in node.values)
    if isinstance(node, ast.BinOp):
        return is_prose(node.left) or is_prose(node.right)
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return " " in node.value.strip()
    return isinstance(node, ast.JoinedStr)


def mutable(source: Source) -> Iterator[ast.AST]:
    """All nodes of a file that operators may look at, in order."""
    for statement in source.tree.body:
        yield from _walk(source, statement)


def _walk(source: Source, node: ast.AST) -> Iterator[ast.AST]:
    if _left_out(source, node):
        return
    yield node
    for child in _inner(node):
        yield from _walk(source, child)


def _left_out(source: Source, node: ast.AST) -> bool:
    match node:
        case ast.Assert() | ast.Import() | ast.ImportFrom() | ast.JoinedStr() | ast.pattern():
            return True
        case ast.Expr(value=ast.Constant()):
            return True
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            return name in TEXTS
        case ast.ClassDef(bases=bases):
            return any(_last_name(base) == "Protocol" for base in bases)
        case ast.If(test=test):
            return _last_name(test) == "TYPE_CHECKING" or "__name__" in source.text(test)
        case ast.AnnAssign(value=None):
            return True
        case ast.Assign(targets=[ast.Name(id=name)]):
            return name in LOGS | {"__all__", "__slots__"} or (not source.inside_function(node) and _type(node.value))
    return is_log(node) or is_prose(node)


def _last_name(node: ast.AST) -> str:
    if isinstance(node, ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else getattr(node, "attr", "")


def _type(value: ast.expr) -> bool:
    """Whether the value of a module's name is a type, as in `Key = tuple[str, int]`."""
    allowed = (ast.Name, ast.Attribute, ast.Subscript, ast.BinOp, ast.BitOr, ast.Tuple, ast.List, ast.Load)
    some = any(isinstance(each, ast.Subscript | ast.BitOr) for each in ast.walk(value))
    return some and all(
        isinstance(each, allowed) or (isinstance(each, ast.Constant) and each.value in (None, ...))
        for each in ast.walk(value)
    )


def _inner(node: ast.AST) -> list[ast.AST]:
    """The children of a node in which there may be something to mutate."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            defaults = [each for each in (*node.args.defaults, *node.args.kw_defaults) if each is not None]
            return [*defaults, *node.body]
        case ast.ClassDef():
            return [*node.body]
        case ast.Lambda():
            return [node.body]
        case ast.AnnAssign():
            return [node.target, *([node.value] if node.value else [])]
        case ast.Call() if called(node) in NAMES_OF_TYPES:
            return [*node.args[:1]] if called(node) == "isinstance" else []
        case ast.Call() if is_note(node):
            return []
        case ast.Raise():
            return []  # which error it is shows in its type; the rest is text
    return list(ast.iter_child_nodes(node))
