"""What a participant sent, by purpose."""

from __future__ import annotations

from collections import Counter

from actors.transport.base import SentBytes
from actors.transport.frame import Frame
from actors.transport.schema import TrafficClass


class SentCounter:
    """Counts frame bytes by purpose."""

    def __init__(self) -> None:
        self._by_class: Counter[TrafficClass] = Counter()
        self._boundary: Counter[int] = Counter()

    def add(self, frame: Frame, message: object) -> None:
        """A frame was accepted for sending."""
        self._by_class[frame.kind.traffic] += frame.nbytes
        boundary = getattr(message, "boundary", None)
        if isinstance(boundary, int):
            self._boundary[boundary] += frame.nbytes

    def snapshot(self) -> SentBytes:
        """The counts now."""
        return SentBytes(dict(self._by_class), dict(self._boundary))
