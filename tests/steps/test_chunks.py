"""How a vector is cut for those who fetch it, and the hashes by which its chunks and an average are known."""

from __future__ import annotations

import hashlib
import struct

import numpy as np
import pytest

from actors.steps.chunks import Cutting, average_digest, digest


@pytest.mark.parametrize(
    ("length", "size", "count", "last"),
    [
        (0, 65536, 0, 0),
        (1, 65536, 1, 1),
        (65536, 65536, 1, 65536),
        (65537, 65536, 2, 1),
        (2048 * 65536, 65536, 2048, 65536),
        (2048 * 65536 + 1, 65537, 2048, 63490),  # 134217729 - 2047 * 65537
        (2048 * 262144, 262144, 2048, 262144),
        (2048 * 262144 + 1, 262144, 2049, 1),  # no chunk is above a MiB, so there are more of them
    ],
)
def test_a_chunk_is_between_a_quarter_of_a_mebibyte_and_one(length: int, size: int, count: int, last: int) -> None:
    cutting = Cutting(length)
    assert (cutting.size, cutting.count) == (size, count)
    assert cutting.elements(count - 1) == last
    if count > 1:
        assert cutting.elements(0) == size


@pytest.mark.parametrize(
    ("chunk", "elements"), [(-2, 0), (-1, 0), (0, 3), (1, 3), (2, 1), (3, 0), (4, 0)], ids=lambda value: str(value)
)
def test_seven_values_in_chunks_of_three_are_three_three_and_one(chunk: int, elements: int) -> None:
    assert Cutting(7, 3).elements(chunk) == elements


def test_chunks_follow_on_each_other() -> None:
    values = np.arange(7, dtype=np.float32)
    cutting = Cutting(7, 3)
    assert [cutting.cut(values, chunk).tolist() for chunk in range(3)] == [[0, 1, 2], [3, 4, 5], [6]]


def test_a_chunk_is_known_by_its_bytes() -> None:
    values = np.array([1.0, -2.0, 0.5], np.float32)
    assert digest(values) == hashlib.blake2b(struct.pack("<3f", 1.0, -2.0, 0.5), digest_size=16).digest()
    assert Cutting(3, 2).hashes(values) == (digest(values[:2]), digest(values[2:]))
    assert digest(np.array([0.0], np.float32)) != digest(np.array([-0.0], np.float32)), "bits and not values"


@pytest.mark.parametrize(
    ("length", "sizes", "fits"),
    [
        (7, [16, 16, 16], True),
        (7, [16, 16], False),
        (7, [16, 16, 16, 16], False),
        (7, [16, 16, 15], False),
        (7, [17, 16, 16], False),
        (6, [16, 16], True),
        (0, [], False),
    ],
    ids=str,
)
def test_hashes_fit_a_vector_if_there_is_one_of_sixteen_bytes_for_each_chunk(
    length: int, sizes: list[int], fits: bool
) -> None:
    assert Cutting(length, 3).fits([bytes(size) for size in sizes]) is fits


def test_an_average_is_hashed_in_the_pieces_of_those_who_made_it() -> None:
    """Five values: two replicas cut them into three and two, three replicas into two, two and one."""
    values = np.array([1, 2, 3, 4, 5], np.float32)

    def hashed(*pieces: bytes) -> str:
        whole = b"".join(hashlib.blake2b(piece, digest_size=16).digest() for piece in pieces)
        return hashlib.blake2b(whole, digest_size=16).hexdigest()

    one, two, three, four, five = (struct.pack("<f", value) for value in values)
    assert average_digest(values, 1) == hashed(one + two + three + four + five)
    assert average_digest(values, 2) == hashed(one + two + three, four + five)
    assert average_digest(values, 3) == hashed(one + two, three + four, five)
