"""One vector fetched from several donors at once, every chunk checked by its hash. Pure bookkeeping.

A chunk is asked for once, of the donor with the least outstanding; what a donor that is lost had not sent is asked of
the others. A chunk that was asked of one and comes from another is as good: the hash decides.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from actors.averaging.reduce import Float32
from actors.steps.chunks import Cutting, digest
from actors.steps.messages import Offer

WINDOW = 4
"""Chunks asked of one donor and not here yet: enough to keep its link busy, too few to fill its queue."""


class Fetch:
    """A vector on its way.

    Args:
        offer: what it is, and the hashes of its chunks.
        cutting: how it is cut.
        began: the time, in seconds.
    """

    def __init__(self, offer: Offer, cutting: Cutting, began: float = 0.0) -> None:
        self.offer = offer
        self.began = began
        """When it was offered first."""
        self._cutting = cutting
        self.donors: list[str] = []
        """Who offered it."""
        self._here: dict[int, Any] = {}
        self._asked: dict[int, str] = {}
        """Chunk -> donor that was asked for it."""

    def same(self, offer: Offer) -> bool:
        """Whether an offer is of the very same vector."""
        return offer == self.offer

    @property
    def complete(self) -> bool:
        """Whether all is here."""
        return len(self._here) == self._cutting.count

    @property
    def begun(self) -> bool:
        """Whether anything is here."""
        return bool(self._here)

    @property
    def outstanding(self) -> set[str]:
        """Donors that were asked for something that is not here."""
        return set(self._asked.values())

    def ask(self, usable: Collection[str], load: dict[str, int]) -> list[tuple[str, int]]:
        """What to ask of whom now: (donor, chunk) pairs. `load`: chunks that donors owe already; is updated."""
        able = [peer for peer in self.donors if peer in usable]
        out = []
        for chunk in range(self._cutting.count) if able else ():
            if chunk in self._here or chunk in self._asked:
                continue
            donor = min(able, key=lambda peer: load.get(peer, 0))
            if load.get(donor, 0) >= WINDOW:
                break
            load[donor] = load.get(donor, 0) + 1
            self._asked[chunk] = donor
            out.append((donor, chunk))
        return out

    def owed(self, load: dict[str, int]) -> None:
        """Add what donors owe of this vector."""
        for peer in self._asked.values():
            load[peer] = load.get(peer, 0) + 1

    def take(self, chunk: int, values: Any) -> bool:
        """Take a chunk; False when its bytes are not those of the offer."""
        if not 0 <= chunk < self._cutting.count or chunk in self._here:
            return True
        if len(values) != self._cutting.elements(chunk) or digest(values) != self.offer.chunks[chunk]:
            return False
        self._here[chunk] = values
        self._asked.pop(chunk, None)
        return True

    def without(self, peer: str) -> None:
        """A donor is lost, or of no use: what it owes is asked of others."""
        self.donors = [donor for donor in self.donors if donor != peer]
        self._asked = {chunk: donor for chunk, donor in self._asked.items() if donor != peer}

    @property
    def nbytes(self) -> int:
        """Bytes of the whole vector."""
        return 4 * self._cutting.length

    def whole(self) -> Float32:
        """The vector."""
        return np.concatenate([self._here[chunk] for chunk in range(self._cutting.count)])
