"""When a peer is lost, to the moment: at the bound there is hope, after it there is none."""

from __future__ import annotations

import pytest

from actors.transport.liveness import Liveness
from actors.transport.profile import PROFILES, Profile

TIMES = Profile(name="t", ping_s=1, idle_ping_s=3, silence_s=10, redial_s=3, connect_s=60, handshake_s=5)
Story = list[tuple[str, float]]


def after(story: Story) -> Liveness:
    """The link is wanted at 100 s."""
    liveness = Liveness(TIMES, 100.0)
    for what, at in story:
        getattr(liveness, what)(*(() if what == "declared_lost" else (at,)))
    return liveness


@pytest.mark.parametrize(
    ("story", "last_hope", "words"),
    [
        ([], 160.0, "never connected within 60.5 s"),
        ([("excuse", 7.0)], 167.0, "never connected within 60.5 s"),
        ([("refused", 101.0)], 160.0, "never connected within 60.5 s"),
        ([("broke", 120.0)], 160.0, "never connected within 60.5 s"),
        ([("formed", 110.0)], 120.0, "silent for 10.5 s"),
        ([("formed", 110.0), ("heard", 115.0)], 125.0, "silent for 10.5 s"),
        ([("formed", 110.0), ("excuse", 4.0)], 124.0, "silent for 10.5 s"),
        ([("formed", 110.0), ("refused", 112.0)], 120.0, "silent for 10.5 s"),
        ([("formed", 110.0), ("broke", 112.0)], 115.0, "connection broke, and did not form again within 3.5 s"),
        ([("formed", 110.0), ("broke", 112.0), ("broke", 114.0)], 115.0, "connection broke"),
        ([("formed", 110.0), ("broke", 112.0), ("excuse", 2.0)], 117.0, "connection broke"),
        ([("formed", 110.0), ("broke", 112.0), ("heard", 114.0)], 115.0, "connection broke"),
        ([("formed", 110.0), ("broke", 112.0), ("formed", 113.0)], 123.0, "silent for 10.5 s"),
        ([("formed", 110.0), ("broke", 112.0), ("formed", 113.0), ("broke", 114.0)], 117.0, "connection broke"),
    ],
    ids=str,
)
def test_each_clock_runs_from_its_own_beginning(story: Story, last_hope: float, words: str) -> None:
    liveness = after(story)
    assert liveness.verdict(last_hope) is None
    assert (liveness.verdict(last_hope + 0.5) or "").startswith(words)


@pytest.mark.parametrize(
    ("refused_at", "lost"),
    [(112.5, True), (112.0, True), (111.01, True), (111.0, False), (105.0, False)],
)
def test_a_broken_link_whose_machine_refuses_is_lost_at_once(refused_at: float, lost: bool) -> None:
    """The refusal may be noticed up to a second before the break."""
    liveness = after([("formed", 104.0), ("refused", refused_at), ("broke", 112.0)])
    words = "its connections broke, and its machine refuses new ones"
    assert liveness.verdict(112.5) == (words if lost else None)


def test_a_refusal_of_long_ago_does_not_count_for_the_next_break() -> None:
    liveness = after([("formed", 104.0), ("broke", 112.0), ("refused", 112.1), ("formed", 120.0), ("broke", 130.0)])
    assert liveness.verdict(130.1) is None


def test_a_loss_is_told_once_and_ends_when_the_link_forms_again() -> None:
    liveness = after([("formed", 110.0), ("broke", 112.0), ("declared_lost", 0.0)])
    assert (liveness.up, liveness.lost) == (False, True)
    assert liveness.verdict(1000.0) is None
    liveness.broke(1000.0)
    assert liveness.verdict(2000.0) is None
    liveness.formed(2000.0)
    assert (liveness.up, liveness.lost) == (True, False)
    assert liveness.verdict(2010.0) is None
    assert liveness.verdict(2010.1) == "silent for 10.1 s"


def test_up_means_that_both_lanes_work_now() -> None:
    assert not after([]).up
    assert after([("formed", 110.0)]).up
    assert not after([("formed", 110.0), ("broke", 111.0)]).up
    assert after([("formed", 110.0), ("broke", 111.0), ("formed", 112.0)]).up
    assert not after([]).lost


@pytest.mark.parametrize(
    ("name", "ping", "idle", "silence", "redial", "connect", "handshake", "dial"),
    [
        ("local", 1.0, 5.0, 15.0, 3.0, 60.0, 10.0, 2.0),
        ("lan", 1.0, 5.0, 15.0, 3.0, 60.0, 10.0, 2.0),
        ("wan", 2.0, 8.0, 25.0, 8.0, 90.0, 20.0, 5.0),
    ],
)
def test_the_times_of_the_profiles(
    name: str, ping: float, idle: float, silence: float, redial: float, connect: float, handshake: float, dial: float
) -> None:
    profile = PROFILES[name]
    assert (profile.ping_s, profile.idle_ping_s, profile.silence_s) == (ping, idle, silence)
    assert (profile.redial_s, profile.connect_s) == (redial, connect)
    assert (profile.handshake_s, profile.dial_s) == (handshake, dial)
    assert profile.idle_ping_s <= profile.silence_s / 3
