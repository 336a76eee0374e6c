"""The gossip view as routing, leading and averaging read it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from actors.membership.membership import Membership
from actors.membership.statements import Record, State


@dataclass(frozen=True)
class Member:
    """One participant as the others know it."""

    peer_id: str
    """Hex of its Ed25519 public key."""
    name: str
    stage: int
    address: str
    """host:port of its listener."""
    state: State = State.ACTIVE

    @property
    def takes_part(self) -> bool:
        """Whether it serves a stage, or waits to be given one."""
        return self.stage >= 0 or self.state is State.JOINING


class GossipView:
    """Everyone in a membership core's view who works, is about to, or finishes its work."""

    def __init__(self, core: Membership) -> None:
        self._core = core

    @property
    def members(self) -> tuple[Member, ...]:
        """All members, ordered by peer id."""
        core = self._core
        here = [core.record, *(core.records[peer] for peer in core.live)]
        working = [record for record in here if record.state is not State.LEFT]
        return tuple(sorted(map(_member, working), key=lambda member: member.peer_id))

    def member(self, peer_id: str) -> Member | None:
        """Return the member with that identity, if there is one."""
        return next((member for member in self.members if member.peer_id == peer_id), None)

    def replicas(self, stage: int) -> tuple[Member, ...]:
        """Members that serve `stage`, ordered by peer id."""
        return tuple(member for member in self.members if member.stage == stage)


def _member(record: Record) -> Member:
    address = next((one.removeprefix("tcp:") for one in record.addresses if one.startswith("tcp:")), "")
    return Member(record.peer_id, record.name, record.stage, address, record.state)


def complete(core: Membership, stages: int, replicas: int) -> bool:
    """Whether every stage has its replicas."""
    counts = _counts(core)
    return all(counts[stage] >= replicas for stage in range(stages))


def missing(core: Membership, stages: int, replicas: int) -> str:
    """Which stages lack replicas, in words."""
    counts = _counts(core)
    lacking = [stage for stage in range(stages) if counts[stage] < replicas]
    parts = [f"stage {stage} has {counts[stage]} of {replicas} replicas" for stage in lacking]
    return ", ".join(parts) or "every stage has its replicas"


def _counts(core: Membership) -> Counter[int]:
    return Counter(member.stage for member in GossipView(core).members)


def state_of(core: Membership, record: Record) -> str:
    """joining, active, draining, suspect, dead or left, as this core believes."""
    gone = core.gone.get(record.peer_id)
    if gone is not None:
        return "left" if gone.accusation is None else "dead"
    if record.peer_id in core.suspicions:
        return "suspect"
    return record.state.name.lower()
