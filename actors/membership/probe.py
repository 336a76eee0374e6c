"""Probing (SWIM): everybody in turn, directly and then through others, on our behalf and on that of others."""

from __future__ import annotations

import math
from collections.abc import Callable

from actors.membership.context import Context
from actors.membership.messages import Ack, Nack, Ping, PingRequest
from actors.membership.statements import Evidence

MOST_RELAYS = 1024
"""Probes under way for others; more are not taken."""
_NACK_AFTER = 0.8
"""Share of the time for an indirect probe after which the helper says that it had no answer (Lifeguard)."""


class Probe:
    """One of our own probes."""

    __slots__ = ("asked", "fail_at", "hinted", "nacks", "refused", "relay_at", "sent_at", "target")

    def __init__(self, target: str, now: float, relay_at: float, fail_at: float, hinted: bool) -> None:
        self.target = target
        self.sent_at = now
        self.relay_at = relay_at
        self.fail_at = fail_at
        self.hinted = hinted
        self.refused = False
        """Its machine refused us."""
        self.asked: tuple[str, ...] = ()
        self.nacks: set[str] = set()


class Prober:
    """Probes of our own and those relayed for others.

    Args:
        context: shared state.
        answered: called with a member that answered.
        failed: called with a member that did not, the evidence, and whether there was a hint.
    """

    def __init__(
        self, context: Context, answered: Callable[[str], None], failed: Callable[[str, Evidence, bool], None]
    ) -> None:
        self._context = context
        self._answered = answered
        self._failed = failed
        self._seq = 0
        self._ring: list[str] = []
        self._place = 0
        self._probes: dict[int, Probe] = {}
        self._relayed: dict[int, tuple[str, int, str, float]] = {}
        """our number -> asker, its number, target, when to answer no"""
        self.next_at = context.now + context.rng.uniform(0, context.profile.interval_s)
        self.answer_at = -math.inf
        """When anybody answered last."""
        self.round_trips: dict[str, float] = {}
        """Smoothed seconds by member."""

    # --- when ----------------------------------------------------------------------------------------------------

    def deadline(self) -> float:
        """When `due` has to be called."""
        due = self.next_at
        for probe in self._probes.values():
            due = min(due, probe.fail_at if probe.asked or probe.relay_at == math.inf else probe.relay_at)
        if self._relayed:
            due = min(due, next(iter(self._relayed.values()))[3])
        return due

    def excuse(self, stall: float) -> None:
        """We did not run for so long: answers may be waiting."""
        for probe in self._probes.values():
            probe.relay_at += stall
            probe.fail_at += stall
        self._relayed = {number: (*job[:3], job[3] + stall) for number, job in self._relayed.items()}

    def due(self) -> None:
        """Do what is due."""
        now = self._context.now
        for seq, probe in list(self._probes.items()):
            if now >= probe.fail_at:
                self._fail(seq)
            elif now >= probe.relay_at:
                self._relay(seq, probe)
        while self._relayed:
            number, (asker, seq, _, until) = next(iter(self._relayed.items()))
            if now < until:
                break
            del self._relayed[number]
            self._context.send(asker, Nack(seq, refused=False))
        if now >= self.next_at:
            profile = self._context.profile
            self.next_at = max(self.next_at + profile.interval_s * self._context.rng.uniform(0.9, 1.1), now)
            target = self._turn()
            if target is not None:
                self.start(target)

    # --- our own -------------------------------------------------------------------------------------------------

    def start(self, target: str, *, hinted: bool = False) -> bool:
        """Probe a member now, unless that is under way; whether it was not."""
        for probe in self._probes.values():
            if probe.target == target:
                probe.hinted |= hinted
                return False
        context = self._context
        profile, scale = context.profile, context.awareness.scale
        now = context.now
        relay_at, fail_at = now + profile.timeout_s * scale, now + profile.probe_s * scale
        self._probes[self._number()] = Probe(target, now, relay_at, fail_at, hinted)
        self.call(target, self._seq)
        return True

    def call(self, target: str, seq: int = 0) -> None:
        """Ping; with number 0 nobody waits for the answer."""
        self._context.send(target, Ping(seq, self._context.table.view_hash, self._context.news_for(target)))

    def acked(self, peer: str, seq: int) -> None:
        """An Ack came: for our probe, directly or through a helper, or for one that we relay."""
        job = self._relayed.get(seq)
        if job is not None and job[2] == peer:
            del self._relayed[seq]
            self._context.send(job[0], Ack(job[1], self._context.table.view_hash))
            return
        probe = self._probes.get(seq)
        if probe is None or (peer != probe.target and peer not in probe.asked):
            return
        del self._probes[seq]
        self._context.awareness.better()
        self.answer_at = self._context.now
        if peer == probe.target:
            sample = self._context.now - probe.sent_at
            before = self.round_trips.get(peer)
            self.round_trips[peer] = sample if before is None else before + (sample - before) / 8
        self._answered(probe.target)

    def nacked(self, peer: str, seq: int) -> None:
        """A helper had no answer either."""
        probe = self._probes.get(seq)
        if probe is None or peer not in probe.asked:
            return
        probe.nacks.add(peer)
        if probe.refused and len(probe.nacks) == len(probe.asked):
            self._fail(seq)

    def unreachable(self, peer: str, refused: bool) -> None:
        """No connection to a peer formed: no need to wait for its answer."""
        for number, job in list(self._relayed.items()):
            if job[2] == peer:
                del self._relayed[number]
                self._context.send(job[0], Nack(job[1], refused))
        for seq, probe in list(self._probes.items()):
            if probe.target == peer:
                probe.refused |= refused
                if not probe.asked:
                    self._relay(seq, probe)

    def drop(self, target: str) -> None:
        """It is gone."""
        for seq in [seq for seq, probe in self._probes.items() if probe.target == target]:
            del self._probes[seq]
        self.round_trips.pop(target, None)

    def _relay(self, seq: int, probe: Probe) -> None:
        context = self._context
        probe.relay_at = math.inf
        probe.asked = tuple(context.some_live(context.profile.relays, but=probe.target))
        for helper in probe.asked:
            context.send(helper, PingRequest(seq, probe.target))
        if not probe.refused:
            self.call(probe.target, seq)  # once more ourselves: one lost packet must not need three others to be well
        if not probe.asked and probe.refused:
            self._fail(seq)

    def _fail(self, seq: int) -> None:
        probe = self._probes.pop(seq)
        missing = len(probe.asked) - len(probe.nacks)
        if missing and not probe.refused:
            self._context.awareness.worse(missing)
        evidence = Evidence.REFUSED if probe.refused else Evidence.SILENT
        self._failed(probe.target, evidence, probe.hinted)

    # --- for others ----------------------------------------------------------------------------------------------

    def asked(self, asker: str, request: PingRequest) -> None:
        """Somebody wants to know whether the target answers us."""
        context, profile = self._context, self._context.profile
        if request.target == context.me:
            context.send(asker, Ack(request.seq, context.table.view_hash))
        elif request.target not in context.table.records:
            context.send(asker, Nack(request.seq, refused=False))
        elif len(self._relayed) < MOST_RELAYS:
            until = context.now + _NACK_AFTER * (profile.probe_s - profile.timeout_s)
            number = self._number()
            self._relayed[number] = (asker, request.seq, request.target, until)
            self.call(request.target, number)

    # --- turns ---------------------------------------------------------------------------------------------------

    def joined(self, peer: str) -> None:
        """A new member gets a random place in this round."""
        if self._ring:
            self._ring.insert(self._context.rng.randint(0, len(self._ring)), peer)

    def _turn(self) -> str | None:
        """Whose turn it is: a random order, anew in every round; who is gone meanwhile is passed over."""
        context = self._context
        for _ in range(2):
            while self._place < len(self._ring):
                self._place += 1
                peer = self._ring[self._place - 1]
                if context.table.is_live(peer):
                    return peer
            self._ring = context.table.live[:]
            context.rng.shuffle(self._ring)
            self._place = 0
        return None

    def _number(self) -> int:
        self._seq += 1
        return self._seq
