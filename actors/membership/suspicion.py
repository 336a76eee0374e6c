"""How long between an accusation and a verdict.

Lifeguard's rule: the time shrinks from a maximum to a minimum with the logarithm of the confirmations. Two things are
ours. Whoever judges must itself have failed to reach the member and calls it once more before the verdict; so the
minimum need not grow with the mesh, as it must where a refutation reaches the judges by gossip only. And when every
accuser was refused by the member's machine, the minimum is shorter.
"""

from __future__ import annotations

import math

from actors.membership.profile import MembershipProfile
from actors.membership.statements import Accusation, Evidence


def suspicion_time(profile: MembershipProfile, accusers: int, refused: int, others: int) -> float:
    """Seconds from the first accusation to the verdict.

    Args:
        profile: timing.
        accusers: members that accuse, at least 1.
        refused: how many of them were refused by the machine.
        others: members that could confirm: neither the subject nor the first accuser.
    """
    needed = min(profile.confirmations, max(0, others))
    if refused > needed:
        return profile.refused_s
    if needed == 0:
        return profile.suspicion_s
    share = math.log(min(accusers - 1, needed) + 1) / math.log(needed + 1)
    return profile.suspicion_s * (profile.suspicion_max - share * (profile.suspicion_max - 1))


class Suspicion:
    """What one member knows about the suspicion of another."""

    __slots__ = (
        "accusation",
        "accusers",
        "called",
        "deadline",
        "hinted",
        "incarnation",
        "mine",
        "since",
        "told_at",
        "waived",
    )

    def __init__(self, accusation: Accusation, now: float) -> None:
        self.accusation = accusation
        self.incarnation = accusation.incarnation
        self.accusers: dict[str, Evidence] = {}
        self.since = now
        self.deadline = math.inf
        """When the time is over."""
        self.mine = False
        """We accuse too, out of our own probe."""
        self.called = False
        """The last call before the verdict went out."""
        self.hinted = False
        """Something besides the probe spoke against it: counts as a confirmation."""
        self.waived = False
        """The time was over, but we had not looked ourselves: our own failed probe is all that is missing."""
        self.told_at = -math.inf
        """When the subject was last told of the accusation."""

    def add(self, accuser: str, evidence: Evidence) -> bool:
        """One more accuser; whether that is news."""
        if self.accusers.get(accuser) in (evidence, Evidence.REFUSED):
            return False
        self.accusers[accuser] = evidence
        return True

    def time(self, profile: MembershipProfile, others: int) -> float:
        """Seconds from `since` to the verdict, as things stand."""
        refused = sum(evidence is Evidence.REFUSED for evidence in self.accusers.values())
        return suspicion_time(profile, max(1, len(self.accusers)) + self.hinted, refused, others)
