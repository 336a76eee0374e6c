"""Finding others: at the beginning, after a partition, and when a mesh was founded twice.

Everyone who is dead to us, and every address that we were ever told to join through and behind which nobody in the
view lives, is tried again, with back-off, for as long as we know of it. Whoever answers gets a push-pull, which merges
both views; those who were held dead come back under a higher incarnation.
"""

from __future__ import annotations

import math
from collections import OrderedDict

from actors.membership.context import Context
from actors.membership.events import Contact
from actors.membership.sync import PushPull

MOST_ADDRESSES = 256
_FIRST_S = 0.25
_AT_ONCE = 8
_GROWTH = 1.5
_LONGEST = 4
"""One and the same absent member or address is tried at most this many times less often than at first."""


class Rejoin:
    """Tries addresses outside the view, in turn."""

    def __init__(self, context: Context, pushpull: PushPull) -> None:
        self._context = context
        self._pushpull = pushpull
        self._addresses: OrderedDict[str, None] = OrderedDict()
        self._tries: dict[str, tuple[float, int]] = {}
        """absent member or address -> when it may be tried again, tries"""
        self._pause = _FIRST_S
        self.next_at = math.inf

    @property
    def addresses(self) -> tuple[str, ...]:
        """What we were told to join through."""
        return tuple(self._addresses)

    def join(self, addresses: tuple[str, ...]) -> None:
        """Find the mesh through these addresses; all are tried at once, the first time."""
        for address in addresses:
            self._addresses[address] = None
            if len(self._addresses) > MOST_ADDRESSES:
                self._addresses.popitem(last=False)
        for address in self._absent_addresses()[:_AT_ONCE]:
            self._contact(address)
        self.next_at = self._context.now + _FIRST_S

    def lost(self, peer: str) -> None:
        """A member is gone for us, not on its own wish."""
        first = self._context.now + self._context.profile.rejoin_s
        self._tries[peer] = (first, 0)
        self.next_at = min(self.next_at, first)

    def found(self, peer: str) -> None:
        """It is in the view."""
        self._tries.pop(peer, None)

    def due(self) -> None:
        """Try one of those whose time has come; the one that waited longest."""
        context = self._context
        if context.now < self.next_at:
            return
        absent = [peer for peer, gone in context.table.gone.items() if gone.accusation is not None]
        candidates = absent + self._absent_addresses()
        if not candidates:
            self.next_at = math.inf if not self._addresses else context.now + context.profile.rejoin_s * _LONGEST
            return
        ripe = min(candidates, key=lambda one: (self._tries.get(one, (0.0, 0))[0], context.rng.random()))
        if self._tries.get(ripe, (0.0, 0))[0] <= context.now:
            self._try(ripe)
        self.next_at = context.now + self._wait()

    def _wait(self) -> float:
        """Lonely members ask often at first; others so often that a whole mesh does not flood the absent."""
        context = self._context
        if not context.table.live:
            self._pause = min(self._pause * _GROWTH, context.profile.rejoin_s)
            return self._pause
        self._pause = _FIRST_S
        return context.profile.rejoin_after(context.members) * context.rng.uniform(0.7, 1.3)

    def _try(self, one: str) -> None:
        context = self._context
        tries = self._tries.get(one, (0.0, 0))[1]
        pause = context.profile.rejoin_s * min(_LONGEST, _GROWTH**tries) if context.table.live else 0.0
        self._tries[one] = (context.now + pause, tries + 1)
        if one in self._addresses:
            self._contact(one)
        else:
            self._pushpull.begin(one)

    def _contact(self, address: str) -> None:
        self._context.out.append(Contact(address, self._pushpull.hello()))

    def _absent_addresses(self) -> list[str]:
        """Known addresses behind which nobody in the view lives."""
        if not self._addresses:
            return []
        table = self._context.table
        here = {
            address for peer, record in table.records.items() if peer not in table.gone for address in record.addresses
        }
        return [address for address in self._addresses if address not in here]
