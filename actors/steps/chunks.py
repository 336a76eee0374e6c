"""Flat vectors in chunks that are checked one by one."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from actors.averaging.reduce import CHUNK, Float32, chunk_size

SMALLEST = 1 << 16
"""Elements of a chunk at least: 256 KiB of float32, a fifth of a second at 10 Mbit/s."""
MOST_CHUNKS = 2048
"""Of one vector, as long as they stay below `CHUNK` elements: a list of hashes has to fit into a message."""
HASH_BYTES = 16


@dataclass(frozen=True)
class Cutting:
    """How a vector of so many elements is cut.

    Args:
        length: elements of the vector.
        smallest: elements of a chunk at least.
    """

    length: int
    smallest: int = SMALLEST

    @property
    def size(self) -> int:
        """Elements of all chunks but the last."""
        return min(CHUNK, max(self.smallest, -(-self.length // MOST_CHUNKS)))

    @property
    def count(self) -> int:
        """How many chunks there are."""
        return -(-self.length // self.size)

    def elements(self, chunk: int) -> int:
        """Elements of chunk number `chunk`; 0 where there is none."""
        return max(0, min(self.size, self.length - chunk * self.size)) if chunk >= 0 else 0

    def cut(self, values: Float32, chunk: int) -> Float32:
        """Chunk number `chunk` of a vector; a view."""
        return values[chunk * self.size : (chunk + 1) * self.size]

    def hashes(self, values: Float32) -> tuple[bytes, ...]:
        """Hash of each chunk of a vector."""
        return tuple(digest(self.cut(values, chunk)) for chunk in range(self.count))

    def fits(self, hashes: Sequence[bytes]) -> bool:
        """Whether these can be the hashes of such a vector."""
        return self.length > 0 and len(hashes) == self.count and all(len(one) == HASH_BYTES for one in hashes)


def digest(values: Float32) -> bytes:
    """Hash of one chunk."""
    return hashlib.blake2b(values.data, digest_size=HASH_BYTES).digest()


def average_digest(values: Float32, replicas: int) -> str:
    """The hash by which a decision names an average that so many replicas made (see `AllReduce.digest`)."""
    total, size = hashlib.blake2b(digest_size=HASH_BYTES), chunk_size(len(values), replicas)
    for at in range(0, len(values), size):
        total.update(digest(values[at : at + size]))
    return total.hexdigest()
