"""Patience: its floor, its growth with what was measured, its bounds; and what happens at half of it and at its end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.steps.waits import Waits

FLOOR = 2.0
FIRST = 12.0
"""Six floors, before anything is measured."""


def waits(*measured: float) -> Waits:
    """Waits of the kind `kind`, of which these many seconds were measured, one after the other."""
    made = Waits(FLOOR)
    for seconds in measured:
        made.start(100.0, "before", "kind", "")
        made.done(100.0 + seconds, "before")
    return made


@pytest.mark.parametrize(
    ("measured", "patience"),
    [
        ((), 12.0),
        ((0.5,), 5.0),  # ten times 0.5
        ((0.1,), 2.0),  # ten times 0.1 is below the floor
        ((0.5, 0.7), 7.0),  # the longest counts
        ((1.0, 0.5), 9.9),  # and fades by a hundredth: 10 * 0.99
        ((1.0, 0.5, 0.5), 9.801),  # 10 * 0.99 * 0.99
        ((1.0, 50.0), 20.0),  # a wait that a fault made long counts for twice the longest before it
        ((1.0, 2.0), 20.0),
        ((0.01, 50.0), 4.0),  # at least for twice a tenth of the floor: 10 * 2 * 0.2
        ((0.3, 50.0), 6.0),
    ],
    ids=str,
)
def test_patience_follows_what_was_measured(measured: tuple[float, ...], patience: float) -> None:
    assert waits(*measured).patience("kind") == pytest.approx(patience)


def test_each_kind_is_measured_by_itself() -> None:
    one = waits(0.5)
    assert (one.patience("kind"), one.patience("other")) == (5.0, FIRST)


@pytest.mark.parametrize(("depth", "seconds"), [(1, 12.0), (3, 36.0), (0, 12.0), (-2, 12.0)])
def test_a_wait_that_contains_others_has_the_patience_of_all(depth: int, seconds: float) -> None:
    one = Waits(FLOOR)
    assert one.patience("kind", depth) == seconds
    one.start(5.0, "key", "kind", "", depth)
    assert one.next_deadline() == 5.0 + seconds


@pytest.mark.parametrize(("depth", "patience"), [(1, 30.0), (3, 10.0), (0, 30.0)])
def test_what_a_deep_wait_took_is_shared_by_those_it_contains(depth: int, patience: float) -> None:
    one = Waits(FLOOR)
    one.start(0.0, "key", "kind", "", depth)
    one.done(3.0, "key", depth)
    assert one.patience("kind") == pytest.approx(patience)


@given(st.lists(st.floats(0.0, 1e6), max_size=30))
def test_patience_has_a_floor_and_no_single_wait_more_than_doubles_it(measured: list[float]) -> None:
    """The first measurement is bounded by the first deadline: a wait beyond it has expired and counts for nothing."""
    one, most = Waits(FLOOR), 10 * FIRST
    for seconds in measured:
        one.start(0.0, "key", "kind", "")
        over = bool(one.expired(seconds))
        one.done(seconds, "key")
        if not over:
            assert FLOOR <= one.patience("kind") <= most * 1.000001
            most = 2 * one.patience("kind")


def test_a_wait_takes_so_many_times_its_patience_as_it_was_told() -> None:
    one = waits(0.5)
    one.start(10.0, "key", "kind", "", 2, times=3.0)
    assert one.next_deadline() == 10.0 + 3 * 2 * 5.0


def test_a_wait_of_a_given_length_has_that_length_and_teaches_nothing() -> None:
    one = Waits(FLOOR)
    one.after(10.0, "key", 0.5, "text")
    assert one.next_deadline() == 10.5
    one.done(10.1, "key")
    assert one.patience("") == one.patience("kind") == FIRST
    assert one.next_deadline() is None


def test_what_is_over_is_told_once_and_the_longest_overdue_first() -> None:
    one = Waits(FLOOR)
    one.after(0.0, "a", 5.0, "for a")
    one.after(1.0, "b", 3.0, "for b")
    one.after(0.0, "c", 9.0, "for c")
    assert one.expired(3.9) == []
    assert one.expired(8.0) == [("b", "for b (waited 7 s)"), ("a", "for a (waited 8 s)")]
    assert (one.waiting("b"), one.waiting("c")) == (False, True)
    assert one.expired(9.0) == [("c", "for c (waited 9 s)")], "at the very moment"
    assert one.expired(99.0) == []


def test_a_wait_that_expired_was_cancelled_or_is_not_known_teaches_nothing() -> None:
    one = Waits(FLOOR)
    one.start(0.0, "late", "kind", "")
    one.expired(FIRST)
    one.done(13.0, "late")
    one.start(0.0, "cancelled", "kind", "")
    one.cancel("cancelled")
    one.cancel("unknown")
    one.done(0.5, "cancelled")
    assert one.patience("kind") == FIRST
    assert one.next_deadline() is None


def test_a_wait_that_begins_again_under_its_key_replaces_the_one_before() -> None:
    one = Waits(FLOOR)
    one.start(0.0, "key", "kind", "")
    one.start(4.0, "key", "kind", "")
    assert one.next_deadline() == 16.0


def test_a_wait_in_which_something_moved_gets_its_full_time_again() -> None:
    one = Waits(FLOOR)
    one.start(1.0, "key", "kind", "text", peer="slow")
    assert one.doubtful(7.0) == {"slow": "text (waited 6 s)"}
    one.restart(7.0, "key")
    one.restart(7.0, "unknown")
    assert one.next_deadline() == 7.0 + FIRST / 2, "its peer may become doubtful again"
    assert one.doubtful(12.9) == {}
    assert one.doubtful(13.0) == {"slow": "text (waited 6 s)"}
    assert one.expired(18.9) == []
    assert one.expired(19.0) == [("key", "text (waited 12 s)")]
    assert not one.waiting("unknown")


def test_a_restarted_wait_took_as_long_as_its_longest_time_without_a_sign_of_life() -> None:
    """7 s, then 2 s, then 0.5 s: patience is ten times 7."""
    one = Waits(FLOOR)
    one.start(0.0, "key", "kind", "")
    one.restart(7.0, "key")
    one.restart(9.0, "key")
    one.done(9.5, "key")
    assert one.patience("kind") == 70.0


def test_half_of_the_patience_makes_a_peer_doubtful_once() -> None:
    one = Waits(FLOOR)
    one.start(0.0, "first", "kind", "for one", peer="slow")
    one.start(1.0, "second", "kind", "for another", peer="slow")
    one.start(0.0, "other", "kind", "for a third", peer="other")
    assert one.next_deadline() == 6.0
    assert one.doubtful(5.9) == {}
    assert one.doubtful(7.0) == {"slow": "for one (waited 7 s)", "other": "for a third (waited 7 s)"}
    assert one.doubtful(8.0) == {}, "each wait says it once"
    assert one.next_deadline() == FIRST


def test_where_no_peer_is_awaited_none_is_doubtful() -> None:
    one = Waits(FLOOR)
    one.start(0.0, "key", "kind", "text")
    one.after(0.0, "given", 12.0, "text")
    assert one.next_deadline() == FIRST
    assert one.doubtful(11.0) == {}


def test_a_wait_of_a_given_length_warns_at_its_half_too() -> None:
    one = Waits(FLOOR)
    one.after(10.0, "key", 8.0, "text", "peer")
    assert one.next_deadline() == 14.0
    assert one.doubtful(14.0) == {"peer": "text (waited 4 s)"}


def test_the_next_deadline_is_the_first_of_all() -> None:
    one = Waits(FLOOR)
    assert one.next_deadline() is None
    one.after(0.0, "late", 9.0, "")
    one.after(0.0, "soon", 3.0, "")
    one.after(0.0, "half", 4.0, "", "peer")
    assert one.next_deadline() == 2.0
    one.done(1.0, "half")
    assert one.next_deadline() == 3.0


def test_a_pause_of_our_own_is_no_fault_of_others() -> None:
    """Five seconds in which nothing ran: all deadlines and doubts move by five, and the pause is not measured."""
    one = Waits(FLOOR)
    one.start(1.0, "key", "kind", "text", peer="slow")
    one.start(1.0, "measured", "kind", "text")
    one.excuse(5.0)
    assert one.next_deadline() == 12.0
    assert one.doubtful(11.9) == {}
    one.done(6.5, "measured")
    assert one.patience("kind") == 5.0
    assert one.expired(17.9) == []
    assert one.expired(18.0) == [("key", "text (waited 12 s)")]


def test_forgetting_all_waits_keeps_what_was_measured() -> None:
    one = waits(0.5)
    one.start(0.0, "key", "kind", "")
    assert one.waiting("key")
    one.clear()
    assert (one.waiting("key"), one.next_deadline(), one.patience("kind")) == (False, None, 5.0)
