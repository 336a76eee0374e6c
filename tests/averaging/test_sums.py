"""What a round adds up to: the same bits whatever arrives first, their hash and their sum of squares."""

from __future__ import annotations

import hashlib
import itertools
import struct

import numpy as np
import pytest

from actors.averaging.reduce import AllReduce, Float32

GROUP = ("a", "b", "c")


def vector(*values: float) -> Float32:
    return np.array(values, dtype=np.float32)


def exchange(values: dict[str, Float32], arrival: tuple[str, ...], group: tuple[str, ...]) -> dict[str, AllReduce]:
    """All rounds after every slice has arrived; those of a peer that is earlier in `arrival` come first."""
    rounds = {peer: AllReduce(group, peer, values[peer]) for peer in group}
    sent = {peer: rounds[peer].start() for peer in group}
    sums = []
    for sender in arrival:
        for out in sent[sender]:
            sums += rounds[out.to].receive(sender, out.phase, out.chunk, out.values)
    for out in sums:  # each made by the owner of its chunk
        assert rounds[out.to].receive(group[out.chunk % len(group)], out.phase, out.chunk, out.values) == []
    return rounds


# 1e8 + -1e8 + 1 is 1, and 1e8 + (-1e8 + 1) is 0: float32 has no number between 1e8 - 8 and 1e8.
FIRST = {"a": vector(1e8, 1e8, 1e8), "b": vector(-1e8, -1e8, -1e8), "c": vector(1.0, 1.0, 1.0)}


@pytest.mark.parametrize("arrival", list(itertools.permutations(GROUP)), ids="".join)
def test_parts_are_added_in_the_order_of_identities_and_not_of_arrival(arrival: tuple[str, ...]) -> None:
    rounds = exchange(FIRST, arrival, GROUP)
    for one in rounds.values():
        assert one.complete
        assert one.average.tobytes() == vector(1.0, 1.0, 1.0).tobytes()
    assert len({one.digest for one in rounds.values()}) == 1
    assert {one.sum_of_squares for one in rounds.values()} == {3.0}


@pytest.mark.parametrize("arrival", list(itertools.permutations(GROUP)), ids="".join)
def test_another_order_of_the_group_is_another_sum(arrival: tuple[str, ...]) -> None:
    """(1 + 1e8) + -1e8 is 0: the order is the one that the leader names."""
    rounds = exchange(FIRST, arrival, ("c", "a", "b"))
    assert all(one.average.tobytes() == vector(0.0, 0.0, 0.0).tobytes() for one in rounds.values())


def test_gradients_come_weighted_so_they_are_added_and_not_averaged() -> None:
    rounds = exchange({"a": vector(1.0, 10.0), "b": vector(2.0, 20.0)}, ("a", "b"), ("a", "b"))
    assert rounds["a"].average.tolist() == rounds["b"].average.tolist() == [3.0, 30.0]


def test_a_replicas_own_gradient_is_only_read() -> None:
    values = {"a": vector(1.0, 10.0), "b": vector(2.0, 20.0)}
    for one in values.values():
        one.flags.writeable = False
    exchange(values, ("b", "a"), ("a", "b"))
    assert values["a"].tolist() == [1.0, 10.0]


def test_a_single_replica_is_done_at_once() -> None:
    one = AllReduce(("a",), "a", vector(3.0, 4.0))
    assert one.start() == []
    assert one.complete and one.missing() == []
    assert one.average.tolist() == [3.0, 4.0]
    assert one.sum_of_squares == 25.0


def test_the_hash_is_that_of_the_chunks_hashes_of_the_sum() -> None:
    """Three values for two replicas are chunks of two and one: (1+2, 2+2) and (3+2)."""
    rounds = exchange({"a": vector(1.0, 2.0, 3.0), "b": vector(2.0, 2.0, 2.0)}, ("a", "b"), ("a", "b"))
    chunks = [struct.pack("<2f", 3.0, 4.0), struct.pack("<1f", 5.0)]
    whole = b"".join(hashlib.blake2b(chunk, digest_size=16).digest() for chunk in chunks)
    expected = hashlib.blake2b(whole, digest_size=16).hexdigest()
    assert [one.digest for one in rounds.values()] == [expected, expected]


def test_the_sum_of_squares_is_of_the_sum_and_has_double_precision() -> None:
    """Of (3, 4, 12): 9 + 16 + 144. Squares of 1e20 are beyond float32, which has no 2^24 + 1 either."""
    small = exchange({"a": vector(1.0, 2.0, 6.0), "b": vector(2.0, 2.0, 6.0)}, ("a", "b"), ("a", "b"))
    assert [one.sum_of_squares for one in small.values()] == [169.0, 169.0]
    large = AllReduce(("a",), "a", vector(1e20))
    large.start()
    assert large.sum_of_squares == pytest.approx(1e40, rel=1e-6)
    fine = AllReduce(("a",), "a", vector(4096.0, 1.0))
    fine.start()
    assert fine.sum_of_squares == 4096.0**2 + 1.0


def test_a_sum_that_is_not_a_number_shows_in_the_sum_of_squares() -> None:
    one = AllReduce(("a",), "a", vector(1.0, float("nan")))
    one.start()
    assert one.complete and one.sum_of_squares != one.sum_of_squares
