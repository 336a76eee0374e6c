"""What is text for people, a type or a name is not mutated; what runs is."""

from __future__ import annotations

import pytest

from tests.mutation.points import points
from tests.mutation.source import Source

UNTOUCHED = {
    "docstring": 'def f():\n    """One of 2 or 3."""\n',
    "docstring of a field": 'class A:\n    x: str\n    """At most 3 of them."""\n',
    "annotation": 'def f(a: Literal[1, 2] | None, b: "int | str" = None) -> Box[3] | None: ...\n',
    "annotated name": "x: Literal[1] | None\n",
    "type of a module": "Key = tuple[int, str] | None\n",
    "text with a value": "def f(a):\n    return f'{a + 1} of {len(a) - 2}'\n",
    "choice of a text": "def f(a):\n    return 'there are none' if a else f'{a + 1}'\n",
    "log": "def f(a):\n    log.warning('%d', a + 1)\n    self._log.info('x', a - 1)\n",
    "logger of a module": "log = logging.getLogger(__name__)\n",
    "assertion": "def f(a):\n    assert a > 1, a + 1\n",
    "error": "def f(a):\n    raise ValueError(a + 1)\n",
    "repr": "class A:\n    def __repr__(self):\n        return self.a + self.b\n",
    "type checking": "if TYPE_CHECKING:\n    x = 1 + 2\n",
    "protocol": "class A(Protocol):\n    def f(self, a=1): ...\n",
    "decorator": "@dataclass(frozen=True, slots=True)\nclass A:\n    pass\n",
    "main": "if __name__ == '__main__':\n    main(1)\n",
    "class of a value": "def f(a):\n    return isinstance(a, int | str)\n",
}


@pytest.mark.parametrize("text", UNTOUCHED.values(), ids=UNTOUCHED.keys())
def test_nothing_is_mutated_in(text: str) -> None:
    assert [point.before for point in points(Source("a.py", text.encode()))] == []


def test_of_a_note_only_the_call_is_mutated() -> None:
    text = "def f(self, a):\n    self.context.note('lost', f'{a + 1}' or str(a + 2), 3)\n"
    found = points(Source("a.py", text.encode()))
    assert [point.spot.operator for point in found] == ["deleted"]


def test_defaults_and_constants_of_a_module_are_mutated() -> None:
    text = "LIMIT = 3\nclass A:\n    x: int = 4\n    def f(self, a=5): ...\n"
    assert [point.before for point in points(Source("a.py", text.encode()))] == ["LIMIT = 3", "x: int = 4", "5"]


def test_a_point_is_named_by_its_function_and_not_by_its_line() -> None:
    text = "class A:\n    def f(self, a):\n        return g(a < 1, a < 1)\n"
    first, second = (
        [point.key for point in points(Source("a.py", each.encode())) if point.spot.operator == "comparison"]
        for each in (text, "import os\n\n\n" + text)
    )
    assert first == second
    assert len(set(first)) == 2
