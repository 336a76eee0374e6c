"""News: which piece is told next, how often, and until when."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.membership import broadcast
from actors.membership.broadcast import Broadcasts
from actors.membership.messages import Gossip, Ping
from tests.membership.solo import Solo, pauses

ROOM = 1000
EVER = 1000
"""Tellings that no piece reaches here."""


def news(*subjects: str, well_known: int = 8) -> Broadcasts:
    made = Broadcasts(well_known)
    for subject in subjects:
        made.add(subject, subject.encode())
    return made


def test_the_least_told_goes_first_and_among_these_the_newest() -> None:
    queue = news("a", "b", "c")
    assert queue.take(ROOM, EVER, most=1) == (b"c",)
    assert queue.take(ROOM, EVER, most=1) == (b"b",)
    queue.add("d", b"d")
    assert queue.take(ROOM, EVER, most=3) == (b"d", b"a", b"c"), "d and a were never told, c is newer than b"
    assert queue.take(ROOM, EVER) == (b"d", b"b", b"a", b"c")


def test_a_message_carries_what_fits_and_leaves_out_what_does_not() -> None:
    queue = Broadcasts(8)
    for subject, size in (("a", 40), ("b", 70), ("c", 50)):
        queue.add(subject, subject.encode() * size)
    assert queue.take(100, EVER) == (b"c" * 50, b"a" * 40), "b does not fit behind c, a does"
    assert queue.take(49, EVER) == (b"a" * 40,), "only a fits at all"
    assert queue.take(70, EVER) == (b"b" * 70,), "exactly full is not too full"
    assert queue.take(39, EVER) == ()


def test_a_single_piece_that_does_not_fit_stays_untold() -> None:
    queue = news("abc")
    assert queue.take(2, 1) == ()
    assert queue.take(3, 1) == (b"abc",)
    assert queue.take(3, 1) == ()


def test_no_more_than_so_many_pieces_go_into_one_message() -> None:
    queue = news(*(f"{number:02d}" for number in range(40)))
    assert len(queue.take(ROOM, EVER)) == 32
    assert len(queue.take(ROOM, EVER, most=5)) == 5


def test_a_piece_is_told_a_bounded_number_of_times() -> None:
    queue = news("a", "b")
    queue.take(ROOM, 3, most=1)
    told = [piece for _ in range(10) for piece in queue.take(ROOM, 3)]
    assert (told.count(b"a"), told.count(b"b")) == (3, 2), "b was told once before"
    assert len(queue) == 0
    assert queue.take(ROOM, 3) == ()


def test_what_was_heard_often_enough_is_told_no_more() -> None:
    queue = news("a", "b", well_known=8)
    for _ in range(7):
        queue.heard("a")
    queue.heard("nobody")
    assert queue.take(ROOM, EVER) == (b"b", b"a")
    queue.heard("a")
    assert queue.take(ROOM, EVER) == (b"b",)


def test_a_piece_may_have_a_bound_of_its_own() -> None:
    queue = news("b")
    queue.add("a", b"a by x", "x", most=2)
    queue.heard("a", "x")
    assert len(queue) == 2
    queue.heard("a", "x")
    assert queue.take(ROOM, EVER) == (b"b",)


def test_hearing_about_one_accuser_says_nothing_about_another() -> None:
    queue = Broadcasts(1)
    queue.add("a", b"by x", "x")
    queue.add("a", b"by y", "y")
    queue.heard("a", "x")
    queue.heard("a")
    assert queue.take(ROOM, EVER) == (b"by y",)


def test_news_of_a_subject_replace_all_that_was_said_about_it() -> None:
    queue = news("a", "b")
    queue.add("a", b"by x", "x")
    queue.add("a", b"by y", "y")
    assert len(queue) == 4, "accusations stand beside the record"
    queue.take(ROOM, EVER)
    queue.add("a", b"a again")
    assert queue.take(ROOM, EVER) == (b"a again", b"b"), "told from the beginning, and nothing of x and y"


def test_an_accuser_who_says_it_again_replaces_itself_only() -> None:
    queue = Broadcasts(8)
    for wire, accuser in ((b"by x", "x"), (b"by y", "y"), (b"by x, refused", "x")):
        queue.add("a", wire, accuser)
    assert set(queue.take(ROOM, EVER)) == {b"by x, refused", b"by y"}


def test_dropping_and_clearing() -> None:
    queue = news("a", "b", "c")
    queue.add("a", b"by x", "x")
    queue.drop("a")
    assert set(queue.take(ROOM, EVER)) == {b"b", b"c"}
    queue.drop("nobody")
    queue.clear()
    assert queue.take(ROOM, EVER) == ()
    assert len(queue) == 0


def test_beyond_the_limit_the_most_told_piece_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broadcast, "LIMIT", 3)
    queue = news("a", "b")
    queue.add("c", b"c by x", "x")
    queue.take(ROOM, EVER, most=2)  # of c and b
    queue.take(ROOM, EVER, most=2)  # of a and c, so c was told twice
    assert len(queue) == 3
    queue.add("late", b"late")
    assert queue.take(ROOM, EVER) == (b"late", b"b", b"a")


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=30), st.integers(1, 120), st.integers(1, 4))
def test_every_piece_that_fits_is_told_exactly_as_often_as_it_may(sizes: list[int], room: int, limit: int) -> None:
    queue = Broadcasts(8)
    for number, size in enumerate(sizes):
        queue.add(str(number), bytes([number]) * size)
    told: list[bytes] = []
    while part := queue.take(room, limit):
        assert sum(map(len, part)) <= room
        assert len(set(part)) == len(part)
        told += part
    for number, size in enumerate(sizes):
        assert told.count(bytes([number]) * size) == (limit if size <= room else 0)


# --- what a member tells --------------------------------------------------------------------------------------------


def test_a_member_of_eight_tells_a_piece_eight_times_to_three_at_once() -> None:
    """With 8 members, 4 * log10(9) is 3.8, so 8 tellings: three, three and two, every 0.2 s."""
    solo = Solo(7, interval_s=1000.0)
    wire = solo.record(1, 5).wire
    solo.tell(wire, by=2)
    solo.run(3.0)
    told = [(at, number) for at, number, gossip in solo.sent(Gossip) if wire in gossip.updates]
    assert len(told) == len(solo.sent(Gossip)), "nothing to tell is no message"
    rounds = sorted({at for at, _ in told})
    assert [sum(at == one for at, _ in told) for one in rounds] == [3, 3, 2]
    assert pauses(rounds) == pytest.approx([0.2, 0.2])
    assert rounds[0] - 100.0 <= 0.1, "the first within half a round"
    for one in rounds:
        hearers = [number for at, number in told if at == one]
        assert len(set(hearers)) == len(hearers), "not twice to one member"
    assert solo.core.next_deadline() > solo.now + 1, "there is nothing left to tell"


def test_gossip_passes_over_the_suspected_and_reaches_as_many_others() -> None:
    solo = Solo(7, interval_s=1000.0)
    solo.silent = {2, 3, 4}
    solo.tell(*(solo.accusation(of, by=1) for of in (2, 3, 4)))
    solo.run(0.9)
    rounds = sorted({at for at, _, _ in solo.sent(Gossip)})
    assert len(rounds) >= 3
    for one in rounds[:2]:
        hearers = {number for at, number, _ in solo.sent(Gossip) if at == one}
        assert len(hearers) == 3
        assert not hearers & {2, 3, 4}


def test_with_nobody_in_the_view_there_is_nothing_to_tell() -> None:
    solo = Solo(1)
    solo.tell(solo.dead(1, by=1, incarnation=1))
    solo.run(5.0)
    assert not solo.sent(Gossip)
    assert not solo.core._context.broadcasts.news
    assert not [ping for _, _, ping in solo.sent(Ping) if ping.updates and ping.seq]
