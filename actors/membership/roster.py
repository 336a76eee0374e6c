"""Who takes part: the view that routing, leading and averaging read.

The roster here is the list that the launcher (or an invitation bundle) hands out; it does not change during a run.
Everything above asks the `View` interface only, so that gossip can stand behind it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol


@dataclass(frozen=True)
class Member:
    """One participant as the others know it."""

    peer_id: str
    """Hex of its Ed25519 public key."""
    name: str
    stage: int
    address: str
    """host:port of its listener."""


class View(Protocol):
    """Whom a participant believes to be here now."""

    @property
    def members(self) -> tuple[Member, ...]:
        """All members, ordered by peer id."""

    def member(self, peer_id: str) -> Member | None:
        """Return the member with that identity, if there is one."""

    def replicas(self, stage: int) -> tuple[Member, ...]:
        """Members that serve `stage`, ordered by peer id."""


class Roster:
    """A fixed view."""

    def __init__(self, members: Iterable[Member]) -> None:
        """Raise ValueError when two members share an identity or a name."""
        self._members = tuple(sorted(members, key=lambda member: member.peer_id))
        for attribute in ("peer_id", "name"):
            values = [getattr(member, attribute) for member in self._members]
            twice = sorted({value for value in values if values.count(value) > 1})
            if twice:
                raise ValueError(
                    f"two participants of the roster have the same {attribute} {twice[0]!r}: give each its own"
                )

    @property
    def members(self) -> tuple[Member, ...]:
        """All members, ordered by peer id."""
        return self._members

    @cached_property
    def _by_id(self) -> dict[str, Member]:
        return {member.peer_id: member for member in self._members}

    def member(self, peer_id: str) -> Member | None:
        """Return the member with that identity, if there is one."""
        return self._by_id.get(peer_id)

    def replicas(self, stage: int) -> tuple[Member, ...]:
        """Members that serve `stage`, ordered by peer id."""
        return tuple(member for member in self._members if member.stage == stage)


def leader_of(view: View, step: int) -> Member:
    """Return who leads `step`: the members take turns in the order of their identities."""
    return view.members[step % len(view.members)]
