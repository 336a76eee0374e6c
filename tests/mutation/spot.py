"""One possible mistake: a place, an operator, and the changes it may be made of."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from tests.mutation.source import Change


@dataclass(frozen=True)
class Spot:
    """A point of mutation. A sample takes one of its changes."""

    operator: str
    node: ast.AST
    changes: tuple[Change, ...]
