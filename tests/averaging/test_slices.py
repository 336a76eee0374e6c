"""Slices: how a vector is cut, whose each chunk is, and what is taken from whom."""

from __future__ import annotations

import numpy as np
import pytest

from actors.averaging.reduce import CHUNK, AllReduce, Float32, chunk_length, chunk_size
from actors.steps.messages import Phase

SCATTER, GATHER = Phase.SCATTER, Phase.GATHER


def vector(*values: float) -> Float32:
    return np.array(values, dtype=np.float32)


def round_of(me: str = "a", group: tuple[str, ...] = ("a", "b", "c")) -> AllReduce:
    """Six values, of which each of three owns two."""
    made = AllReduce(group, me, vector(1, 2, 3, 4, 5, 6))
    made.start()
    return made


@pytest.mark.parametrize(
    ("length", "replicas", "size"),
    [
        (1, 1, 1),
        (1, 4, 1),
        (7, 2, 4),  # 3.5 is rounded up, so that two chunks are enough
        (8, 2, 4),
        (9, 4, 3),
        (0, 3, 1),
        (5, 0, 5),
        (2 * CHUNK, 2, CHUNK),
        (2 * CHUNK + 1, 2, CHUNK),  # not more than a MiB
        (2 * CHUNK - 2, 2, CHUNK - 1),
    ],
)
def test_every_replica_owns_a_part_and_no_chunk_is_above_a_mebibyte(length: int, replicas: int, size: int) -> None:
    assert chunk_size(length, replicas) == size
    assert CHUNK * 4 == 1024 * 1024


@pytest.mark.parametrize(
    ("chunk", "elements"), [(0, 4), (1, 3), (2, None), (-1, None), (-2, None)], ids=["first", "last", "2", "-1", "-2"]
)
def test_seven_values_for_two_are_chunks_of_four_and_three(chunk: int, elements: int | None) -> None:
    assert chunk_length(7, 2, chunk) == elements
    assert [chunk_length(8, 2, number) for number in (0, 1, 2)] == [4, 4, None]


def test_a_chunk_goes_to_its_owner_first() -> None:
    """Chunk k is that of replica k mod R; its own one goes nowhere."""
    out = AllReduce(("a", "b", "c"), "b", vector(1, 2, 3, 4, 5, 6)).start()
    assert [(one.to, one.phase, one.chunk, one.values.tolist()) for one in out] == [
        ("a", SCATTER, 0, [1, 2]),
        ("c", SCATTER, 2, [5, 6]),
    ]


def test_owners_take_turns_where_there_are_more_chunks_than_replicas() -> None:
    values = np.zeros(2 * CHUNK + 3, np.float32)
    out = AllReduce(("a", "b"), "b", values).start()
    assert [(one.to, one.chunk, len(one.values)) for one in out] == [("a", 0, CHUNK), ("a", 2, 3)]


def test_the_owner_sends_the_sum_to_all_others_when_it_has_all_parts() -> None:
    one = round_of("a")
    assert one.receive("c", SCATTER, 0, vector(10, 20)) == []
    out = one.receive("b", SCATTER, 0, vector(100, 200))
    assert [(part.to, part.phase, part.chunk, part.values.tolist()) for part in out] == [
        ("b", GATHER, 0, [111, 222]),
        ("c", GATHER, 0, [111, 222]),
    ]
    assert one.average[:2].tolist() == [111, 222]


def test_an_average_is_taken_from_the_owner_of_its_chunk_only() -> None:
    one = round_of("a")
    assert one.receive("c", GATHER, 1, vector(7, 7)) == []
    assert one.missing() == ["b", "c"], "chunk 1 is b's"
    one.receive("b", GATHER, 1, vector(8, 9))
    one.receive("b", GATHER, 2, vector(7, 7))
    assert one.missing() == ["b", "c"], "b's part of our own chunk, and chunk 2, which is c's"
    one.receive("c", GATHER, 2, vector(10, 11))
    one.receive("b", SCATTER, 0, vector(0, 0))
    assert one.missing() == ["c"]
    one.receive("c", SCATTER, 0, vector(0, 0))
    assert one.complete
    assert one.average.tolist() == [1, 2, 8, 9, 10, 11]


@pytest.mark.parametrize(
    ("sender", "phase", "chunk", "values"),
    [
        ("stranger", SCATTER, 0, vector(9, 9)),
        ("stranger", GATHER, 1, vector(9, 9)),
        ("b", SCATTER, 1, vector(9, 9)),  # of a chunk that is not ours to add
        ("b", GATHER, 0, vector(9, 9)),  # of a chunk that is ours
        ("b", SCATTER, 0, vector(9)),
        ("b", SCATTER, 0, vector(9, 9, 9)),
        ("b", GATHER, 1, vector(9)),
        ("b", SCATTER, 3, vector(9, 9)),
        ("b", SCATTER, -3, vector(9, 9)),
        ("b", GATHER, 4, vector(9, 9)),
        ("b", GATHER, -2, vector(9, 9)),
    ],
)
def test_what_does_not_fit_changes_nothing(sender: str, phase: Phase, chunk: int, values: Float32) -> None:
    one = round_of("a")
    assert one.receive(sender, phase, chunk, values) == []
    assert one.missing() == ["b", "c"]
    assert one.receive("c", SCATTER, 0, vector(10, 20)) == []
    out = one.receive("b", SCATTER, 0, vector(100, 200))
    assert out[0].values.tolist() == [111, 222]
    assert one.missing() == ["b", "c"], "their own chunks"


@pytest.mark.parametrize(("phase", "sender", "chunk"), [(GATHER, "b", 4), (GATHER, "c", -1), (GATHER, "c", 5)])
def test_nothing_of_a_chunk_that_does_not_exist_completes_a_round(phase: Phase, sender: str, chunk: int) -> None:
    one = round_of("a")
    for peer in ("b", "c"):
        one.receive(peer, SCATTER, 0, vector(0, 0))
    one.receive("b", GATHER, 1, vector(0, 0))
    one.receive(sender, phase, chunk, vector())
    assert not one.complete and one.missing() == ["c"]


def test_the_first_part_of_a_sender_counts_and_a_repeat_is_not_added() -> None:
    one = round_of("a")
    one.receive("b", SCATTER, 0, vector(100, 200))
    assert one.receive("b", SCATTER, 0, vector(9, 9)) == []
    assert one.receive("c", SCATTER, 0, vector(10, 20))[0].values.tolist() == [111, 222]


def test_what_comes_again_after_the_sum_is_there_changes_nothing() -> None:
    one = round_of("a")
    one.receive("b", SCATTER, 0, vector(100, 200))
    one.receive("c", SCATTER, 0, vector(10, 20))
    assert one.receive("b", SCATTER, 0, vector(9, 9)) == []
    one.receive("b", GATHER, 1, vector(8, 9))
    one.receive("b", GATHER, 1, vector(0, 0))
    assert one.average[:4].tolist() == [111, 222, 8, 9]


def test_who_is_awaited_is_who_has_not_sent_its_part_or_its_sum() -> None:
    one = round_of("b", ("a", "b", "c"))
    assert one.missing() == ["a", "c"]
    one.receive("a", SCATTER, 1, vector(0, 0))
    assert one.missing() == ["a", "c"], "the sum of chunk 0 is a's"
    one.receive("a", GATHER, 0, vector(0, 0))
    assert one.missing() == ["c"]
    one.receive("c", SCATTER, 1, vector(0, 0))
    assert one.missing() == ["c"], "the sum of chunk 2"
    one.receive("c", GATHER, 2, vector(0, 0))
    assert one.missing() == [] and one.complete
