"""Whom this member knows: the newest record of each, who is gone, and the hash of the view."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from actors.membership.statements import Accusation, Record

MOST = 20_000
"""Members known at once; more are refused."""
_MASK = (1 << 64) - 1


@dataclass(slots=True)
class Gone:
    """Why and since when a member is not in the view."""

    since: float
    incarnation: int
    """It comes back only above this."""
    accusation: Accusation | None
    """The verdict; None when it said goodbye itself."""


class Table:
    """Records by identity. The view is everyone in it who is not gone, the member itself included."""

    def __init__(self, me: Record) -> None:
        self.me = me
        self.records: dict[str, Record] = {me.peer_id: me}
        self.gone: dict[str, Gone] = {}
        self.live: list[str] = []
        """The others in the view."""
        self.view_hash = me.digest
        """Sum of the digests of all records in the view: the order in which they came does not matter."""

    def load(self, records: Iterable[Record]) -> None:
        """Begin with these members in the view."""
        self.records = {record.peer_id: record for record in records}
        self.records[self.me.peer_id] = self.me
        self.live = [peer for peer in self.records if peer != self.me.peer_id]
        self.view_hash = sum(record.digest for record in self.records.values()) & _MASK

    def is_live(self, peer: str) -> bool:
        """Whether it is in the view, and not ourselves."""
        return peer in self.records and peer not in self.gone and peer != self.me.peer_id

    def set_me(self, record: Record) -> None:
        """The own record changed."""
        if self.me.peer_id in self.gone:
            del self.gone[self.me.peer_id]
        else:
            self._turn(-self.me.digest)
        self.me = self.records[record.peer_id] = record
        self._turn(record.digest)

    def hide_me(self, now: float) -> None:
        """We left."""
        self.gone[self.me.peer_id] = Gone(now, self.me.incarnation, None)
        self._turn(-self.me.digest)

    def put(self, record: Record) -> None:
        """A newer record of somebody else, who is in the view from now on."""
        peer = record.peer_id
        old = self.records.get(peer)
        if old is None or self.gone.pop(peer, None) is not None:
            self.live.append(peer)
        else:
            self._turn(-old.digest)
        self.records[peer] = record
        self._turn(record.digest)

    def bury(self, peer: str, gone: Gone) -> None:
        """Somebody in the view is gone."""
        self._turn(-self.records[peer].digest)
        self.live.remove(peer)
        self.gone[peer] = gone

    def forget(self, peer: str) -> None:
        """Somebody who was gone for long enough."""
        del self.gone[peer], self.records[peer]

    def _turn(self, digest: int) -> None:
        self.view_hash = (self.view_hash + digest) & _MASK
