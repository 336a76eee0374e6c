"""Calls: another function of the same kind, arguments in another order, one that is missing."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import pairwise

from tests.mutation.places import NAMES_OF_TYPES, is_note, is_prose
from tests.mutation.source import Change, Source, called
from tests.mutation.spot import Spot

OTHER = {"min": ("min-max", "max"), "max": ("min-max", "min"), "any": ("any-all", "all"), "all": ("any-all", "any")}
IN_ORDER = {"sorted": "list", "reversed": ""}
"""What is left when the order is not made."""
ALIKE = {"min", "max", "gcd", "hypot", "isclose", "isinstance"}
"""Functions for which the order of arguments makes no difference, or that cannot be called the other way."""
DEFAULTED = {"get": 2, "pop": 2, "next": 2, "getattr": 3}
"""Functions whose argument of this number is what they return instead."""
UNSEEN = {"encoding", "stacklevel", "strict", "exc_info", "daemon"}
"""Keywords that make no difference on the machines this runs on, or only check what holds anyway."""


def other_function(source: Source, node: ast.AST) -> Iterator[Spot]:
    """`min` for `max`, `any` for `all`."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in OTHER:
        operator, new = OTHER[node.func.id]
        yield Spot(operator, node, (source.instead(node.func, new),))


def order_dropped(source: Source, node: ast.AST) -> Iterator[Spot]:
    """`list(x)` for `sorted(x)`, `x` for `reversed(x)`."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or not node.args:
        return
    if node.func.id in IN_ORDER:
        text = source.text(node.args[0])
        if node.func.id == "sorted" and isinstance(node.args[0], ast.GeneratorExp) and text.startswith("("):
            text = text[1:-1]
        new = f"list({text})" if node.func.id == "sorted" else text
        yield Spot("order-dropped", node, (source.instead(node, new),))


def swapped_arguments(source: Source, node: ast.AST) -> Iterator[Spot]:
    """An argument in the place of its neighbour. A call is one point, with a change for each pair."""
    if not isinstance(node, ast.Call) or called(node) in ALIKE or is_note(node):
        return
    named = [
        (left.value, right.value)
        for left, right in pairwise(node.keywords)
        if left.arg is not None and right.arg is not None and not {left.arg, right.arg} & UNSEEN
    ]
    changes = []
    for left, right in (*pairwise(node.args), *named):
        first, second = source.text(left), source.text(right)
        if first == second or any(isinstance(each, ast.Starred) or is_prose(each) for each in (left, right)):
            continue
        between = source.between(source.end(left), source.start(right))
        changes.append(Change(source.start(left), source.end(right), second + between + first))
    if changes:
        yield Spot("swapped-arguments", node, tuple(changes))


def keyword_dropped(source: Source, node: ast.AST) -> Iterator[Spot]:
    """A keyword, or what is returned instead of a missing value, left out. A call is one point."""
    if not isinstance(node, ast.Call) or is_note(node) or called(node) in NAMES_OF_TYPES:
        return
    arguments: list[ast.AST] = sorted([*node.args, *node.keywords], key=source.start)
    changes = [_without(source, arguments, place) for place in range(len(arguments)) if _spare(node, arguments, place)]
    if changes:
        yield Spot("keyword-dropped", node, tuple(changes))


def _spare(node: ast.Call, arguments: list[ast.AST], place: int) -> bool:
    argument = arguments[place]
    if isinstance(argument, ast.keyword):
        return argument.arg is not None and argument.arg not in UNSEEN
    return DEFAULTED.get(called(node)) == place + 1 == len(node.args)


def _without(source: Source, arguments: list[ast.AST], place: int) -> Change:
    """Leave an argument out, and the comma with it."""
    argument = arguments[place]
    if place:
        return Change(source.end(arguments[place - 1]), source.end(argument), "")
    if len(arguments) > 1:
        return Change(source.start(argument), source.start(arguments[1]), "")
    return source.instead(argument, "")
