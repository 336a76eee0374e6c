"""The leader's book: what is missing, who holds a microbatch, and who must forget so that nothing counts twice."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.steps.ledger import Ledger

STAGES = {"a": 0, "b": 0, "c": 1, "d": 1, "e": 1}


def ledger(among: str = "abcde", **counted: tuple[int, ...]) -> Ledger:
    """Two stages: a and b at the first, c, d and e at the last. Each has counted these."""
    book = Ledger(2, STAGES.get)
    book.among = frozenset(among)
    for peer, indices in counted.items():
        book.report(peer, dict.fromkeys(indices, 1.0))
    return book


@pytest.mark.parametrize(
    ("counted", "missing"),
    [
        ({}, [0, 1, 2]),
        ({"a": (0, 1, 2)}, [0, 1, 2]),
        ({"c": (0, 1, 2)}, [0, 1, 2]),
        ({"a": (0, 1, 2), "c": (0, 1, 2)}, []),
        ({"a": (0, 2), "b": (1,), "c": (0,), "d": (1,), "e": (2,)}, []),
        ({"a": (0, 1), "b": (), "c": (0, 1, 2)}, [2]),
        ({"a": (0, 1, 2), "c": (0,), "d": (2,)}, [1]),
        ({"a": (0,), "b": (1,), "c": (1,), "d": (2,)}, [0, 2]),
    ],
    ids=["nothing", "first stage", "last stage", "all", "dealt out", "lost at first", "lost at last", "both"],
)
def test_what_some_stage_has_not_counted_is_missing(counted: dict[str, tuple[int, ...]], missing: list[int]) -> None:
    assert ledger(**counted).missing(range(3)) == missing


def test_what_only_those_have_counted_who_do_not_work_is_missing() -> None:
    assert ledger("acd", a=(0,), b=(1,), c=(0, 1)).missing(range(2)) == [1]


def test_strangers_count_nothing() -> None:
    assert ledger("acx", a=(0,), x=(0,)).missing([0]) == [0]
    assert ledger("acx", a=(0,), x=(0,)).holders(0) == ("a", "")


def test_only_the_indices_asked_for_are_looked_at_and_in_their_order() -> None:
    assert ledger(a=(1, 2), c=(1,)).missing([2, 0, 1]) == [2, 0]


def test_a_report_replaces_what_was_known_of_its_sender() -> None:
    book = ledger(a=(0, 1), c=(0, 1))
    book.report("a", {1: 2.0})
    assert book.missing(range(2)) == [0]
    assert book.touched == {0, 1}, "that it was counted once is not forgotten"


def test_a_report_is_a_copy() -> None:
    mine = {0: 1.0}
    book = ledger()
    book.report("a", mine)
    mine[1] = 1.0
    assert book.counted == {"a": {0: 1.0}}


def test_what_went_through_was_counted_by_all_on_its_route() -> None:
    book = ledger()
    book.through(2, 0.5, ("c", "a"))
    assert book.missing(range(3)) == [0, 1]
    assert book.counted == {"a": {2: 0.5}, "c": {2: 0.5}}
    assert book.touched == {2}


def test_a_second_word_about_the_same_microbatch_changes_no_loss() -> None:
    book = ledger()
    book.through(2, 0.5, ("c", "a"))
    book.through(2, 9.0, ("c", "a"))
    assert book.loss(2) == 0.5
    book.through(1, 0.25, ("d", "a"))
    assert book.counted["a"] == {2: 0.5, 1: 0.25}


def test_what_somebody_counted_can_be_lost() -> None:
    book = ledger(a=(0,), c=(0,))
    book.forget("a")
    book.forget("x")
    assert book.missing([0]) == [0] and book.touched == {0}


@pytest.mark.parametrize(
    ("index", "holders"), [(0, ("a", "c")), (1, ("b", "")), (2, ("", "d")), (3, ("", ""))], ids=str
)
def test_the_holders_of_a_microbatch_are_one_a_stage(index: int, holders: tuple[str, str]) -> None:
    assert ledger(b=(0, 1), a=(0,), c=(0,), d=(2,)).holders(index) == holders


def test_holders_do_not_depend_on_the_order_of_reports_and_work() -> None:
    assert ledger(a=(0,), b=(0,)).holders(0) == ledger(b=(0,), a=(0,)).holders(0) == ("a", "")
    assert ledger("b", a=(0,), b=(0,)).holders(0) == ("b", "")


@pytest.mark.parametrize(
    ("counted", "reset"),
    [
        ({"a": (0, 1), "b": (2,)}, ""),
        ({"a": (0, 1), "b": (1,)}, "b"),
        ({"a": (1,), "b": (0, 1)}, "a"),
        ({"a": (0, 1), "b": (1, 2)}, "b"),
        ({"a": (0,), "c": (0,)}, ""),
        ({"c": (0,), "d": (0, 1), "e": (1, 2, 3)}, "d"),
        ({"c": (0, 1, 2), "d": (2, 3), "e": (3,)}, "d"),
        ({"c": (0,), "d": (0,), "e": (0,)}, "de"),
        ({"a": (0, 1), "b": (1,), "c": (2,), "d": (2, 3)}, "bc"),
        ({"a": (), "b": ()}, ""),
    ],
    ids=["no double", "less forgets", "order does not matter", "equals: the later", "two stages", "chain",
         "only in the way of one that forgets", "three have one", "both stages", "nothing"],
)  # fmt: skip
def test_of_two_that_counted_the_same_the_one_with_less_forgets_all_of_it(
    counted: dict[str, tuple[int, ...]], reset: str
) -> None:
    assert ledger(**counted).to_reset() == set(reset)


def test_who_does_not_work_need_not_forget_and_makes_nobody_forget() -> None:
    assert ledger("bc", a=(0, 1), b=(1,), c=(1,)).to_reset() == set()


def test_the_loss_of_a_microbatch_is_that_of_who_works() -> None:
    book = ledger("ac")
    book.report("b", {0: 9.0})
    book.report("c", {0: 2.0, 1: 4.0})
    assert (book.loss(0), book.loss(1)) == (2.0, 4.0)


COUNTED = st.dictionaries(st.sampled_from("abcde"), st.sets(st.integers(0, 7)), max_size=5)


@settings(deadline=None, max_examples=100)
@given(COUNTED)
def test_after_those_have_forgotten_nothing_is_counted_twice_and_who_keeps_has_no_less(
    counted: dict[str, set[int]],
) -> None:
    book = ledger(**{peer: tuple(indices) for peer, indices in counted.items()})
    reset = book.to_reset()
    for stage in (0, 1):
        kept = [counted[peer] for peer in counted if STAGES[peer] == stage and peer not in reset]
        assert sum(map(len, kept)) == len(set().union(*kept)), "a microbatch is counted twice"
        for peer in reset:
            if STAGES[peer] == stage:
                assert any(counted[peer] & one and len(one) >= len(counted[peer]) for one in kept)


@settings(deadline=None, max_examples=100)
@given(COUNTED)
def test_missing_and_counted_are_the_whole_step(counted: dict[str, set[int]]) -> None:
    book = ledger(**{peer: tuple(indices) for peer, indices in counted.items()})
    for index in range(8):
        everywhere = all(any(index in counted.get(peer, ()) for peer in stage) for stage in ("ab", "cde"))
        assert (index in book.missing(range(8))) is not everywhere
        assert ("" in book.holders(index)) is not everywhere
