"""One member of the gossip mesh in real time: the membership core, its links, the clock, and what it keeps on disk."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from actors.clock import SYSTEM_CLOCK, Clock
from actors.membership import events
from actors.membership.membership import Membership
from actors.membership.messages import decode, encode
from actors.membership.profile import MembershipProfile
from actors.membership.statements import Card, Notary, RefusedError
from actors.membership.view import GossipView

log = logging.getLogger("tessera.mesh")
SAVE_S, SAVE_FRESH_S = 5.0, 1.0
"""Incarnation and addresses are written at most this often; the second where somebody came or went since."""
KEPT_ADDRESSES = 64
THROUGHPUT_S, THROUGHPUT_SHARE = 30.0, 0.2
"""The measured speed is told to the others at most this often, and when it changed by this share."""
FILE = "mesh.json"


class GossipLinks(Protocol):
    """What carries messages between cores: best effort, never waiting."""

    def send(self, peer_id: str, addresses: tuple[str, ...], data: bytes) -> None:
        """To a peer, over a link that stands or through one of the addresses."""

    def contact(self, address: str, data: bytes) -> None:
        """To whoever of the run answers there."""


class Mesh:
    """Drives a `Membership`. Everything runs in one event loop.

    Args:
        card: what the member says about itself; its addresses are those it can be reached at.
        notary: signs and verifies its statements.
        profile: timing.
        links: carries messages; calls `on_gossip`, `on_gossip_broken`, `on_gossip_unreachable`.
        folder: where incarnation and addresses outlive the process; None for nowhere.
        changed: called with (peer id, what) when the view changed.
        note: called with (kind, detail) for a person.
        clock: of the process.
        rng: chooses whom to probe and whom to tell; None: seeded by the system.
    """

    def __init__(
        self,
        card: Card,
        notary: Notary,
        profile: MembershipProfile,
        links: GossipLinks,
        folder: Path | None,
        changed: Callable[[str, str], None],
        note: Callable[[str, str], None],
        clock: Clock = SYSTEM_CLOCK,
        rng: random.Random | None = None,
    ) -> None:
        self._folder = folder
        self._links = links
        self._changed, self._note = changed, note
        self._loop = asyncio.get_running_loop()
        saved = read_saved(folder)
        life = max(saved.incarnation + 1, int(clock.wall()))
        self.life = life
        """Number of this process: higher than that of any earlier one of the same identity."""
        self.core = Membership(card, notary, profile, rng or random.Random(), self._loop.time(), life)
        self.view = GossipView(self.core)
        """Whom routing may use."""
        self._profile = profile
        self._known = saved.addresses
        self._saved_at = -SAVE_S
        self._fresh = False
        """Somebody came or went since addresses were kept last."""
        self._throughput_at = -THROUGHPUT_S
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._closed = False
        self.changed = asyncio.Event()
        """Set whenever the view changed; whoever waits for it clears it."""
        self._save()
        self._handle(events.Tick())

    # --- what the owner does -------------------------------------------------------------------------------------

    def join(self, addresses: tuple[str, ...]) -> None:
        """Find the mesh through these addresses (`tcp:host:port`) and through those known from before."""
        self._handle(events.Join((*addresses, *(one for one in self._known if one not in addresses))))

    def hint(self, peer: str, reason: str) -> None:
        """Something says that a peer may be gone: it is probed at once."""
        self._handle(events.Hint(peer, reason))

    def update(self, **changes: Any) -> None:
        """Change the own record: stage, addresses, capacity, throughput, state."""
        self._handle(events.Update(changes))

    def tell_throughput(self, speed: float) -> None:
        """Change the own record's measured speed (tokens/s) when that is worth a message to everybody."""
        now, told = self._loop.time(), self.core.record.throughput
        if now - self._throughput_at >= THROUGHPUT_S and abs(speed - told) > THROUGHPUT_SHARE * told:
            self._throughput_at = now
            self.update(throughput=speed)

    async def leave(self) -> None:
        """Say goodbye; returns when the others had the time to hear it."""
        if self._closed or self.core.left:
            return
        self._handle(events.Leave())
        await asyncio.sleep(self._profile.leave_s if self.core.live else 0)
        self.close()

    def close(self) -> None:
        """Stop, without a word to anybody."""
        if self._closed:
            return
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._save()

    # --- what links call -----------------------------------------------------------------------------------------

    def on_gossip(self, peer_id: str, data: bytes) -> None:
        """Bytes from an authenticated peer."""
        try:
            message = decode(data)
        except RefusedError as error:
            self.core.refused[error.reason] += 1
            log.warning("refused gossip of %s: %s", peer_id[:8], error)
            return
        self._handle(events.Received(peer_id, message))

    def on_gossip_broken(self, peer_id: str) -> None:
        """A link ended, not on purpose."""
        self._handle(events.Broken(peer_id))

    def on_gossip_unreachable(self, peer_id: str, address: str, refused: bool) -> None:
        """No link formed."""
        self._handle(events.Unreachable(peer_id, refused))

    # --- inside --------------------------------------------------------------------------------------------------

    def _handle(self, event: events.Event) -> None:
        if self._closed:
            return
        for effect in self.core.handle(self._loop.time(), event):
            match effect:
                case events.Send(peer, addresses, message):
                    self._links.send(peer, addresses, encode(message))
                case events.Contact(address, message):
                    self._links.contact(address, encode(message))
                case events.Changed(peer, what):
                    self._fresh = True
                    self.changed.set()
                    self._changed(peer, what)
                case events.Note(kind, _, detail):
                    self._note(kind, detail)
        self._save_when_due()
        self._arm()

    def _arm(self) -> None:
        """One timer, moved only when it would ring too late."""
        due = self.core.next_deadline()
        if self._timer is None or due < self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = due
            self._timer = self._loop.call_at(due, self._ring)

    def _ring(self) -> None:
        self._timer = None
        if self._loop.time() < self.core.next_deadline():
            self._arm()
            return
        self._handle(events.Tick())

    def _save_when_due(self) -> None:
        """At once when the first others are found: who is killed right afterwards has to find them again."""
        age = self._loop.time() - self._saved_at
        if age > SAVE_S or (self._fresh and (age > SAVE_FRESH_S or not self._known)):
            self._save()

    def _save(self) -> None:
        """Keep the incarnation and some addresses of others, so that a restart finds the mesh without its founders."""
        self._saved_at, self._fresh = self._loop.time(), False
        if self._folder is None:
            return
        live = [self.core.records[peer] for peer in self.core.live[:KEPT_ADDRESSES]]
        addresses = [record.addresses[0] for record in live if record.addresses] or self._known
        self._known = list(addresses)
        data = {"incarnation": self.core.record.incarnation, "addresses": self._known}
        path = self._folder / FILE
        text = json.dumps(data)
        try:
            if path.exists() and path.read_text() == text:
                return
            part = path.with_suffix(".part")
            part.write_text(text)
            part.replace(path)
        except OSError as error:
            log.warning("cannot keep the mesh's addresses in %s: %s", path, error)


class Saved:
    """What an earlier process of this identity left behind."""

    def __init__(self, incarnation: int = 0, addresses: list[str] | None = None) -> None:
        self.incarnation = incarnation
        self.addresses = addresses or []


def read_saved(folder: Path | None) -> Saved:
    """Read it; a damaged file is reported and counts as none (others remember our incarnation)."""
    if folder is None or not (folder / FILE).exists():
        return Saved()
    try:
        data = json.loads((folder / FILE).read_text())
        incarnation = int(data["incarnation"])
        addresses = [str(one) for one in data["addresses"]][:KEPT_ADDRESSES]
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("%s is damaged (%s); going on without it", folder / FILE, error)
        return Saved()
    return Saved(incarnation, addresses)
