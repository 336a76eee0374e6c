"""The named profiles as docs/membership.md has them, and what grows with the mesh: numbers worked out by hand."""

from __future__ import annotations

import pytest

from actors.membership.profile import MEMBERSHIP_PROFILES, MembershipProfile
from tests.membership.helpers import LAN

WAN = MEMBERSHIP_PROFILES["wan"]


@pytest.mark.parametrize(
    ("name", "interval", "timeout", "probe", "suspicion", "refused"),
    [("lan", 0.5, 0.5, 1.0, 3.6, 1.0), ("local", 1.0, 1.0, 2.0, 10.0, 1.5), ("wan", 2.0, 1.5, 4.0, 10.0, 3.0)],
)
def test_the_times_are_those_of_the_docs(
    name: str, interval: float, timeout: float, probe: float, suspicion: float, refused: float
) -> None:
    profile = MEMBERSHIP_PROFILES[name]
    assert profile.name == name
    assert (profile.interval_s, profile.timeout_s, profile.probe_s) == (interval, timeout, probe)
    assert (profile.suspicion_s, profile.refused_s, profile.suspicion_max) == (suspicion, refused, 3.0)


@pytest.mark.parametrize(
    ("name", "gossip", "fanout", "sync", "rejoin", "split", "leave"),
    [
        ("lan", 0.2, 3, 30.0, 3.0, 30.0, 1.0),
        ("local", 0.2, 3, 30.0, 3.0, 60.0, 1.0),
        ("wan", 0.3, 4, 60.0, 5.0, 90.0, 2.0),
    ],
)
def test_the_times_of_gossip_and_repair(
    name: str, gossip: float, fanout: int, sync: float, rejoin: float, split: float, leave: float
) -> None:
    profile = MEMBERSHIP_PROFILES[name]
    assert (profile.gossip_s, profile.fanout, profile.sync_s) == (gossip, fanout, sync)
    assert (profile.rejoin_s, profile.split_s, profile.leave_s) == (rejoin, split, leave)
    assert profile.reap_s == 86_400.0


@pytest.mark.parametrize("profile", MEMBERSHIP_PROFILES.values(), ids=MEMBERSHIP_PROFILES.keys())
def test_what_the_comments_ask_of_every_profile(profile: MembershipProfile) -> None:
    assert profile.probe_s >= 2 * profile.timeout_s, "others answer within the same probe"
    assert profile.refused_s < profile.suspicion_s
    assert (profile.confirmations, profile.relays) == (3, 3)
    assert (profile.retransmit, profile.least_told, profile.awareness_max) == (4, 8, 8)


@pytest.mark.parametrize(
    ("members", "tellings"),
    [
        (1, 8),  # 4 * log10(2) = 1.2
        (12, 8),  # 4 * log10(13) = 4.5
        (99, 8),  # 4 * log10(100) = 8
        (100, 9),  # 4 * 2.0043 = 8.02
        (300, 10),  # 4 * 2.4786 = 9.91
        (999, 12),  # 4 * 3
        (1000, 13),  # 4 * 3.0004
        (5000, 15),  # 4 * 3.6991 = 14.80
    ],
)
def test_a_piece_of_news_is_told_four_times_the_logarithm_and_eight_times_at_least(members: int, tellings: int) -> None:
    assert LAN.retransmits(members) == tellings


@pytest.mark.parametrize(
    ("members", "factor"),
    [(1, 1), (32, 1), (33, 2), (64, 2), (65, 3), (128, 3), (129, 4), (1000, 6), (1024, 6), (1025, 7)],
)
def test_push_pull_is_as_much_less_often_as_the_mesh_has_doublings_beyond_32(members: int, factor: int) -> None:
    """ceil(log2 n - 5) + 1: at 64 members 6 - 5 + 1 = 2, at 65 a little more than 1, so 3; at 1000 ceil(4.97) + 1."""
    assert LAN.sync_after(members) == 30.0 * factor
    assert WAN.sync_after(members) == 60.0 * factor


@pytest.mark.parametrize(
    ("members", "seconds"),
    [(1, 3.0), (31, 3.0), (32, 3.0), (48, 4.5), (64, 6.0), (320, 30.0), (1000, 93.75)],
)
def test_a_mesh_as_a_whole_makes_at_most_32_attempts_in_rejoin_s(members: int, seconds: float) -> None:
    """64 members each 6 s: 64 / 6 = 32 / 3 a second."""
    assert LAN.rejoin_after(members) == seconds
    assert members / LAN.rejoin_after(members) <= 32 / LAN.rejoin_s
