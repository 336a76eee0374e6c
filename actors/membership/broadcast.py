"""News that is on its way: every piece is passed on a bounded number of times, the least told one first."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

LIMIT = 8192
"""Pieces of news kept; beyond, the most told one is dropped (push-pull carries it)."""


@dataclass(slots=True)
class _News:
    wire: bytes
    age: int
    most: int
    """Heard so often from others it is dropped."""
    told: int = 0
    heard: int = 0

    def rank(self) -> tuple[int, int]:
        """The least told first, among these the newest."""
        return self.told, -self.age


class Broadcasts:
    """A queue of statements. One about a subject replaces an older one of the same kind about it."""

    def __init__(self, well_known: int) -> None:
        """A piece is told no more when it was heard `well_known` times from others."""
        self._well_known = well_known
        self.news: dict[tuple[str, str], _News] = {}
        """(subject, accuser or nothing) -> statement; for others to read only"""
        self._count = 0

    def __len__(self) -> int:
        return len(self.news)

    def add(self, subject: str, wire: bytes, accuser: str = "", most: int | None = None) -> None:
        """Tell this, until it was heard `most` times where that is given.

        `accuser` keeps suspicions of several accusers apart; news of the subject itself ends them.
        """
        if not accuser:
            self.drop(subject)
        self._count += 1
        self.news[subject, accuser] = _News(wire, self._count, self._well_known if most is None else most)
        if len(self.news) > LIMIT:
            del self.news[max(self.news, key=lambda key: self.news[key].told)]

    def drop(self, subject: str) -> None:
        """Say nothing more about it."""
        for key in [key for key in self.news if key[0] == subject]:
            del self.news[key]

    def heard(self, subject: str, accuser: str = "") -> None:
        """Somebody told us what we tell: often enough, and it is well known (the counter of Demers et al., 1987)."""
        piece = self.news.get((subject, accuser))
        if piece is not None:
            piece.heard += 1
            if piece.heard >= piece.most:
                del self.news[subject, accuser]

    def clear(self) -> None:
        """There is nobody to tell."""
        self.news.clear()

    def take(self, room: int, limit: int, most: int = 32) -> tuple[bytes, ...]:
        """Statements of at most `room` bytes together for one message; those told `limit` times are dropped."""
        news = self.news
        if not news:
            return ()
        chosen: list[bytes] = []
        for key in list(news) if len(news) == 1 else heapq.nsmallest(most, news, key=lambda key: news[key].rank()):
            piece = news[key]
            if len(piece.wire) > room:
                continue
            room -= len(piece.wire)
            chosen.append(piece.wire)
            piece.told += 1
            if piece.told >= limit:
                del news[key]
        return tuple(chosen)
