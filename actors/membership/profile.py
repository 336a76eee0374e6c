"""Named network profiles: all timing of the mesh in one place, and nowhere else.

A member that stops answering is known dead after about

    interval/2  until some member's turn comes to probe it (with n members there are n - 1 probes an interval)
    + probe_s   until that probe has failed, directly and through others
    + suspicion until the accusers' time is over (`suspicion_s` once enough members agree)
    + a second  until the verdict has spread

One whose links break and refuse to form again is known dead after about `refused_s`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class MembershipProfile:
    """Timing of the gossip mesh. Seconds throughout."""

    name: str

    interval_s: float
    """Every member probes another one this often. Lower finds the silent sooner; higher sends less (about 290 bytes
    a probe on the wire)."""

    timeout_s: float
    """A direct answer is awaited for this long, then others are asked to probe. Above the 99th percentile of the round
    trip with a fresh TLS connection (4 round trips); lower asks others for nothing, higher delays every detection."""

    probe_s: float
    """A probe has failed when neither way gave an answer for this long. At least twice `timeout_s`."""

    suspicion_s: float
    """The shortest time between accusation and verdict, when `confirmations` others agree. `probe_s + suspicion_s` is
    the longest pause that a process may take without being declared dead; it is also what a silent death costs."""

    suspicion_max: float
    """Without any confirmation the time is `suspicion_s` times this. Higher protects those who are unreachable from one
    place only."""

    refused_s: float
    """The time instead of `suspicion_s` when every accuser's link broke and its dial was refused: the machine is there
    and the process is not. Must be above the time that a restart of the listener may take."""

    confirmations: int = 3
    """Accusers beyond the first that bring the time down to its minimum."""

    relays: int = 3
    """Members asked to probe for us."""

    gossip_s: float = 0.2
    """News go out this often, while there are any."""

    fanout: int = 3
    """To so many members. After about log(n)/log(1 + fanout) rounds everyone has heard; see also `retransmit`."""

    retransmit: int = 4
    """Every member passes a piece of news on `retransmit * log10(n + 1)` times, but `least_told` times at least: after
    m tellings by everyone a member has missed it with a chance of exp(-m). Who does miss it finds the difference by
    the view hash. (memberlist rounds the logarithm up first, which at 1,000 members is a quarter more messages.)"""

    least_told: int = 8
    """A small mesh misses less than one piece of news in two thousand with this. Also: whoever has heard a piece so
    often passes it on no more."""

    sync_s: float = 30.0
    """Push-pull with a random member this often, up to 32 members; beyond, so much less often that the mesh's total
    grows by the logarithm only."""

    rejoin_s: float = 3.0
    """Addresses of the dead and of founders are tried again this often, one each time, up to 32 members; beyond, less
    often in proportion, so that a whole mesh makes at most `32 / rejoin_s` such attempts a second."""

    split_s: float = 30.0
    """A member whose view hash differs from ours for so long is told to a person."""

    leave_s: float = 1.0
    """A leaver goes on gossiping for this long."""

    reap_s: float = 24 * 3600.0
    """The dead and the left are forgotten after this."""

    awareness_max: int = 8
    """Upper bound of the local health score: timeouts of a member that misses answers grow by up to 1 + this."""

    def retransmits(self, members: int) -> int:
        """How often one member passes on one piece of news."""
        return max(self.least_told, math.ceil(self.retransmit * math.log10(members + 1)))

    def sync_after(self, members: int) -> float:
        """Seconds between two push-pulls of one member (memberlist's scaling)."""
        if members <= 32:
            return self.sync_s
        return self.sync_s * (math.ceil(math.log2(members) - 5) + 1)

    def rejoin_after(self, members: int) -> float:
        """Seconds between two attempts to reach someone who is not in the view."""
        return self.rejoin_s * max(1.0, members / 32)


_LAN = MembershipProfile(
    name="lan",
    interval_s=0.5,
    timeout_s=0.5,
    probe_s=1.0,
    suspicion_s=3.6,
    suspicion_max=3.0,
    refused_s=1.0,
)

MEMBERSHIP_PROFILES: dict[str, MembershipProfile] = {
    "lan": _LAN,
    # One machine with more processes than cores: a process may wait for seconds while others import or compute.
    "local": replace(
        _LAN, name="local", interval_s=1.0, timeout_s=1.0, probe_s=2.0, suspicion_s=10.0, refused_s=1.5, split_s=60.0
    ),
    # Homes: round trips up to 300 ms and lost packets that TCP repeats after as long again.
    "wan": replace(
        _LAN,
        name="wan",
        interval_s=2.0,
        timeout_s=1.5,
        probe_s=4.0,
        suspicion_s=10.0,
        refused_s=3.0,
        gossip_s=0.3,
        fanout=4,
        sync_s=60.0,
        rejoin_s=5.0,
        split_s=90.0,
        leave_s=2.0,
    ),
}
