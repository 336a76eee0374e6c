"""Messages that came before their time."""

from __future__ import annotations

from collections import deque

from actors.steps.jobs import Payload

MOST_KEPT = 8192
"""Messages of a decision that is not known or not applied here yet; the oldest ones are dropped."""


class Early:
    """Keeps them in the order in which they came. Whoever takes them handles each as if it came then."""

    def __init__(self) -> None:
        self._kept: deque[tuple[str, object, Payload]] = deque(maxlen=MOST_KEPT)

    def keep(self, peer: str, message: object, payload: Payload = ()) -> None:
        """One more, from this peer."""
        self._kept.append((peer, message, payload))

    def take(self) -> list[tuple[str, object, Payload]]:
        """All of them; some may come back at once, as they are early still."""
        taken = list(self._kept)
        self._kept.clear()
        return taken
