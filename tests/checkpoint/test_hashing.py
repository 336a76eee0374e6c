"""Hashes of small files whole and of data files in blocks."""

from __future__ import annotations

import pytest

from checkpoint.hashing import block_digests, digest, wrong_blocks

DATA = bytes(range(10))


def test_the_hash_is_blake3_in_hexadecimal() -> None:
    # The first and second of the official test vectors: nothing, and one byte of zero.
    assert digest(b"") == "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
    assert digest(b"\0") == "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213"
    assert digest(bytearray(DATA)) == digest(memoryview(DATA)) == digest(DATA)


def test_every_block_has_a_hash_and_the_last_may_be_shorter() -> None:
    assert block_digests(DATA, 4) == (digest(DATA[:4]), digest(DATA[4:8]), digest(DATA[8:]))
    assert block_digests(DATA, 5) == (digest(DATA[:5]), digest(DATA[5:]))
    assert block_digests(DATA, 10) == block_digests(DATA, 99) == (digest(DATA),)
    assert block_digests(b"", 4) == ()


@pytest.mark.parametrize(
    ("damaged", "first", "wrong"),
    [
        ([], 0, []),
        ([3], 0, [0]),
        ([4, 9], 0, [1, 2]),
        ([0], 1, [1]),  # position 0 of what was read from block 1 on
        ([4, 5], 1, [2]),
    ],
)
def test_wrong_blocks_are_numbered_as_in_the_file(damaged: list[int], first: int, wrong: list[int]) -> None:
    read = bytearray(DATA[first * 4 :])
    for at in damaged:
        read[at] ^= 1
    assert wrong_blocks(bytes(read), first, 4, block_digests(DATA, 4)) == wrong
