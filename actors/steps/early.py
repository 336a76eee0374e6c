"""Messages that came before their time."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import count

from actors.steps.jobs import Payload

MOST_KEPT, MOST_BYTES = 4096, 256 << 20
"""Messages about a decision that is not known or not applied here yet, and bytes of their tensors, of one peer. Its own
oldest ones are dropped: whoever fills its share takes nobody else's."""


@dataclass
class _Share:
    """What came of one peer."""

    kept: deque[tuple[int, object, Payload]] = field(default_factory=deque)
    """Each with its place among those of all peers."""
    nbytes: int = 0


class Early:
    """Keeps them in the order in which they came. Whoever takes them handles each as if it came then."""

    def __init__(self) -> None:
        self._shares: dict[str, _Share] = {}
        self._places = count()

    def keep(self, peer: str, message: object, payload: Payload = ()) -> None:
        """One more, from this peer."""
        share = self._shares.setdefault(peer, _Share())
        share.kept.append((next(self._places), message, payload))
        share.nbytes += _size(payload)
        while len(share.kept) > MOST_KEPT or (share.nbytes > MOST_BYTES and len(share.kept) > 1):
            share.nbytes -= _size(share.kept.popleft()[2])

    def take(self) -> list[tuple[str, object, Payload]]:
        """All of them; some may come back at once, as they are early still."""
        taken = {
            place: (peer, message, payload)
            for peer, share in self._shares.items()
            for place, message, payload in share.kept
        }
        self._shares.clear()
        return [taken[place] for place in sorted(taken)]


def _size(payload: Payload) -> int:
    return sum(getattr(part, "nbytes", 0) for part in payload) if isinstance(payload, tuple) else 0
