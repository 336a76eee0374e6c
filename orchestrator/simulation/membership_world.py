"""A mesh in virtual time: the very membership cores that participants run, on a network that loses and cuts."""

from __future__ import annotations

import random
from collections import Counter, OrderedDict
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import Any

from actors.membership.events import Broken, Changed, Contact, Join, Leave, Note, Received, Send, Tick, Unreachable
from actors.membership.membership import Membership
from actors.membership.messages import Ack, Digest, Gossip, Items, Message, Nack, Ping, PingRequest, Sync, Want
from actors.membership.profile import MembershipProfile
from actors.membership.statements import Card, Notary, State, Statement
from orchestrator.simulation.faults import Fault
from orchestrator.simulation.network import Quality
from orchestrator.simulation.stub_crypto import StubCrypto, credential_of
from orchestrator.simulation.trace import Trace
from orchestrator.simulation.world import Condition, Node, World

RUN = "simulated"
PACKET = 14 + 52 + 22 + 4
"""Bytes around a message: Ethernet (as loopback counts it), TCP/IP, TLS, and our prefix."""
_FIXED: dict[type, int] = {
    Ping: 24,
    Ack: 24,
    PingRequest: 50,
    Nack: 12,
    Gossip: 8,
    Items: 8,
    Sync: 16,
    Digest: 20,
    Want: 8,
}
DIAL_S = 2.0
_TICK = Tick()


def size_of(message: Message) -> int:
    """Bytes of a message on the wire, to within a few."""
    size = PACKET + _FIXED[type(message)]
    if isinstance(message, Digest):
        return size + len(message.entries)
    if isinstance(message, Want):
        return size + len(message.ids)
    if isinstance(message, Nack) or not message.updates:
        return size
    return size + sum(map(len, message.updates)) + 3 * len(message.updates)


class MembershipWorld(World):
    """Members of one mesh.

    Args:
        seed: replays everything.
        profile: timing of the members.
        quality: of the network.
        trace: where to keep lines; None for none.
        count_bytes: whether to add up message sizes (slower).
        formed: members begin in one formed mesh; otherwise they join through the first.
    """

    def __init__(
        self,
        seed: int,
        nodes: int,
        profile: MembershipProfile,
        quality: Quality | None = None,
        trace: Trace | None = None,
        *,
        count_bytes: bool = False,
        formed: bool = True,
    ) -> None:
        super().__init__(seed, quality or Quality(), _TICK, trace)
        self.profile = profile
        self._usual = self.network.quality
        self._losses = 0
        """Times of worse quality that are not over."""
        self.messages = 0
        self.bytes = 0
        self.busiest = 0
        """Most messages that one member sent in one second."""
        self.reached: Counter[str] = Counter()
        """What happened, by kind: faults, and changes that members saw."""
        self.false_deaths: list[tuple[float, str, str]] = []
        """(when, who said it, who) of members that were held dead while they ran."""
        self.known_dead: dict[tuple[str, str], float] = {}
        """(who, held dead by) -> since when"""
        self.notes: Counter[str] = Counter()
        self._secrets: dict[str, bytes] = {}
        self._cache: OrderedDict[bytes, Statement] = OrderedDict()
        self._addresses: dict[str, str] = {}
        self._graves: dict[tuple[str, str], int] = {}
        self._count_bytes = count_bytes
        self._paused_until: dict[str, float] = {}
        self.doomed: set[str] = set()
        """Names of those who will be gone for good."""
        cores = [self._new_core(number) for number in range(nodes)]
        records = {core.record.peer_id: core.record for core in cores}
        for core in cores:
            if formed:
                core.preload(records.values())
            node = self.add(core.record.peer_id, core.record.name, core)
            if not formed:
                self.give(node, Join((cores[0].record.addresses[0],)))

    # --- members -------------------------------------------------------------------------------------------------

    def core(self, node: Node) -> Membership:
        """A node's core."""
        assert isinstance(node.core, Membership)
        return node.core

    def named(self, name: str) -> Node:
        """The node of that name."""
        return next(node for node in self.nodes.values() if node.name == name)

    def join(self, through: Node) -> Node:
        """A new member comes, through another one."""
        return self.come(self.core(through).record.addresses)

    def come(self, doors: Iterable[str]) -> Node:
        """A new member comes, and is told these addresses; that of member number n is `tcp:home-n:1`."""
        core = self._new_core(len(self.nodes))
        node = self.add(core.record.peer_id, core.record.name, core)
        self.give(node, Join(tuple(doors)))
        return node

    def _new_core(self, number: int) -> Membership:
        peer = self.kernel.rng.randbytes(32).hex()
        self._secrets[peer] = self.kernel.rng.randbytes(16)
        address = f"tcp:home-{number}:1"
        self._addresses[address] = peer
        return self._make(peer, f"n{number}", address, 1)

    def _make(self, peer: str, name: str, address: str, life: int) -> Membership:
        notary = Notary(RUN, StubCrypto(self._secrets, peer), credential_of(peer))
        notary.cache = self._cache
        card = Card(peer, name, 0, (address,), state=State.ACTIVE)
        rng = random.Random(self.kernel.rng.random())
        return Membership(card, notary, self.profile, rng, self.kernel.now, life)

    def reborn(self, node: Node, *, memory: bool) -> Membership:
        """A new process: with its incarnation and addresses from the disk, or with nothing but its key."""
        before = self.core(node)
        life = before.record.incarnation + 1 if memory else 1
        return self._make(node.peer, node.name, before.record.addresses[0], life)

    def restart(self, node: Node, *, memory: bool) -> None:
        """Start it again; without memory it joins through one address that a person gave it.

        That address is of somebody who is not gone for good: two who know nothing but a dead one never meet.
        """
        for key in [key for key in self._graves if key[1] == node.peer]:
            del self._graves[key]
            self.known_dead.pop(key, None)
        known = [self.core(node).records[peer].addresses[0] for peer in self.core(node).live[:3]]
        super().restart(node, memory=memory)
        lasting = [other for other in self.nodes.values() if other is not node and other.name not in self.doomed]
        door = self.core(self.kernel.rng.choice(lasting)).record.addresses[0]
        doors = known if memory and known else [door]
        self.give(node, Join(tuple(doors)))

    # --- effects -------------------------------------------------------------------------------------------------

    def perform(self, node: Node, effect: Any) -> None:
        """Carry messages; watch what members believe."""
        kind = type(effect)
        if kind is Send:
            target = self.nodes.get(effect.peer)
            self._sent(node, effect.message)
            if target is None:
                return
            if target.condition is Condition.UP or target.condition is Condition.PAUSED:
                self._carry(node, target, effect.message)
            else:
                self._to_nobody(node, target)
        elif kind is Contact:
            self._contact(node, effect)
        elif kind is Changed:
            self.note_change(node, effect)
        elif kind is Note:
            self.notes[effect.kind] += 1
            self.say(node, effect)

    def _to_nobody(self, node: Node, target: Node) -> None:
        """The process is gone: its machine refuses, or there is none and the dial takes its time."""
        if target.condition is Condition.CRASHED and self.network.blocked(node.peer, target.peer):
            return
        refused = target.condition is Condition.CRASHED
        after = 2 * self.network.quality.delay_s if refused else DIAL_S
        self.kernel.after(after, self.deliver, node, node.life, Unreachable(target.peer, refused=refused))

    def _contact(self, node: Node, effect: Contact) -> None:
        self._sent(node, effect.message)
        target = self.nodes.get(self._addresses.get(effect.address, ""))
        if target is not None and target is not node:
            self._carry(node, target, effect.message)

    def _carry(self, node: Node, target: Node, message: Message) -> None:
        kernel, peer = self.kernel, node.peer
        arrivals = self.network.arrivals(kernel.now, peer, target.peer)
        if arrivals:
            target.linked.add(peer)
            event = Received(peer, message)
            for at in arrivals:
                kernel.at(at, self.deliver, target, target.life, event)

    def _sent(self, node: Node, message: Message) -> None:
        self.messages += 1
        if self._count_bytes:
            self.bytes += size_of(message)
        second = int(self.kernel.now)
        if node.second != second:
            node.second, node.sent = second, 0
        node.sent += 1
        if node.sent > self.busiest:
            self.busiest = node.sent

    def process_gone(self, node: Node) -> None:
        """Whoever has a link to a crashed process sees it break, unless a cut is between them."""
        linked, node.linked = node.linked, set()
        for peer in linked:
            other = self.nodes[peer]
            if not self.network.blocked(node.peer, peer):
                delay = self.network.quality.delay_s
                self.kernel.after(delay, self.deliver, other, other.life, Broken(node.peer))

    # --- what members believe ------------------------------------------------------------------------------------

    def note_change(self, node: Node, effect: Changed) -> None:
        """A member's view changed."""
        self.reached[effect.what] += 1
        key = (effect.peer, node.peer)
        core = self.core(node)
        if effect.what == "dead":
            self.known_dead[key] = self.now
            self._graves[key] = max(core.gone[effect.peer].incarnation, core.records[effect.peer].incarnation)
            self._judge(node, effect.peer)
            self.say(node, ("holds dead", core.records[effect.peer].name))
        elif effect.what in ("back", "joined"):
            grave = self._graves.pop(key, None)
            self.known_dead.pop(key, None)
            incarnation = core.records[effect.peer].incarnation
            if grave is not None and incarnation <= grave:
                name = core.records[effect.peer].name
                raise self.violation(f"{name} came back for {node.name} with incarnation {incarnation} of {grave}")
            self.say(node, (effect.what, core.records[effect.peer].name))
        elif effect.what == "suspect":
            self.say(node, ("suspects", core.records[effect.peer].name))

    def _judge(self, node: Node, peer: str) -> None:
        """Was it alive all the time, and only badly treated?"""
        subject = self.nodes[peer]
        alive = subject.condition is Condition.UP and not self.core(subject).left
        if alive and self.now - self._paused_until.get(peer, -1e9) > self.profile.probe_s:
            self.false_deaths.append((self.now, node.name, subject.name))

    # --- faults --------------------------------------------------------------------------------------------------

    def pause(self, node: Node, seconds: float) -> None:
        """As in every world; and remember it."""
        super().pause(node, seconds)
        self._paused_until[node.peer] = self.now + seconds

    def schedule(self, faults: Iterable[Fault]) -> None:
        """Let these faults happen, seconds counted from now."""
        for fault in faults:
            if fault.for_good:
                self.doomed.update(fault.who)
            self.kernel.after(fault.at, self._happen, fault)

    def _happen(self, fault: Fault) -> None:
        self.reached[f"fault {fault.kind}"] += 1
        if self.trace is not None:
            self.trace.add(self.now, "-----", fault)
        nodes = [self.named(name) for name in fault.who]
        match fault.kind:
            case "crash" | "dark":
                for node in nodes:
                    self.crash(node, machine=fault.kind == "dark")
                    if fault.seconds:
                        self.kernel.after(fault.seconds, self._again, node, bool(fault.value))
            case "between":
                for node in nodes:
                    self.crash_between(node, int(fault.value), partial(self._died_between, node, fault))
            case "pause":
                for node in nodes:
                    self.pause(node, fault.seconds)
            case "cut" | "one-way":
                one = {node.peer for node in nodes}
                number = self.network.cut(one, self.nodes.keys() - one, both=fault.kind == "cut")
                self.kernel.after(fault.seconds, self.network.heal, number)
            case "loss":
                usual = self._usual
                self.network.quality = replace(usual, loss=fault.value, duplicate=fault.value / 2, reorder=fault.value)
                self._losses += 1
                self.kernel.after(fault.seconds, self._better)
            case "slow":
                for node in nodes:
                    node.slow_s = fault.value
                    self.kernel.after(fault.seconds, self._faster, node)
            case "leave":
                for node in nodes:
                    if node.condition is Condition.UP:
                        self.give(node, Leave())

    def _died_between(self, node: Node, fault: Fault) -> None:
        self.reached["death between effects"] += 1
        if fault.seconds:
            self.kernel.after(fault.seconds, self._again, node, True)

    def _again(self, node: Node, memory: bool) -> None:
        if node.condition in (Condition.CRASHED, Condition.DARK):
            self.reached["restart with memory" if memory else "restart without memory"] += 1
            self.restart(node, memory=memory)

    def _better(self) -> None:
        self._losses -= 1
        if not self._losses:
            self.network.quality = self._usual

    def _faster(self, node: Node) -> None:
        node.slow_s = 0.0

    # --- invariants ----------------------------------------------------------------------------------------------

    def present(self) -> list[Node]:
        """Members that run and have not left."""
        return [node for node in self.nodes.values() if node.condition is Condition.UP and not self.core(node).left]

    def disagreement(self) -> str:
        """What keeps the members from agreeing on the truth; empty when they do."""
        present = self.present()
        truth = {node.peer for node in present if self.core(node).record.state is not State.LEFT}
        for node in present:
            core = self.core(node)
            if core.record.state is State.LEFT:
                continue
            missing = truth - set(core.live) - {node.peer}
            extra = set(core.live) - truth
            if missing or extra:
                names = {peer: other.name for peer, other in self.nodes.items()}
                lacks = " ".join(sorted(names[peer] for peer in missing))
                holds = " ".join(sorted(names[peer] for peer in extra))
                return f"{node.name} lacks [{lacks}] and holds [{holds}]"
        hashes = {self.core(node).view_hash for node in present if self.core(node).record.state is not State.LEFT}
        return f"{len(hashes)} different view hashes" if len(hashes) > 1 else ""

    def settle(self, bound: float) -> float:
        """Let time pass until all agree; returns how long it took. Raises Violation after `bound` seconds."""
        began = self.now
        while why := self.disagreement():
            if self.now - began > bound:
                raise self.violation(f"after {bound:.0f} s without faults {why}")
            self.run(0.5)
        return self.now - began


def settle_bound(profile: MembershipProfile, members: int) -> float:
    """Within so many seconds after the last fault all views are equal.

    The last to be judged was just passed over in its round, by members whose local health is at its worst; and the
    last to come back is tried last, after the longest pause.
    """
    turn = 2 * members * profile.interval_s
    probe = profile.probe_s * (1 + profile.awareness_max)
    verdict = profile.suspicion_s * profile.suspicion_max * 2
    rejoin = 6 * profile.rejoin_after(members) * max(4, members)
    return turn + probe + verdict + rejoin + profile.sync_after(members)
