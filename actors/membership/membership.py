"""The membership core: SWIM with Lifeguard and push-pull, as a pure state machine.

    idle --Join--> looking --first other member--> in the mesh --Leave--> leaving --leave_s--> left

Papers: SWIM (Das 2002), Lifeguard (arXiv 1707.00788); push-pull and the scaling of its rate as in memberlist. What is
ours is said in docs/membership.md. Owns no socket, no clock, no random source of its own.
"""

from __future__ import annotations

import dataclasses
import math
import random
from collections import Counter
from collections.abc import Iterable, Mapping

from actors.membership.accuse import Court
from actors.membership.context import Context
from actors.membership.events import (
    Broken,
    Effect,
    Event,
    Hint,
    Join,
    Leave,
    Received,
    Tick,
    Unreachable,
    Update,
)
from actors.membership.messages import (
    Ack,
    Digest,
    Gossip,
    Items,
    Nack,
    Ping,
    PingRequest,
    Sync,
    Want,
)
from actors.membership.partition import PartitionWatch
from actors.membership.probe import Prober
from actors.membership.profile import MembershipProfile
from actors.membership.rejoin import Rejoin
from actors.membership.statements import Accusation, Card, Evidence, Notary, Record, RefusedError, State, Verdict
from actors.membership.suspicion import Suspicion
from actors.membership.sync import PushPull
from actors.membership.table import MOST, Gone, Table

_ROOM = 4096
"""Bytes of news in one gossip message."""
_STALL = 0.25
"""A timer that comes later than this share of `timeout_s` means that we did not run for a while."""
_REAP_EVERY_S = 60.0
_TWIN_S = 1.0
"""Two processes with one key would raise each other's incarnation without end; this is how often they may."""


class Membership:
    """One member's knowledge of the mesh.

    Args:
        card: what it says about itself.
        notary: signs and verifies.
        profile: timing.
        rng: source of randomness.
        now: seconds of the clock that all later calls use.
        life: the first incarnation: above every one that an earlier process of this identity used, as far as it
            knows. A higher one that others remember is learned from them.
    """

    def __init__(
        self, card: Card, notary: Notary, profile: MembershipProfile, rng: random.Random, now: float, life: int
    ) -> None:
        self._card = card
        self._life = life
        self._table = Table(notary.record(card, life, life))
        self._context = Context(self._table, notary, profile, rng, now)
        self._pushpull = PushPull(self._context, self._apply)
        self._prober = Prober(self._context, self._answered, self._probe_failed)
        self._court = Court(
            self._context, self._prober.start, self._prober.call, lambda: self._prober.answer_at, self._buried
        )
        self._rejoin = Rejoin(self._context, self._pushpull)
        self._partition = PartitionWatch(self._context)
        self._gossip_at = math.inf
        self._left_at = math.inf
        self._reap_at = now + _REAP_EVERY_S
        self._twin_at = -math.inf
        self._leaving = self.left = False
        self._due = now
        self._handlers = {
            Ping: self._ping,
            Ack: self._ack,
            PingRequest: self._ping_request,
            Nack: self._nack,
            Gossip: self._news,
            Items: self._news,
            Sync: self._sync,
            Digest: self._digest,
            Want: self._want,
        }

    # --- what the owner reads ------------------------------------------------------------------------------------

    @property
    def record(self) -> Record:
        """The own record."""
        return self._table.me

    @property
    def records(self) -> Mapping[str, Record]:
        """The newest record of everyone known, the gone included."""
        return self._table.records

    @property
    def live(self) -> list[str]:
        """The other members in the view."""
        return self._table.live

    @property
    def gone(self) -> Mapping[str, Gone]:
        """Who is dead or left."""
        return self._table.gone

    @property
    def suspicions(self) -> Mapping[str, Suspicion]:
        """Who is suspected, and by whom."""
        return self._context.suspicions

    @property
    def view_hash(self) -> int:
        """64 bits that are equal where the views are."""
        return self._table.view_hash

    @property
    def views(self) -> Mapping[str, int]:
        """The view hash that each member showed last."""
        return self._pushpull.views

    @property
    def split(self) -> set[str]:
        """Members whose view has stayed different from ours."""
        return self._pushpull.split

    @property
    def beyond(self) -> set[str]:
        """Members that are probably behind a cut."""
        return self._partition.beyond

    @property
    def round_trips(self) -> Mapping[str, float]:
        """Smoothed round trips in seconds."""
        return self._prober.round_trips

    @property
    def health(self) -> int:
        """The local health score; 0 is well."""
        return self._context.awareness.score

    @property
    def refused(self) -> Counter[str]:
        """Messages and statements that changed nothing, by reason."""
        return self._context.refused

    def preload(self, records: Iterable[Record]) -> None:
        """Begin in the middle of a formed mesh."""
        self._table.load(records)
        self._due = self._deadline()

    def next_deadline(self) -> float:
        """When a `Tick` is due at the latest."""
        return self._due

    # --- events --------------------------------------------------------------------------------------------------

    def handle(self, now: float, event: Event) -> list[Effect]:
        """Take an event and return what is to be done, in order. After the end nothing happens."""
        context = self._context
        context.now = now
        if self.left:
            return []
        if now > self._due + _STALL * context.profile.timeout_s:
            self._stalled(now - self._due)
        if isinstance(event, Received):
            self._received(event)
            if now >= self._due:
                self._run_due()
        else:
            if not isinstance(event, Tick):
                self._other(event)
            self._run_due()
        if context.broadcasts.news and self._gossip_at == math.inf:
            self._gossip_at = now + context.rng.random() * context.profile.gossip_s / 2
        self._due = math.inf if self.left else self._deadline()
        effects, context.out = context.out, []
        return effects

    def _other(self, event: Event) -> None:
        match event:
            case Broken(peer):
                if self._table.is_live(peer):
                    self._prober.start(peer, hinted=True)
            case Unreachable(peer, refused):
                suspicion = self._context.suspicions.get(peer)
                if refused and self._table.is_live(peer) and not (suspicion and suspicion.mine):
                    self._prober.start(peer, hinted=True)
                self._prober.unreachable(peer, refused)
            case Hint(peer, reason):
                if self._table.is_live(peer) and self._prober.start(peer, hinted=True):
                    self._context.note("hint", peer, f"{self._context.named(peer)} is probed at once: {reason}")
            case Join(addresses):
                self._rejoin.join(tuple(one for one in addresses if one not in self.record.addresses))
            case Update(changes):
                if not self._leaving:
                    self._card = dataclasses.replace(self._card, **changes)
                    self._say_again(self.record.incarnation + 1)
            case Leave():
                self._leave()

    def _received(self, event: Received) -> None:
        peer, message = event.peer, event.message
        if peer == self._context.me:
            return
        if peer in self._context.suspicions:
            self._court.heard(peer)
        self._handlers[type(message)](peer, message)  # type: ignore[operator]

    def _stalled(self, stall: float) -> None:
        """We did not run for so long: nobody else is to blame, and answers may be waiting to be read."""
        context = self._context
        grace = stall + context.profile.timeout_s / 2
        self._prober.excuse(grace)
        self._court.excuse(grace)
        if stall > context.profile.timeout_s:
            context.awareness.worse()

    def _run_due(self) -> None:
        context = self._context
        self._prober.due()
        self._court.due()
        self._pushpull.due()
        self._rejoin.due()
        if context.now >= self._gossip_at:
            self._gossip()
        if context.now >= self._reap_at:
            self._reap()
        if context.now >= self._left_at:
            self.left = True

    def _deadline(self) -> float:
        return min(
            self._prober.deadline(),
            self._court.deadline(),
            self._pushpull.next_at,
            self._rejoin.next_at,
            self._gossip_at,
            self._reap_at,
            self._left_at,
        )

    # --- messages ------------------------------------------------------------------------------------------------

    def _ping(self, peer: str, message: Ping) -> None:
        self._apply(message.updates)
        context = self._context
        context.send(peer, Ack(message.seq, self._table.view_hash, context.news_for(peer)))
        self._pushpull.saw(peer, message.view)

    def _ack(self, peer: str, message: Ack) -> None:
        self._apply(message.updates)
        self._prober.acked(peer, message.seq)
        self._pushpull.saw(peer, message.view)

    def _ping_request(self, peer: str, message: PingRequest) -> None:
        self._apply(message.updates)
        self._prober.asked(peer, message)

    def _nack(self, peer: str, message: Nack) -> None:
        self._prober.nacked(peer, message.seq)

    def _news(self, peer: str, message: Gossip | Items) -> None:
        self._apply(message.updates)

    def _sync(self, peer: str, message: Sync) -> None:
        self._apply(message.updates)
        self._pushpull.synced(peer, message)
        self._pushpull.saw(peer, message.view)

    def _digest(self, peer: str, message: Digest) -> None:
        self._pushpull.digested(peer, message)

    def _want(self, peer: str, message: Want) -> None:
        self._pushpull.wanted(peer, message)

    # --- statements ----------------------------------------------------------------------------------------------

    def _apply(self, wires: Iterable[bytes]) -> None:
        for wire in wires:
            try:
                statement = self._context.notary.open(wire)
            except RefusedError as error:
                self._context.refused[error.reason] += 1
                continue
            if isinstance(statement, Record):
                self._record(statement)
            else:
                self._accusation(statement)

    def _record(self, record: Record) -> None:
        context, peer = self._context, record.peer_id
        if peer == context.me:
            self._own(record)
            return
        known = self._table.records.get(peer)
        gone = self._table.gone.get(peer)
        if known is None:
            if record.state is not State.LEFT:
                self._welcome(record)
            return
        newest = known.incarnation if gone is None else gone.incarnation
        if record.incarnation < newest:
            context.refused["stale"] += 1
            return
        if record.incarnation == newest and gone is not None:
            if gone.accusation is None:
                context.broadcasts.heard(peer)
            return
        if record.incarnation == newest and record.digest <= known.digest:
            if record.digest != known.digest:
                context.refused["twin"] += 1
            else:
                context.broadcasts.heard(peer)
            return
        if record.state is State.LEFT:
            if gone is None:
                self._table.put(record)
                self._court.left(peer, record.wire, record.incarnation)
                self._partition.forget(peer)
            return
        what = "back" if gone is not None else "refuted" if self._court.refuted(peer, record.incarnation) else "updated"
        self._table.put(record)
        context.broadcasts.add(peer, record.wire)
        context.changed(peer, what)
        if what == "back":
            self._found(peer, f"{record.name} is back, incarnation {record.incarnation}")

    def _welcome(self, record: Record) -> None:
        """Somebody new."""
        context = self._context
        if len(self._table.records) >= MOST:
            context.refused["too-many-members"] += 1
            return
        self._table.put(record)
        context.broadcasts.add(record.peer_id, record.wire)
        context.changed(record.peer_id, "joined")
        self._found(record.peer_id, f"{record.name} joined")

    def _found(self, peer: str, text: str) -> None:
        self._prober.joined(peer)
        self._rejoin.found(peer)
        self._partition.back(peer)
        self._context.note("joined", peer, text)

    def _accusation(self, accusation: Accusation) -> None:
        context, records = self._context, self._table.records
        if accusation.subject == context.me:
            if accusation.incarnation < self.record.incarnation:
                context.refused["stale"] += 1
            elif not self._leaving:
                self._refute(accusation)
        elif accusation.subject not in records or accusation.accuser not in records:
            context.refused["unknown-member"] += 1
        elif accusation.verdict is Verdict.DEAD:
            self._court.bury(accusation)
        else:
            self._court.accused(accusation)

    # --- about ourselves -----------------------------------------------------------------------------------------

    def _own(self, record: Record) -> None:
        """Others remember more of us than we do: an earlier process of this identity, or a twin."""
        if record.incarnation < self.record.incarnation:
            self._context.refused["stale"] += 1
        newer = record.incarnation > self.record.incarnation
        twin = record.incarnation == self.record.incarnation and record.digest != self.record.digest
        if not (newer or twin) or self._leaving or self._context.now < self._twin_at:
            return
        self._twin_at = self._context.now + _TWIN_S
        if record.life != self._life:
            self._life = record.incarnation + 1
        text = f"others knew incarnation {record.incarnation} of us, so we go on above it"
        self._context.note("incarnation", self._context.me, text)
        self._say_again(record.incarnation + 1)

    def _refute(self, accusation: Accusation) -> None:
        context = self._context
        context.awareness.worse()
        word = "dead" if accusation.verdict is Verdict.DEAD else "suspect"
        context.note("refuted", context.me, f"{context.named(accusation.accuser)} held us {word}; we are here")
        self._say_again(accusation.incarnation + 1)

    def _say_again(self, incarnation: int) -> None:
        """A new record of our own, told at once."""
        record = self._context.notary.record(self._card, self._life, incarnation)
        self._table.set_me(record)
        self._context.broadcasts.add(record.peer_id, record.wire)
        self._context.changed_at = self._context.now
        self._gossip_at = self._context.now

    def _leave(self) -> None:
        if self._leaving:
            return
        context = self._context
        self._card = dataclasses.replace(self._card, state=State.LEFT)
        self._say_again(self.record.incarnation + 1)
        self._leaving = True
        self._table.hide_me(context.now)
        self._rejoin.next_at = math.inf
        self._left_at = context.now + context.profile.leave_s
        for peer in context.some_live(2 * context.profile.fanout):
            context.send(peer, Gossip((self.record.wire,)))

    # --- probing, dying, spreading -------------------------------------------------------------------------------

    def _answered(self, peer: str) -> None:
        """A probe was answered, maybe through somebody else."""
        if peer in self._context.suspicions:
            self._court.heard(peer)

    def _probe_failed(self, peer: str, evidence: Evidence, hinted: bool) -> None:
        if not self._leaving:
            self._court.accuse(peer, evidence, hinted)

    def _buried(self, peer: str) -> None:
        self._prober.drop(peer)
        self._pushpull.forget(peer)
        gone = self._table.gone[peer]
        if gone.accusation is not None:
            self._rejoin.lost(peer)
            self._partition.dead(peer, gone.accusation.evidence)

    def _gossip(self) -> None:
        context, profile = self._context, self._context.profile
        limit = profile.retransmits(context.members)
        doubtful = context.suspicions
        hearers = context.some_live(profile.fanout + min(len(doubtful), 2 * profile.fanout))
        for peer in [peer for peer in hearers if peer not in doubtful][: profile.fanout]:
            news = context.broadcasts.take(_ROOM, limit)
            if not news:
                break
            context.send(peer, Gossip(news))
        again = len(context.broadcasts) and self._table.live
        self._gossip_at = context.now + profile.gossip_s if again else math.inf
        if not self._table.live:
            context.broadcasts.clear()

    def _reap(self) -> None:
        """Forget those who were gone for long enough."""
        context = self._context
        self._reap_at = context.now + _REAP_EVERY_S
        for peer in [
            peer for peer, gone in self._table.gone.items() if context.now - gone.since > context.profile.reap_s
        ]:
            if peer != context.me:
                self._table.forget(peer)
                self._rejoin.found(peer)
                self._partition.forget(peer)
