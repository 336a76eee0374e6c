"""Two adjacent statements in the other order, where the order can make a difference."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import pairwise

from tests.mutation.places import is_log, is_note
from tests.mutation.source import Change, Source, blocks, called
from tests.mutation.spot import Spot

PURE = {
    "len", "set", "dict", "list", "tuple", "sorted", "min", "max", "frozenset", "int", "float", "str", "bytes", "sum",
    "range", "bool", "defaultdict", "deque", "enumerate", "zip", "any", "all", "abs", "isinstance", "items", "values",
    "keys", "get", "replace", "count", "reversed", "round",
}  # fmt: skip
"""Functions that change nothing; those with a capital letter, which make an object, are taken for such too."""
COLLECTS = {"append", "add", "discard", "remove", "extend", "update", "clear", "insert", "setdefault", "pop", "popleft"}
"""Methods that change what they are called on, and nothing else."""
LEAVES = (ast.Return, ast.Raise, ast.Continue, ast.Break)
NEVER = (*LEAVES, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom, ast.Assert,
         ast.Global, ast.Nonlocal, ast.Pass, ast.Try, ast.AnnAssign)  # fmt: skip


def swapped_statements(source: Source, node: ast.AST) -> Iterator[Spot]:
    """The second of two statements before the first. A block is one point, with a change for each pair."""
    if isinstance(node, ast.ClassDef):
        return
    for block in blocks(node):
        pairs = [pair for pair in pairwise(block) if _apart(*pair) and _differs(*pair)]
        if pairs:
            yield Spot("swapped-statements", pairs[0][0], tuple(_swap(source, *pair) for pair in pairs))


def _swap(source: Source, first: ast.stmt, second: ast.stmt) -> Change:
    between = source.between(source.end(first), source.start(second))
    return Change(source.start(first), source.end(second), source.text(second) + between + source.text(first))


def _apart(first: ast.stmt, second: ast.stmt) -> bool:
    return first.col_offset == second.col_offset and first.lineno != second.lineno


def _differs(first: ast.stmt, second: ast.stmt) -> bool:
    if any(isinstance(each, NEVER) or is_log(each) or is_note(each) or _text(each) for each in (first, second)):
        return False
    if _guard(first) and _guard(second):
        return False  # both leave, and which of two reasons comes first is a matter of words
    one, two = _Effects(first), _Effects(second)
    if one.binds & two.reads:
        return False  # a name that is not there yet: no mistake that is made
    if one.binds and two.binds and not one.attributes and not two.attributes:
        return False  # two values are looked up, and neither needs the other
    meets = one.writes & (two.reads | two.writes) or two.writes & one.reads
    acts = (one.acts and (two.acts or two.attributes)) or (two.acts and one.attributes)
    return bool(meets or acts)


def _guard(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and isinstance(node.body[-1], LEAVES) and not node.orelse


def _text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


class _Effects:
    """What a statement reads, writes, and whether it may do anything else."""

    def __init__(self, statement: ast.stmt) -> None:
        self.reads: set[str] = set()
        self.writes: set[str] = set()
        self.binds: set[str] = set()
        """Local names that exist from here on."""
        self.attributes = False
        """Whether it writes what others see."""
        self.acts = False
        for node in ast.walk(statement):
            self._take(node)
        if isinstance(statement, ast.Assign):
            named = (each for target in statement.targets for each in ast.walk(target) if isinstance(each, ast.Name))
            self.binds = {each.id for each in named if isinstance(each.ctx, ast.Store)}

    def _take(self, node: ast.AST) -> None:
        match node:
            case ast.Name(id=name, ctx=ast.Load()):
                self.reads.add(name)
            case ast.Name(id=name):
                self.writes.add(name)
            case ast.Attribute(ctx=ast.Load()):
                self.reads.add(ast.unparse(node))
            case ast.Attribute():
                self.writes.add(ast.unparse(node))
                self.attributes = True
            case ast.Subscript(value=value) if not isinstance(node.ctx, ast.Load):
                self.writes.add(ast.unparse(value))
                self.attributes = True
            case ast.AugAssign(target=target):
                self.reads.add(ast.unparse(target))
            case ast.Call():
                name = called(node)
                if name in COLLECTS and isinstance(node.func, ast.Attribute):
                    self.writes.add(ast.unparse(node.func.value))
                    self.attributes = True
                    return
                self.acts |= not (name in PURE or name[:1].isupper() or is_log(node) or is_note(node))
            case ast.Await() | ast.Yield() | ast.YieldFrom():
                self.acts = True
            case ast.Return() | ast.Raise() | ast.Continue() | ast.Break():
                self.acts = True
