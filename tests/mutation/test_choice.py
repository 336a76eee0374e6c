"""Which tests are run against a mutant: those that reach it, the quickest first, within the budget."""

from __future__ import annotations

from tests.mutation.choice import Chooser
from tests.mutation.covering import Covering
from tests.mutation.mutant import Mutant
from tests.mutation.points import points
from tests.mutation.source import Source

TEXT = """LIMIT = 3


def f(a, b=1):
    if a:
        return g(
            a,
            7,
        )
    return LIMIT


def h(a):
    return -a * 2
"""
SOURCE = Source("sharding/a.py", TEXT.encode())


def covering(*tests: tuple[str, float, list[int]]) -> Covering:
    """Tests with their seconds and the lines they reach."""
    found = Covering()
    for name, seconds, lines in tests:
        shared = {"t.py::made": 20.0} if "[made]" in name else {}
        entry = {"test": name, "seconds": seconds, "outcome": "passed", "shared": shared}
        entry["reached"] = {"sharding/a.py": lines}
        found.add({"file": name.split("::")[0], "broken": [], "tests": [entry]}, ["sharding/a.py"])
    return found


def mutant(before: str) -> Mutant:
    point = next(each for each in points(SOURCE) if each.before == before and each.spot.operator == "number")
    return Mutant(point, point.spot.changes[0])


def chosen(known: Covering, before: str, budget: float = 60.0) -> list[list[str]]:
    choice = Chooser(known, {"sharding/a.py": SOURCE}, budget).choose(mutant(before))
    return [[test.name for test in batch] for batch in choice.batches]


def test_a_place_is_covered_by_the_tests_that_reach_its_statement() -> None:
    known = covering(("t.py::one", 0.1, [5, 6]), ("t.py::two", 0.1, [5, 10]), ("t.py::three", 0.1, [14]))
    assert chosen(known, "return g( a, 7, )") == [["t.py::one"]]  # the number is on line 8, its statement on line 6
    assert chosen(known, "return -a * 2") == [["t.py::three"]]


def test_a_place_that_no_test_reaches_has_none() -> None:
    assert chosen(covering(("t.py::one", 0.1, [5])), "return -a * 2") == []


def test_a_default_is_covered_by_those_who_run_the_function() -> None:
    known = covering(("t.py::one", 0.1, [5, 6]), ("t.py::two", 0.1, [14]))
    assert chosen(known, "1") == [["t.py::one"]]


def test_a_constant_is_covered_by_those_who_run_what_mentions_it() -> None:
    known = covering(("t.py::one", 0.1, [5, 6]), ("t.py::two", 0.1, [5, 10]))
    assert chosen(known, "LIMIT = 3") == [["t.py::two"]]


def test_a_constant_that_nothing_mentions_is_covered_by_all_who_use_its_file() -> None:
    known = covering(("t.py::one", 0.1, [5, 6]), ("u.py::two", 0.1, []))
    assert chosen(known, "LIMIT = 3") == [["t.py::one"]]
    assert chosen(covering(("u.py::two", 0.1, [])), "LIMIT = 3") == [["u.py::two"]]


def test_a_field_is_covered_by_those_who_run_what_gives_it() -> None:
    text = TEXT + "\n\nclass A:\n    x: int = 5\n\n\ndef make():\n    return A(x=6)\n"
    source = Source("sharding/a.py", text.encode())
    point = next(each for each in points(source) if each.before == "x: int = 5")
    known = covering(("t.py::one", 0.1, [14]), ("t.py::two", 0.1, [22]))
    choice = Chooser(known, {"sharding/a.py": source}, 60.0).choose(Mutant(point, point.spot.changes[0]))
    assert [[test.name for test in batch] for batch in choice.batches] == [["t.py::two"]]


def test_the_quickest_go_first_and_the_rest_in_a_second_batch() -> None:
    known = covering(("t.py::slow", 5.0, [14]), ("u.py::quick", 0.2, [14]), ("t.py::quick", 0.1, [14]))
    assert chosen(known, "return -a * 2") == [["t.py::quick", "u.py::quick"], ["t.py::slow"]]


def test_only_three_cases_of_a_function_are_in_the_first_batch() -> None:
    known = covering(*((f"t.py::f[{case}]", 0.01, [14]) for case in range(5)))
    assert [len(batch) for batch in chosen(known, "return -a * 2")] == [3, 2]


def test_what_does_not_fit_into_the_budget_is_left_out_but_for_one() -> None:
    known = covering(("t.py::a", 4.0, [14]), ("t.py::b", 5.0, [14]), ("u.py::c", 6.0, [14]))
    # A file costs 0.3 s: 4.3 for the first test, 9.3 with the second, 15.6 with the third.
    assert chosen(known, "return -a * 2", 9.5) == [["t.py::a", "t.py::b"]]
    assert chosen(known, "return -a * 2", 1.0) == [["t.py::a"]]
    choice = Chooser(known, {"sharding/a.py": SOURCE}, 9.5).choose(mutant("return -a * 2"))
    assert (choice.covering, choice.left_out) == (3, 1)


def test_a_fixture_that_tests_share_costs_its_time_once() -> None:
    known = covering(*((f"t.py::{name}[made]", 1.0, [14]) for name in "abcd"))
    # 0.3 s for the file, 20 for the fixture, 1 for each test: 23.3 s for three.
    assert chosen(known, "return -a * 2", 23.5) == [[f"t.py::{name}[made]" for name in "abc"]]
