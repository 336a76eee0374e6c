"""A source file with its syntax tree and the place of every node in its bytes."""

from __future__ import annotations

import ast
from dataclasses import dataclass

Block = list[ast.stmt]

BLOCKS = ("body", "orelse", "finalbody")
WIDTH = 72
"""A mutant is shown with as much of the expression around it as fits in so many characters."""


@dataclass(frozen=True)
class Change:
    """Bytes `start` to `end` become `new`."""

    start: int
    end: int
    new: str


class Source:
    """One file, parsed."""

    def __init__(self, name: str, data: bytes) -> None:
        self.name = name
        self.data = data
        self.tree = ast.parse(data)
        self._lines = [0]
        for line in data.splitlines(keepends=True):
            self._lines.append(self._lines[-1] + len(line))
        self.parents: dict[ast.AST, ast.AST] = {
            child: node for node in ast.walk(self.tree) for child in ast.iter_child_nodes(node)
        }

    def start(self, node: ast.AST) -> int:
        """Offset of the first byte of a node."""
        return self._lines[getattr(node, "lineno", 1) - 1] + int(getattr(node, "col_offset", 0))

    def end(self, node: ast.AST) -> int:
        """Offset after the last byte of a node."""
        return self._lines[getattr(node, "end_lineno", 1) - 1] + int(getattr(node, "end_col_offset", 0))

    def between(self, start: int, end: int) -> str:
        """Text of a range of bytes."""
        return self.data[start:end].decode()

    def text(self, node: ast.AST) -> str:
        """Text of a node as it stands in the file."""
        return self.between(self.start(node), self.end(node))

    def instead(self, node: ast.AST, new: str) -> Change:
        """Return the change that replaces a whole node."""
        return Change(self.start(node), self.end(node), new)

    def changed(self, change: Change) -> bytes:
        """Return the file with one change."""
        return self.data[: change.start] + change.new.encode() + self.data[change.end :]

    def statement(self, node: ast.AST) -> ast.stmt | None:
        """Innermost statement that holds a node; the node itself if it is one."""
        while not isinstance(node, ast.stmt):
            if node not in self.parents:
                return None
            node = self.parents[node]
        return node

    def above(self, node: ast.AST) -> list[ast.AST]:
        """All that a node lies in, innermost first."""
        found = []
        while node in self.parents:
            node = self.parents[node]
            found.append(node)
        return found

    def inside_function(self, node: ast.AST) -> bool:
        """Whether a node runs when a function is called, rather than when the module is imported.

        Defaults of parameters belong to the `def`, which runs earlier.
        """
        statement = self.statement(node)
        return statement is not None and any(
            isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) for each in self.above(statement)
        )

    def function(self, node: ast.AST) -> str:
        """Qualified name of the function or class that a node lies in; "" at the top of the module."""
        kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
        names = [each.name for each in (node, *self.above(node)) if isinstance(each, kinds)]
        return ".".join(reversed(names))

    def shown(self, change: Change, node: ast.AST) -> tuple[str, str]:
        """Return a readable piece of text around a change, before and after it."""
        best: ast.AST = node
        for each in (node, *self.above(node)):
            if isinstance(each, ast.stmt) and not isinstance(node, ast.stmt) and hasattr(each, "body"):
                break
            if hasattr(each, "lineno") and self.start(each) <= change.start and change.end <= self.end(each):
                short = len(" ".join(self.text(each).split())) <= WIDTH
                if short or self.end(best) < change.end or self.start(best) > change.start:
                    best = each
            if isinstance(each, ast.stmt):
                break
        start, end = min(self.start(best), change.start), max(self.end(best), change.end)
        before = self.between(start, end)
        after = self.between(start, change.start) + change.new + self.between(change.end, end)
        return " ".join(before.split()), " ".join(after.split())


def blocks(node: ast.AST) -> list[Block]:
    """Return the lists of statements of a compound statement."""
    found = (getattr(node, name, None) for name in BLOCKS)
    return [block for block in found if isinstance(block, list) and block]


def called(node: ast.AST) -> str:
    """Last part of the name of what a call calls; "" when it has none."""
    if not isinstance(node, ast.Call):
        return ""
    return node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
