"""Content hashes: BLAKE3 of 32 bytes, of small files whole, of data files in blocks.

With a hash for every block, who reads a range of a file can verify just what it reads.
"""

from __future__ import annotations

from collections.abc import Sequence

from blake3 import blake3

DIGEST_BYTES = 32


def digest(data: bytes | bytearray | memoryview) -> str:
    """Return the hash of `data` in hexadecimal."""
    return blake3(data).hexdigest()


def block_digests(data: bytes | bytearray | memoryview, block_bytes: int) -> tuple[str, ...]:
    """Return the hash of every block; the last one may be shorter."""
    view = memoryview(data)
    return tuple(digest(view[at : at + block_bytes]) for at in range(0, len(view), block_bytes))


def wrong_blocks(data: bytes | memoryview, first: int, block_bytes: int, expected: Sequence[str]) -> list[int]:
    """Return the numbers of the blocks that are not as expected.

    Args:
        data: whole blocks, from the start of block `first`.
        first: number of the first block in the file.
        block_bytes: size of a block.
        expected: hashes of all blocks of the file.
    """
    found = block_digests(data, block_bytes)
    return [first + i for i, one in enumerate(found) if one != expected[first + i]]
