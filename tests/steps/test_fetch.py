"""A vector from several donors at once: what is asked of whom, and what is asked again."""

from __future__ import annotations

import numpy as np

from actors.averaging.reduce import Float32
from actors.steps.chunks import Cutting
from actors.steps.fetch import WINDOW, Fetch
from actors.steps.messages import Offer, Part

VALUES = np.arange(23, dtype=np.float32)
CUTTING = Cutting(23, 2)
"""Twelve chunks, the last of one value."""
OFFER = Offer(Part.STATE, 5, 0, CUTTING.hashes(VALUES), "proof", 1.0, 1)


def fetch(*donors: str) -> Fetch:
    made = Fetch(OFFER, CUTTING)
    made.donors += donors
    return made


def chunk(number: int) -> Float32:
    return CUTTING.cut(VALUES, number)


def test_chunks_are_asked_in_turn_of_those_who_owe_least_and_four_of_each_at_most() -> None:
    asked = fetch("a", "b").ask({"a", "b"}, {})
    assert asked == [(peer, number) for number, peer in enumerate("abababab")]
    assert WINDOW == 4


def test_what_donors_owe_of_other_vectors_counts() -> None:
    load = {"a": 3, "b": 1}
    assert fetch("a", "b").ask({"a", "b"}, load) == [("b", 0), ("b", 1), ("a", 2), ("b", 3)]
    assert load == {"a": 4, "b": 4}


def test_nothing_is_asked_of_who_cannot_be_reached_or_did_not_offer() -> None:
    one = fetch("a", "b")
    assert {peer for peer, _ in one.ask({"b", "c"}, {})} == {"b"}
    assert fetch("a").ask({"b"}, {}) == []
    assert fetch().ask({"a"}, {}) == []


def test_a_chunk_is_asked_for_once() -> None:
    one = fetch("a")
    assert [number for _, number in one.ask({"a"}, {})] == [0, 1, 2, 3]
    assert one.ask({"a"}, {"a": 4}) == []
    assert one.take(1, chunk(1))
    assert one.ask({"a"}, {"a": 3}) == [("a", 4)]


def test_what_is_owed_is_what_was_asked_for_and_is_not_here() -> None:
    one = fetch("a", "b")
    one.ask({"a", "b"}, {"b": 2})
    one.take(0, chunk(0))
    load = {"a": 1}
    one.owed(load)
    assert load == {"a": 1 + 3, "b": 2}
    assert one.outstanding == {"a", "b"}


def test_what_a_lost_donor_owes_is_asked_of_the_others() -> None:
    one = fetch("a", "b")
    one.ask({"a", "b"}, {})  # a: 0, 2, 4, 6; b: 1, 3, 5, 7
    one.take(2, chunk(2))
    one.without("a")
    assert one.donors == ["b"]
    assert one.outstanding == {"b"}
    assert one.ask({"a", "b"}, {}) == [("b", 0), ("b", 4), ("b", 6), ("b", 8)]


def test_a_chunk_is_as_good_from_another_donor_and_counts_once() -> None:
    """Whose it was is not asked: the hash decides."""
    one = fetch("a")
    for number in range(CUTTING.count):
        assert one.begun == (number > 0) and not one.complete
        assert one.take(number, chunk(number))
        assert one.take(number, VALUES[:1]), "what is here already is not looked at"
    assert one.complete
    assert one.whole().tolist() == VALUES.tolist()


def test_a_chunk_that_does_not_exist_changes_nothing() -> None:
    one = fetch("a")
    assert one.take(12, chunk(0)) and one.take(-1, chunk(11))
    assert not one.begun


def test_a_damaged_chunk_is_not_taken_and_stays_asked_for() -> None:
    one = fetch("a")
    one.ask({"a"}, {})
    assert not one.take(0, chunk(1))
    assert not one.take(0, VALUES[:3])
    assert not one.take(11, VALUES[22:22])
    assert not one.begun
    assert one.outstanding == {"a"}


def test_an_offer_is_of_the_same_vector_if_nothing_in_it_differs() -> None:
    hashes = CUTTING.hashes(VALUES)
    assert fetch().same(Offer(Part.STATE, 5, 0, hashes, "proof", 1.0, 1))
    for other in (
        Offer(Part.AVERAGE, 5, 0, hashes, "proof", 1.0, 1),
        Offer(Part.STATE, 6, 0, hashes, "proof", 1.0, 1),
        Offer(Part.STATE, 5, 1, hashes, "proof", 1.0, 1),
        Offer(Part.STATE, 5, 0, hashes[::-1], "proof", 1.0, 1),
        Offer(Part.STATE, 5, 0, hashes, "other", 1.0, 1),
        Offer(Part.STATE, 5, 0, hashes, "proof", 0.5, 1),
        Offer(Part.STATE, 5, 0, hashes, "proof", 1.0, 2),
    ):
        assert not fetch().same(other)


def test_a_value_has_four_bytes() -> None:
    assert fetch().nbytes == 92


def test_it_is_known_when_a_vector_was_offered_first() -> None:
    assert (Fetch(OFFER, CUTTING, 7.5).began, Fetch(OFFER, CUTTING).began) == (7.5, 0.0)
