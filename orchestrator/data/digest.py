"""One way to hash, so that a fingerprint means the same everywhere."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable


def digest(*parts: str | bytes) -> str:
    """Return blake2b of the parts as 32 hexadecimal characters; where one part ends and the next begins counts."""
    return digest_all(parts)


def digest_all(parts: Iterable[str | bytes]) -> str:
    """Like `digest`, over a stream that need not fit into memory."""
    running = RunningDigest()
    for part in parts:
        running.add(part)
    return running.hex()


class RunningDigest:
    """A `digest` that is fed part by part."""

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=16)

    def add(self, part: str | bytes) -> None:
        """Add one part, preceded by its length."""
        raw = part.encode("utf-8", "surrogateescape") if isinstance(part, str) else part
        self._hash.update(len(raw).to_bytes(8, "little"))
        self._hash.update(raw)

    def hex(self) -> str:
        """Return the hash of what was added so far, 32 hexadecimal characters."""
        return self._hash.hexdigest()
