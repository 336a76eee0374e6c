"""Each operator makes exactly the mistakes it is named for, and changes no other character of the file."""

from __future__ import annotations

import pytest

from tests.mutation.points import points
from tests.mutation.source import Source

MISTAKES = {
    "comparison": [
        ("a < b", ["a <= b", "a > b"]),
        ("(a) >= (b)", ["(a) > (b)", "(a) <= (b)"]),
        ("a == b", ["a != b"]),
        ("a not in b", ["a in b"]),
        ("a is not  None", ["a is  None"]),
        ("0 < a <= b", ["0 <= a <= b", "0 > a <= b", "0 < a < b", "0 < a >= b"]),
    ],
    "arithmetic": [
        ("a + b * c", ["a - b * c", "a + b / c", "a + b + c"]),
        ("a | b", ["a & b"]),
        ("x -= 1", ["x += 1"]),
        ("x //= y", ["x *= y", "x /= y"]),
        ("'%s' % a", []),
        ("isinstance(a + b, int | str)", ["isinstance(a - b, int | str)"]),
    ],
    "and-or": [("a and b and c", ["a or b and c", "a and b or c"]), ("a or not b", ["a and not b"])],
    "union": [("a.union(b)", ["a.intersection(b)"])],
    "negated": [
        ("x if a and b else y", ["x if not (a and b) else y"]),
        ("x if a else y", ["x if not a else y"]),
        ("x if a == b else y", []),
        ("x if not a else y", []),
    ],
    "not-dropped": [("not a", ["a"])],
    "branch": [("x if a else y", ["x if True else y", "x if False else y"])],
    "filter-dropped": [
        ("[x for x in a if x if x.y]", ["[x for x in a if True if x.y]", "[x for x in a if x if True]"])
    ],
    "number": [
        ("f(7)", ["f(8)", "f(6)"]),
        ("f(0)", ["f(1)"]),
        ("1 << 9", ["1 << 10", "1 << 8"]),
        ("a[1:]", []),
        ("f(0.5)", []),
    ],
    "boolean": [("f(True)", ["f(False)"]), ("zip(a, b, strict=True)", [])],
    "string": [
        ('a == "on"', ['a == "on_"']),
        ('a["on"]', ['a["on_"]']),
        ('{"on": "off"}', ['{"on_": "off"}']),
        ('a.get("on", "off")', ['a.get("on_", "off")']),
        ('f("on")', []),
    ],
    "slice": [
        ("a[:3]", ["a[:4]", "a[:2]"]),
        ("a[:0]", ["a[:1]"]),
        ("a[n:]", ["a[n + 1:]", "a[n - 1:]"]),
        ("a[:-1]", ["a[:(-1) + 1]", "a[:(-1) - 1]"]),
    ],
    "min-max": [("min(a, b)", ["max(a, b)"])],
    "any-all": [("all(a)", ["any(a)"]), ("any(a)", ["all(a)"])],
    "order-dropped": [
        ("sorted(a, key=f)", ["list(a)"]),
        ("sorted(x for x in a)", ["list(x for x in a)"]),
        ("reversed(a)", ["a"]),
    ],
    "swapped-arguments": [
        ("f(a, b, c)", ["f(b, a, c)", "f(a, c, b)"]),
        ("f(x=a, y=b)", ["f(x=b, y=a)"]),
        ("min(a, b)", []),
        ("f(*a, b, c)", ["f(*a, c, b)"]),
    ],
    "keyword-dropped": [
        ("f(a, x=b, y=c)", ["f(a, y=c)", "f(a, x=b)"]),
        ("f(x=b, y=c)", ["f(y=c)", "f(x=b)"]),
        ("f(x=b)", ["f()"]),
        ("a.get(b, c)", ["a.get(b)"]),
        ("next(a, None)", ["next(a)"]),
    ],
    "deleted": [
        ("a.b()", ["pass"]),
        ("a.b = c", ["pass"]),
        ("a[b] = c", ["pass"]),
        ("a += b", ["pass"]),
        ("del a[b]", ["pass"]),
        ("a = b", []),
        ("log.info(a)", []),
        ("self.note('kind', a)", ["pass"]),
    ],
}
CASES = [(operator, text, wanted) for operator, cases in MISTAKES.items() for text, wanted in cases]


def mistakes(text: str, operator: str) -> list[str]:
    """Return the file with each mistake of an operator."""
    source = Source("a.py", text.encode())
    spots = [point.spot for point in points(source) if point.spot.operator == operator]
    return [source.changed(change).decode() for spot in spots for change in spot.changes]


@pytest.mark.parametrize(("operator", "text", "wanted"), CASES, ids=[f"{case[0]}: {case[1]}" for case in CASES])
def test_an_operator_makes_these_mistakes(operator: str, text: str, wanted: list[str]) -> None:
    before, after = "def é(self):  # ü\n    ", "  # stays\n    return 'ß'\n"
    assert mistakes(before + text + after, operator) == [before + each + after for each in wanted]


def test_an_early_exit_is_left_out_or_is_another_one() -> None:
    text = "def f(a):\n    for b in a:\n        if b:\n            {}\n        g(b)\n    return a\n"
    assert mistakes(text.format("return b"), "early-exit") == [text.format("pass")]
    assert mistakes(text.format("continue"), "early-exit") == [text.format("break"), text.format("pass")]
    assert mistakes(text.format("break"), "early-exit") == [text.format("continue"), text.format("pass")]


def test_an_exit_after_which_nothing_would_follow_is_none() -> None:
    assert mistakes("def f(a):\n    if a:\n        g()\n        return\n    else:\n        h()\n", "early-exit") == []
    assert mistakes("def f(a):\n    for b in a:\n        if b:\n            continue\n", "early-exit") == [
        "def f(a):\n    for b in a:\n        if b:\n            break\n"
    ]


def test_statements_are_swapped_where_the_order_can_matter() -> None:
    text = "def f(self):\n    {}\n    {}\n"
    for first, second in [
        ("self.send(1)", "self.write(2)"),
        ("self.x = 1", "self.y = self.x"),
        ("self.x += 1", "self.act()"),
        ("if self.x:\n        return", "self.act()"),
        ("self.x.append(1)", "self.act(self.x)"),
        ("self.x.append(1)", "self.x.clear()"),
    ]:
        found = mistakes(text.format(first, second), "swapped-statements")
        assert text.format(second, first) in found, (first, second)
    for first, second in [
        ("self.x = 1", "self.y = 2"),
        ("a = 1", "b = len(self.x)"),
        ("a = self.get(1)", "self.x = a"),
        ("log.info(1)", "self.act()"),
        ("a = self.one()", "b = self.other()"),
        ("self.x.append(1)", "self.y.discard(2)"),
        ("if self.x:\n        return", "if self.y():\n        return"),
    ]:
        assert mistakes(text.format(first, second), "swapped-statements") == [], (first, second)
