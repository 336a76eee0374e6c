"""A worker in a small project: it imports the copy, notices what tests notice, and leaves nothing behind."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mutation import hits
from tests.mutation.choice import Choice
from tests.mutation.covering import Covering, Keeper, KnownTest
from tests.mutation.mutant import Mutant
from tests.mutation.points import points
from tests.mutation.pool import Link
from tests.mutation.report import Report
from tests.mutation.source import Source
from tests.mutation.verdict import CAUGHT, SURVIVED, TIMEOUT, Verdict, judge

SMALL = "def double(a):\n    b = a * 2\n    c = a + 0\n    while c > 9:\n        c -= 1\n    return b\n"
PROJECT = {
    "sharding/__init__.py": "",
    "sharding/small.py": SMALL,
    "tests/__init__.py": "",
    "tests/test_small.py": """
import subprocess, sys, pytest
from sharding.small import double

def test_four():
    assert double(2) == 4

def test_eleven():
    assert double(11) == 22

@pytest.fixture(scope="module")
def made():
    return double(11)

def test_made(made):
    assert made == 22

def test_made_again(made):
    assert made == 22

def test_another_process():
    text = "from sharding.small import double; print(double(3))"
    assert subprocess.run([sys.executable, "-c", text], capture_output=True).stdout == b"6\\n"
""",
    "tests/test_chance.py": """
import pathlib
from sharding.small import double

def test_that_fails_the_first_time():
    seen = pathlib.Path(__file__).with_name("seen")
    assert double(1) == 2 or seen.exists() or seen.write_text("") != 0

def test_two():
    assert double(1) == 2
""",
    "tests/test_elsewhere.py": "import checkpoint.errors\n\ndef test_it():\n    assert checkpoint.errors\n",
}
FOUR, ELEVEN, OTHER = (f"tests/test_small.py::test_{name}" for name in ("four", "eleven", "another_process"))


def project(tree: Path) -> Path:
    """Write a project that has a package of the same name as one of ours."""
    for name, text in PROJECT.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
    return tree


@pytest.fixture(scope="module")
def link(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Link]:
    """A worker, which leaves its copy as it was and nothing beside it."""
    tree = project(tmp_path_factory.mktemp("w") / "tree")
    link = Link(tree, ["pytest"])
    yield link
    link.close()
    assert [path.name for path in tree.parent.iterdir()] == ["tree"]
    assert {name: (tree / name).read_text() for name in PROJECT} == PROJECT


def mutant(before: str, after: str) -> Mutant:
    found = points(Source("sharding/small.py", SMALL.encode()))
    mutants = [Mutant(point, change) for point in found for change in point.spot.changes]
    return next(each for each in mutants if each.texts == (before, after))


def choice(*names: str) -> Choice:
    return Choice((tuple(KnownTest(name, 0.0, "passed") for name in names),), len(names), 0)


def test_a_mutant_is_caught_by_the_test_that_fails_with_it(link: Link) -> None:
    verdict = judge(link, mutant("b = a * 2", "b = a * 3"), choice(FOUR, ELEVEN))
    assert (verdict.outcome, verdict.killer) == (CAUGHT, FOUR)
    assert judge(link, mutant("c = a + 0", "c = a - 0"), choice(FOUR, ELEVEN, OTHER)).outcome == SURVIVED


def test_a_process_that_a_test_starts_has_the_mistake_too(link: Link) -> None:
    verdict = judge(link, mutant("b = a * 2", "b = a * 3"), choice(OTHER))
    assert (verdict.outcome, verdict.killer) == (CAUGHT, OTHER)


def test_mistakes_of_one_size_that_follow_each_other_are_not_mixed_up(link: Link) -> None:
    for caught in ("b = a * 3", "b = a * 1"):
        assert judge(link, mutant("b = a * 2", caught), choice(FOUR)).outcome == CAUGHT
        assert judge(link, mutant("c = a + 0", "c = a + 1"), choice(FOUR)).outcome == SURVIVED


def test_a_file_that_cannot_be_imported_is_noticed_by_every_test(link: Link) -> None:
    for name in (FOUR, ELEVEN, OTHER):
        for text, codes in ((SMALL, [0]), (SMALL + "raise RuntimeError('planted')\n", [1, 2])):
            answer = link.ask({"do": "run", "file": "sharding/small.py", "text": text, "tests": [[name, 60.0]]})
            assert answer["code"] in codes, answer


def test_a_loop_without_end_is_stopped_and_counts_as_caught(link: Link, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.mutation.verdict.limit", lambda test: 0.5)
    verdict = judge(link, mutant("c -= 1", "c += 1"), choice(ELEVEN))
    assert (verdict.outcome, verdict.killer) == (TIMEOUT, ELEVEN)


def test_what_fails_by_chance_is_told_and_the_next_tests_are_run(link: Link) -> None:
    chance, two = (f"tests/test_chance.py::test_{name}" for name in ("that_fails_the_first_time", "two"))
    (link.copy / "tests/seen").unlink(missing_ok=True)
    verdict = judge(link, mutant("b = a * 2", "b = a * 3"), choice(chance, two))
    assert (verdict.outcome, verdict.killer, verdict.unsteady) == (CAUGHT, two, [chance])


def test_a_module_that_comes_from_elsewhere_than_the_copy_ends_the_run(link: Link) -> None:
    with pytest.raises(RuntimeError, match=r"checkpoint.* not from the copy"):
        judge(link, mutant("b = a * 2", "b = a * 3"), choice("tests/test_elsewhere.py::test_it"))


def test_the_map_says_which_tests_reach_a_statement_and_is_kept(tmp_path: Path) -> None:
    tree = project(tmp_path / "tree")
    (tree / "tests/test_elsewhere.py").unlink()
    (tree / "tests/test_chance.py").unlink()
    keeper = Keeper(tmp_path / "kept", tree, ["sharding/small.py"])
    assert keeper.missing(keeper.needed({"sharding/small.py"})) == ["tests/test_small.py"]
    places = hits.prepare(tree, ["sharding/small.py"])
    link = Link(tree, ["pytest"])
    try:
        keeper.make([link], ["tests/test_small.py"], places, lambda text: None)
    finally:
        link.close()
    assert keeper.missing(["tests/test_small.py"]) == []
    covering: Covering = keeper.covering(["tests/test_small.py"])
    assert covering.broken == []
    shared = {"tests/test_small.py::test_made", "tests/test_small.py::test_made_again"}
    assert covering.reaching("sharding/small.py", {2}) == {FOUR, ELEVEN, OTHER} | shared
    assert covering.reaching("sharding/small.py", {5}) == {ELEVEN} | shared
    assert {name for name, test in covering.tests.items() if test.shared} == shared


def test_the_report_counts_a_timeout_as_caught_and_leaves_out_what_is_set_aside() -> None:
    one, other = mutant("b = a * 2", "b = a * 3"), mutant("c = a + 0", "c = a + 1")
    verdicts = [
        Verdict(one, CAUGHT, choice(FOUR), 1.0, FOUR),
        Verdict(one, TIMEOUT, choice(FOUR), 30.0, FOUR),
        Verdict(other, SURVIVED, choice(FOUR)),
        Verdict(other, "not covered", Choice((), 0, 0)),
    ]
    report = Report(1, dict(enumerate(verdicts, 1)), [(other, "c is not used")], 31.0)
    assert report.text().splitlines()[-1] == "caught 2 of 4 (50.0 %), equivalent 1, timeouts 1, not covered 1"
    assert "equivalent: sharding/small.py:3 number | c = a + 0 -> c = a + 1\n    c is not used\n" in report.text()
    assert "steps" not in report.text()
    assert "#3 sharding/small.py:3 in double, number: survived, 1 of 1 tests that reach it were run" in report.text()
    assert "-    c = a + 0\n+    c = a + 1\n" in report.text()
    assert [each["outcome"] for each in json.loads(json.dumps(report.json()))["mutants"]] == [
        "caught", "timeout", "survived", "not covered",
    ]  # fmt: skip
