"""Whether a hello is acceptable: each reason, their order, and what the other side is told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from actors.transport.base import Peer
from actors.transport.handshake import NOT_READY, compatible, judge
from actors.transport.messages import Hello
from actors.transport.schema import Lane

OURS = Hello(3, "0.1.0", "run", Lane.CONTROL, "us", "", 0, "")
THEIRS = replace(OURS, name="them", session="s", lane=Lane.BULK)
OWN, SMALLER, LARGER = "bb" * 32, "aa" * 32, "cc" * 32
MEMBERS = {peer: Peer(peer, "x", "h:1") for peer in (OWN, SMALLER, LARGER)}


def reason(theirs: Hello, peer: str, members: dict[str, Peer] | None, dialled: Lane | None) -> str | None:
    refusal = judge(OURS, theirs, peer, OWN, members, dialled)
    return None if refusal is None else refusal.reason


@pytest.mark.parametrize("lane", list(Lane))
def test_a_member_with_the_smaller_id_may_dial_for_either_lane(lane: Lane) -> None:
    assert reason(replace(THEIRS, lane=lane), SMALLER, MEMBERS, None) is None


@pytest.mark.parametrize("lane", list(Lane))
def test_one_that_we_dialled_answers_for_the_lane_that_we_dialled(lane: Lane) -> None:
    assert reason(replace(THEIRS, lane=lane), LARGER, MEMBERS, lane) is None
    other = Lane.BULK if lane is Lane.CONTROL else Lane.CONTROL
    assert reason(replace(THEIRS, lane=lane), LARGER, MEMBERS, other) == "wrong-lane"
    assert reason(replace(THEIRS, lane=lane), SMALLER, MEMBERS, lane) is None, "the direction was ours to choose"


@pytest.mark.parametrize("peer", [LARGER, OWN])
def test_only_the_smaller_id_dials(peer: str) -> None:
    assert reason(THEIRS, peer, MEMBERS, None) == "wrong-direction"


@pytest.mark.parametrize("protocol", [2, 4])
def test_another_protocol_is_refused_whichever_is_newer(protocol: int) -> None:
    assert reason(replace(THEIRS, protocol=protocol), SMALLER, MEMBERS, None) == "wrong-version"


def test_the_software_may_differ() -> None:
    assert reason(replace(THEIRS, software="9.9"), SMALLER, MEMBERS, None) is None


def test_the_reasons_are_looked_at_in_this_order() -> None:
    """Each hello is wrong in all ways that come later, too."""
    foreign = replace(THEIRS, protocol=9, run_id="another")
    assert reason(foreign, LARGER, None, None) == "wrong-version"
    assert reason(replace(foreign, protocol=3), LARGER, None, None) == "wrong-run"
    assert reason(THEIRS, LARGER, None, None) == NOT_READY
    assert reason(THEIRS, LARGER, {}, None) == "not-a-member"
    assert reason(THEIRS, LARGER, MEMBERS, None) == "wrong-direction"


def test_both_sides_are_named_with_their_versions() -> None:
    refusal = compatible(OURS, replace(THEIRS, protocol=9, software="7.7"), SMALLER)
    assert refusal is not None
    assert refusal.detail == "'them' (aaaaaaaa) speaks protocol 9 (software 7.7), here it is 3 (0.1.0)"


def test_both_sides_are_named_with_their_runs() -> None:
    refusal = compatible(OURS, replace(THEIRS, run_id="another"), SMALLER)
    assert refusal is not None
    assert refusal.detail == "'them' (aaaaaaaa) is of run 'another', this is run 'run'"


@pytest.mark.parametrize(
    ("peer", "members", "dialled", "detail"),
    [
        (LARGER, None, None, "us does not know its members yet"),
        (LARGER, {}, None, "'them' (cccccccc) has a certificate of this run but is no member"),
        (LARGER, MEMBERS, Lane.CONTROL, "'them' (cccccccc) answered for the bulk lane"),
        (LARGER, MEMBERS, None, "'them' (cccccccc) dialled, but its id is the larger one"),
    ],
)
def test_the_one_that_is_refused_is_named(
    peer: str, members: dict[str, Peer] | None, dialled: Lane | None, detail: str
) -> None:
    refusal = judge(OURS, THEIRS, peer, OWN, members, dialled)
    assert refusal is not None
    assert refusal.detail == detail


def test_a_long_name_a_long_run_and_a_long_version_are_cut() -> None:
    long = replace(THEIRS, name="n" * 4000, run_id="r" * 4000, software="s" * 4000)
    details = []
    for theirs in (long, replace(long, protocol=9)):
        refusal = compatible(OURS, theirs, SMALLER)
        assert refusal is not None
        details.append(refusal.detail)
    stranger = judge(OURS, replace(long, run_id="run"), LARGER, OWN, {}, None)
    assert stranger is not None
    assert stranger.detail == f"'{'n' * 64}' (cccccccc) has a certificate of this run but is no member"
    wrong_run, wrong_version = details
    assert wrong_run == f"'{'n' * 64}' (aaaaaaaa) is of run '{'r' * 64}', this is run 'run'"
    assert wrong_version == (f"'{'n' * 64}' (aaaaaaaa) speaks protocol 9 (software {'s' * 32}), here it is 3 (0.1.0)")
