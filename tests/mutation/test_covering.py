"""The map from statements to tests: marks that change nothing, and which tests have to be run again."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.mutation.closure import Closures
from tests.mutation.hits import Places
from tests.mutation.instrument import NAME, instrument

TEXT = '''"""A module."""
import os

def f(a):
    """What it does."""
    if a > 1:
        return "big"
    elif a:
        for each in range(2):
            continue
    try:
        return [1, 2][a]
    except IndexError:
        return "none"

if os:
    y = 2
class A:
    x = 1
    def g(self): return lambda: self.x
'''


def reached(call: str) -> list[int]:
    """Run one call with marks; return the lines of the statements that were reached."""
    text, lines = instrument(TEXT.encode(), 5)
    memory = bytearray(5 + len(lines))
    names = {NAME: memory}
    exec(compile(text, "a.py", "exec"), names)
    eval(call, names)
    assert not any(memory[:5])
    return [line for place, line in enumerate(lines, 5) if memory[place]]


def test_statements_inside_functions_are_marked_when_they_are_reached() -> None:
    assert reached("None") == []
    assert reached("f(2)") == [6, 7]
    assert reached("f(1)") == [6, 8, 9, 10, 11, 12]
    assert reached("f(-5)") == [6, 8, 9, 10, 11, 12, 14]
    assert reached("A().g()") == [20]


def test_marks_change_nothing_else() -> None:
    text, lines = instrument(TEXT.encode(), 0)
    kept = "\n".join(line for line in text.splitlines() if NAME not in line)
    assert ast.dump(ast.parse(kept)) == ast.dump(ast.parse(TEXT))
    assert text.count(NAME) == len(lines) == 9


def test_marks_are_told_by_file_and_line() -> None:
    places = Places(("a.py", "b.py"), (0, 3), ((4, 5, 9), (2, 2)))
    assert places.named({1, 2, 3, 4}) == {"a.py": [5, 9], "b.py": [2]}


def write(root: Path, **files: str) -> None:
    for name, text in files.items():
        path = root / (name.replace("__", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_a_test_file_depends_on_what_it_imports_names_and_has_above_it(tmp_path: Path) -> None:
    write(
        tmp_path,
        actors__a="from sharding.b import c\n",
        sharding__b="",
        sharding__c="import os, numpy\n",
        checkpoint__d="def f():\n    from sharding import c\n",
        tests__conftest="",
        tests__test_x="import actors.a\n",
        tests__test_y="START = 'from checkpoint.d import f'\n",
    )
    closures = Closures(tmp_path)
    assert closures.of("tests/test_x.py") == ["actors/a.py", "sharding/b.py", "tests/conftest.py", "tests/test_x.py"]
    assert closures.of("tests/test_y.py") == [
        "checkpoint/d.py", "sharding/c.py", "tests/conftest.py", "tests/test_y.py",
    ]  # fmt: skip


def test_only_what_depends_on_a_changed_file_has_another_key(tmp_path: Path) -> None:
    write(tmp_path, actors__a="", sharding__b="")
    write(tmp_path, tests__test_x="import actors.a\n", tests__test_y="import sharding.b\n")
    before = [Closures(tmp_path).key(f"tests/test_{name}.py") for name in "xy"]
    assert before == [Closures(tmp_path).key(f"tests/test_{name}.py") for name in "xy"]
    write(tmp_path, sharding__b="a = 1\n")
    after = [Closures(tmp_path).key(f"tests/test_{name}.py") for name in "xy"]
    assert after[0] == before[0]
    assert after[1] != before[1]
