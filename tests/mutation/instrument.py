"""Source files that mark every statement they reach, for a map from statements to tests.

Before each statement inside a function stands `__reached__[n] = 1`, where `__reached__` is memory that all processes
of a test share (see `hits`). So worlds in forked processes and workers in new ones are seen, killed ones too, and tests
take hardly longer than usual.
"""

from __future__ import annotations

import ast

NAME = "__reached__"


class _Marking(ast.NodeTransformer):
    def __init__(self, first: int) -> None:
        self.lines: list[int] = []
        self._first = first
        self._depth = 0

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self._function(node)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:
        self._depth += 1
        docstring = node.body[:1] if ast.get_docstring(node, clean=False) is not None else []
        node.body = [*docstring, *self._marked(node.body[len(docstring) :])]
        self._depth -= 1
        return node

    def generic_visit(self, node: ast.AST) -> ast.AST:
        for name, value in ast.iter_fields(node):
            if isinstance(value, list) and value and isinstance(value[0], ast.stmt):
                inside = self._depth and not isinstance(node, ast.ClassDef)
                setattr(node, name, self._marked(value) if inside else [self.visit(each) for each in value])
            elif isinstance(value, list):
                for each in value:
                    if isinstance(each, ast.AST):
                        self.visit(each)
            elif isinstance(value, ast.AST):
                self.visit(value)
        return node

    def _marked(self, block: list[ast.stmt]) -> list[ast.stmt]:
        found: list[ast.stmt] = []
        for statement in block:
            mark = ast.parse(f"{NAME}[{self._first + len(self.lines)}] = 1").body[0]
            self.lines.append(statement.lineno)
            found += [mark, self.visit(statement)]
        return found


def instrument(data: bytes, first: int) -> tuple[str, list[int]]:
    """Return the source with marks numbered from `first`, and the line of each mark's statement."""
    tree = ast.parse(data)
    marking = _Marking(first)
    marking.visit(tree)
    return ast.unparse(ast.fix_missing_locations(tree)) + "\n", marking.lines
