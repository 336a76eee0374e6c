"""The sample: seeded, uniform over points, and hardly moved by changes of the code."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import islice

from tests.mutation.mutant import Mutant
from tests.mutation.points import compiles, points
from tests.mutation.sample import drawn
from tests.mutation.source import Source

TEXT = "def f(a):\n" + "".join(f"    a.x{number} += {number}\n" for number in range(2, 42))
"""40 statements with three points each: the operator, the number, the statement itself."""


def sample(text: str, seed: int, count: int) -> list[Mutant]:
    return list(islice(drawn(points(Source("a.py", text.encode())), seed), count))


def test_a_seed_draws_the_same_mutants_each_time_and_another_seed_others() -> None:
    first = [str(mutant) for mutant in sample(TEXT, 1, 20)]
    assert first == [str(mutant) for mutant in sample(TEXT, 1, 20)]
    assert first != [str(mutant) for mutant in sample(TEXT, 2, 20)]


def test_a_longer_sample_begins_with_the_shorter_one() -> None:
    assert list(map(str, sample(TEXT, 1, 30)))[:12] == list(map(str, sample(TEXT, 1, 12)))


def test_all_points_are_drawn_once_before_the_sample_ends() -> None:
    whole = sample(TEXT, 1, 1000)
    assert len(whole) == 120
    assert Counter(mutant.operator for mutant in whole) == {"arithmetic": 40, "number": 40, "deleted": 40}
    assert len({mutant.point.key for mutant in whole}) == 120


def test_each_operator_has_its_share_of_a_sample() -> None:
    counts = Counter(mutant.operator for seed in range(20) for mutant in sample(TEXT, seed, 15))
    assert sum(counts.values()) == 300
    assert all(70 < count < 130 for count in counts.values()), counts  # 100 of each are expected


def test_new_code_takes_no_other_points_out_of_the_sample() -> None:
    before = {mutant.point.key for mutant in sample(TEXT, 1, 30)}
    after = {mutant.point.key for mutant in sample("def g(b):\n    return b\n\n\n" + TEXT, 1, 30)}
    assert before == after


def test_a_mutant_that_is_no_module_or_the_same_one_is_not_drawn() -> None:
    text = "def f(a):\n    return [b for b in a if True]\n"
    assert [mutant.operator for mutant in sample(text, 1, 10)] == ["boolean"]
    point = next(each for each in points(Source("a.py", text.encode())) if each.spot.operator == "boolean")
    (change,) = point.spot.changes
    assert compiles(point, change)
    assert not compiles(point, replace(change, new="return"))
    assert not compiles(point, replace(change, new="(True)"))


def test_a_mutant_is_shown_with_its_line_and_what_stands_there() -> None:
    text = "x = 1\n\n\ndef f(a, b):\n    if (a\n            < b):\n        return g(a)[0]\n    return None\n"
    shown = {str(mutant) for mutant in sample(text, 1, 100)}
    assert "a.py:7 number | return g(a)[0] -> return g(a)[1]" in shown
    assert {"a.py:6 comparison | a < b -> a <= b", "a.py:6 comparison | a < b -> a > b"} & shown
    deleted = next(mutant for mutant in sample(text, 1, 100) if mutant.operator == "early-exit")
    assert deleted.diff().splitlines()[2:] == [
        "@@ -5,4 +5,4 @@",
        "     if (a",
        "             < b):",
        "-        return g(a)[0]",
        "+        pass",
        "     return None",
    ]
