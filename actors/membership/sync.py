"""Push-pull: two members compare their view hashes, then what they know, and send what the other one lacks.

    A -- Sync(hash) --> B        equal: B answers Sync(hash), and that was all
    A <-- Digest ------ B        (identity, incarnation, gone) of everyone B knows, 17 bytes each
    A -- Items, Want -> B        what B lacks, and what A lacks
    A <-- Items ------- B

memberlist sends its whole state each time; here the state of the mesh travels only where it differs.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable

from actors.membership.context import Context
from actors.membership.messages import MAX_ITEMS_BYTES, MAX_MESSAGE, Digest, Items, Sync, Want
from actors.membership.table import MOST

_ENTRY = struct.Struct(">8sQB")
_ALIVE, _GONE = 0, 1
_SPLIT_SYNCS = 3
"""A difference is told to a person when it survived so many push-pulls with that member."""

assert MOST * _ENTRY.size < MAX_MESSAGE


class PushPull:
    """Comparing views.

    Args:
        context: shared state.
        apply: called with statements from a peer.
    """

    def __init__(self, context: Context, apply: Callable[[Iterable[bytes]], None]) -> None:
        self._context = context
        self._apply = apply
        profile = context.profile
        self.next_at = context.now + profile.sync_s * context.rng.uniform(0.2, 1.0)
        self._quick_at = context.now
        self.views: dict[str, int] = {}
        """The view hash that each member showed last."""
        self._differs: dict[str, tuple[float, int]] = {}
        """member -> since when its hash differs, and push-pulls since"""
        self.split: set[str] = set()
        """Members whose views stay different."""

    def due(self) -> None:
        """The periodic push-pull."""
        context = self._context
        if context.now < self.next_at:
            return
        self.next_at = context.now + context.profile.sync_after(context.members) * context.rng.uniform(0.8, 1.2)
        for peer in context.some_live(1):
            self.begin(peer)

    def hello(self) -> Sync:
        """The first message of a push-pull, with the own record."""
        return Sync(self._context.table.view_hash, False, (self._context.table.me.wire,))

    def begin(self, peer: str) -> None:
        """Compare views with a member."""
        about = self._context.said_about(peer)
        message = self.hello()
        self._context.send(peer, Sync(message.view, False, (*message.updates, about)) if about else message)

    def saw(self, peer: str, view: int) -> None:
        """A member showed its view hash. A difference that outlives the spreading of news is looked into."""
        context = self._context
        if peer not in self.views and not context.table.is_live(peer):
            return
        self.views[peer] = view
        if view == context.table.view_hash:
            if self._differs:
                self._differs.pop(peer, None)
                self.split.discard(peer)
            return
        now, profile = context.now, context.profile
        since, syncs = self._differs.setdefault(peer, (now, 0))
        settled = now - context.changed_at > 10 * profile.gossip_s
        if settled and now >= self._quick_at:
            self._quick_at = now + profile.interval_s
            self._differs[peer] = (since, syncs + 1)
            self.begin(peer)
        if syncs >= _SPLIT_SYNCS and now - since > profile.split_s and peer not in self.split:
            self.split.add(peer)
            name = context.named(peer)
            context.note(
                "view-split",
                peer,
                f"{name} has had another view for {now - since:.0f} s: {view:016x} there, "
                f"{context.table.view_hash:016x} here; compare the `status` of both",
            )

    def forget(self, peer: str) -> None:
        """It is gone."""
        self.views.pop(peer, None)
        self._differs.pop(peer, None)
        self.split.discard(peer)

    # --- messages ------------------------------------------------------------------------------------------------

    def synced(self, peer: str, message: Sync) -> None:
        """A Sync came."""
        context = self._context
        if message.view != context.table.view_hash:
            context.send(peer, Digest(context.table.view_hash, self._entries()))
        elif not message.answer:
            context.send(peer, Sync(context.table.view_hash, True))

    def digested(self, peer: str, message: Digest) -> None:
        """What a peer knows: send what it lacks, ask for what we lack."""
        context, table = self._context, self._context.table
        ours = {bytes.fromhex(known[:16]): known for known in table.records}
        lacking: list[bytes] = []
        giving: list[str] = []
        for short, incarnation, gone in _ENTRY.iter_unpack(message.entries):
            known = ours.pop(short, None)
            if known is None:
                lacking.append(short)
                continue
            mine, theirs = self._version(known), (incarnation, min(gone, _GONE))
            if mine > theirs:
                giving.append(known)
            elif mine < theirs:
                lacking.append(short)
        giving.extend(ours.values())
        self._give(peer, giving)
        for first in range(0, len(lacking), 4096):
            context.send(peer, Want(b"".join(lacking[first : first + 4096])))

    def wanted(self, peer: str, message: Want) -> None:
        """Send what a peer lacks."""
        ids = {message.ids[at : at + 8] for at in range(0, len(message.ids), 8)}
        self._give(peer, [known for known in self._context.table.records if bytes.fromhex(known[:16]) in ids])

    def _version(self, peer: str) -> tuple[int, int]:
        table = self._context.table
        gone = table.gone.get(peer)
        return (table.records[peer].incarnation, _ALIVE) if gone is None else (gone.incarnation, _GONE)

    def _entries(self) -> bytes:
        pack = _ENTRY.pack
        return b"".join([pack(bytes.fromhex(peer[:16]), *self._version(peer)) for peer in self._context.table.records])

    def _give(self, peer: str, subjects: Iterable[str]) -> None:
        """Records first: a verdict is taken only from an accuser who is known."""
        table = self._context.table
        chosen = list(subjects)
        wires = [table.records[subject].wire for subject in chosen]
        gone = [table.gone[subject] for subject in chosen if subject in table.gone]
        judges = {each.accusation.accuser for each in gone if each.accusation is not None}
        wires += [table.records[judge].wire for judge in judges - set(chosen) if judge in table.records]
        wires += [each.accusation.wire for each in gone if each.accusation is not None]
        part: list[bytes] = []
        room = MAX_ITEMS_BYTES
        for wire in wires:
            if part and (room < len(wire) or len(part) >= 512):
                self._context.send(peer, Items(tuple(part)))
                part, room = [], MAX_ITEMS_BYTES
            part.append(wire)
            room -= len(wire)
        if part:
            self._context.send(peer, Items(tuple(part)))
