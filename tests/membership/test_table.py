"""Whom a member knows, and the hash of its view."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from actors.membership.statements import Record, State
from actors.membership.table import Gone, Table

WHOLE = 1 << 64


def record(peer: str, digest: int, incarnation: int = 1) -> Record:
    return Record(peer, peer, 0, (), 0, 0.0, 1, incarnation, State.ACTIVE, "", b"", digest)


ME = record("me", WHOLE - 2)


def table(*digests: int) -> Table:
    """Ourselves, and members a, b, c and so on."""
    made = Table(ME)
    for name, digest in zip("abcdef", digests, strict=False):
        made.put(record(name, digest))
    return made


def gone(incarnation: int = 1) -> Gone:
    return Gone(5.0, incarnation, None)


def test_alone_the_hash_is_the_own_digest() -> None:
    made = Table(ME)
    assert made.view_hash == WHOLE - 2
    assert (made.live, made.records) == ([], {"me": ME})
    assert not made.is_live("me"), "ourselves are not one of the others"
    assert not made.is_live("a")


def test_the_hash_is_the_sum_of_all_digests_of_the_view_in_64_bits() -> None:
    assert table(5, 7).view_hash == 10  # 2**64 - 2 + 5 + 7, without the carry
    assert table(7, 5).view_hash == 10, "whatever the order"


def test_a_newer_record_takes_the_place_of_the_older_one() -> None:
    made = table(5, 7)
    made.put(record("a", 6, incarnation=2))
    assert made.view_hash == 11
    assert made.live == ["a", "b"]
    assert made.records["a"].incarnation == 2


def test_the_dead_are_known_but_not_in_the_view_until_a_newer_record_comes() -> None:
    made = table(5, 7)
    made.bury("a", gone(3))
    assert (made.view_hash, made.live, made.is_live("a")) == (5, ["b"], False)
    assert made.gone["a"].incarnation == 3
    assert "a" in made.records
    made.put(record("a", 6, incarnation=4))
    assert (made.view_hash, set(made.live), made.is_live("a")) == (11, {"a", "b"}, True)
    assert made.gone == {}


def test_the_forgotten_are_not_even_known() -> None:
    made = table(5, 7)
    made.bury("a", gone())
    made.forget("a")
    assert (made.view_hash, made.records.keys(), made.gone) == (5, {"me", "b"}, {})


def test_a_change_of_our_own_is_in_the_hash_once() -> None:
    made = table(5)
    made.set_me(record("me", 100, incarnation=2))
    assert made.view_hash == 105
    assert made.me.incarnation == made.records["me"].incarnation == 2


def test_who_leaves_is_out_of_its_own_view_and_back_in_it_with_a_new_record() -> None:
    made = table(5)
    made.hide_me(7.0)
    assert made.view_hash == 5
    assert made.gone["me"] == Gone(7.0, 1, None)
    made.set_me(record("me", 100, incarnation=2))
    assert (made.view_hash, made.gone) == (105, {})


def test_loading_begins_with_others_and_our_own_newest_record() -> None:
    made = Table(ME)
    made.load([record("a", 5), record("me", 900), record("b", 7)])
    assert made.records["me"] == ME
    assert (made.live, made.view_hash) == (["a", "b"], 10)


steps = st.lists(
    st.tuples(st.sampled_from(["put", "bury", "forget"]), st.sampled_from("abcd"), st.integers(0, WHOLE - 1)),
    max_size=40,
)


@settings(max_examples=100, deadline=None)
@given(steps)
def test_the_hash_depends_on_who_is_there_and_not_on_how_it_came_about(changes: list[tuple[str, str, int]]) -> None:
    made = Table(ME)
    for what, peer, digest in changes:
        if what == "put":
            made.put(replace(record(peer, digest), incarnation=2))
        elif what == "bury" and made.is_live(peer):
            made.bury(peer, gone())
        elif what == "forget" and peer in made.gone:
            made.forget(peer)
    there = set(made.records) - set(made.gone) - {"me"}
    assert set(made.live) == there
    assert len(made.live) == len(there)
    assert made.view_hash == sum(made.records[peer].digest for peer in (*there, "me")) % WHOLE
