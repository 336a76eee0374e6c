"""A shuffle that is never written down."""

from __future__ import annotations

import hashlib

_ROUNDS = 8
_WORD = 2**64 - 1


class Permutation:
    """A keyed permutation of [0, size) with O(1) memory: position -> element, without the other positions.

    A Feistel network over the smallest power of two that holds `size` (XOR of one half with a keyed hash of the other
    is its own inverse, so every round is a bijection whatever the hash), with cycle walking: what falls outside is
    permuted again until it is inside, at most twice on average (Black and Rogaway, "Ciphers with Arbitrary Finite
    Domains", 2002). It shuffles data; it keeps no secrets.
    """

    def __init__(self, size: int, key: str) -> None:
        """Permute [0, size) under `key`; another key gives another order."""
        assert 0 < size <= 2**63, size
        self._size = size
        bits = max(2, (size - 1).bit_length())
        self._low_bits = bits // 2
        self._low = (1 << self._low_bits) - 1
        self._high = (1 << (bits - self._low_bits)) - 1
        raw = hashlib.blake2b(key.encode(), digest_size=8 * _ROUNDS).digest()
        self._keys = [int.from_bytes(raw[at : at + 8], "little") for at in range(0, len(raw), 8)]

    def __call__(self, position: int) -> int:
        """Return the element at `position`, both in [0, size)."""
        assert 0 <= position < self._size, (position, self._size)
        element = self._once(position)
        while element >= self._size:
            element = self._once(element)
        return element

    def _once(self, value: int) -> int:
        high, low = value >> self._low_bits, value & self._low
        for even, odd in zip(self._keys[::2], self._keys[1::2], strict=True):
            high ^= _mix(low, even) & self._high
            low ^= _mix(high, odd) & self._low
        return high << self._low_bits | low


def _mix(value: int, key: int) -> int:
    """Scatter a value over 64 bits (the finisher of splitmix64)."""
    value = (value + key) & _WORD
    value = ((value ^ value >> 30) * 0xBF58476D1CE4E5B9) & _WORD
    value = ((value ^ value >> 27) * 0x94D049BB133111EB) & _WORD
    return value ^ value >> 31
