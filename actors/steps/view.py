"""Who decides and who works: the committed view, changed only by a decision of a majority of the view before it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True, order=True)
class Voter:
    """One life of one participant: processes that hand the memory of their votes on. Without it comes another voter."""

    peer_id: str
    """Hex of its Ed25519 public key."""
    life: int
    """Number of its first process, higher than those of the lives before; 0 in view 0, before anything was decided."""
    name: str
    stage: int


NOBODY = Voter("", -1, "nobody", -1)


@dataclass(frozen=True)
class CommittedView:
    """A numbered membership.

    In view 0 nobody's life is known yet, so its only decision needs everybody; all later ones need a majority.
    """

    number: int
    members: tuple[Voter, ...]
    """Ordered by peer id."""
    dismissed: frozenset[str] = frozenset()
    """Members whose votes the run's owner has declared lost for good."""

    @staticmethod
    def first(voters: Iterable[Voter]) -> CommittedView:
        """View 0. Raises ValueError when two members share an identity or a name."""
        members = tuple(sorted(voters))
        for attribute in ("peer_id", "name"):
            values = [getattr(member, attribute) for member in members]
            twice = sorted({value for value in values if values.count(value) > 1})
            if twice:
                raise ValueError(f"two participants have the same {attribute} {twice[0]!r}: give each its own")
        return CommittedView(0, members)

    @cached_property
    def _by_id(self) -> dict[str, Voter]:
        return {member.peer_id: member for member in self.members}

    @property
    def quorum(self) -> int:
        """Votes that decide."""
        return len(self.members) if self.number == 0 else self.voters // 2 + 1

    @property
    def voters(self) -> int:
        """How many votes there are."""
        return len(self.members) - len(self.dismissed)

    def member(self, peer_id: str) -> Voter | None:
        """Return the member with that identity, if there is one."""
        return self._by_id.get(peer_id)

    def votes(self, peer_id: str, life: int) -> bool:
        """Whether that life has a vote."""
        member = self._by_id.get(peer_id)
        if member is None or peer_id in self.dismissed:
            return False
        return member.life == life or self.number == 0

    def replicas(self, stage: int) -> tuple[Voter, ...]:
        """Members that serve `stage`, ordered by peer id."""
        return tuple(member for member in self.members if member.stage == stage)

    def places(self, route: Sequence[str]) -> tuple[int, ...]:
        """A route as numbers of members, which are shorter to send; -1 for nobody, or somebody else."""
        return tuple(self._number.get(peer_id, -1) for peer_id in route)

    def route(self, places: Sequence[int]) -> tuple[str, ...]:
        """The route that these numbers say; empty names for nobody."""
        members = self.members
        return tuple(members[place].peer_id if 0 <= place < len(members) else "" for place in places)

    @cached_property
    def _number(self) -> dict[str, int]:
        return {member.peer_id: number for number, member in enumerate(self.members)}

    def owner(self, slot: int, ballot: int) -> Voter:
        """Who may lead with that ballot: members take turns, from another one in every slot."""
        return self.members[(slot + ballot) % len(self.members)] if self.members else NOBODY
