"""Small parts: the outbox, the verdict of loss, addresses, deadlines, profiles, refusals."""

from __future__ import annotations

import asyncio
import logging
import math
import types
from collections import deque

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.transport import deadline
from actors.transport.deadline import Deadline
from actors.transport.errors import WireError
from actors.transport.frame import Frame, build
from actors.transport.handshake import judge
from actors.transport.liveness import Liveness
from actors.transport.messages import LINK_MESSAGES, Bye, Hello
from actors.transport.outbox import Outbox
from actors.transport.profile import PROFILES, Profile
from actors.transport.refusals import Refusals
from actors.transport.room import OutboxDropped, OutboxFull
from actors.transport.schema import Lane
from actors.transport.sockets import join_address, split_address
from tests.transport.helpers import REGISTRY, Bulk

# --- outbox ------------------------------------------------------------------------------------------------------


def frame(number: int, size: int = 1000) -> Frame:
    return build(REGISTRY, Bulk(number), [np.full(size, number % 256, np.uint8)])


def whole(each: Frame) -> bytes:
    return b"".join(each.buffers)


def pull(outbox: Outbox, limit: int = 1 << 20) -> bytes:
    pieces = []
    while (piece := outbox.next_piece(limit)) is not None:
        assert 0 < len(piece) <= limit
        pieces.append(bytes(piece))
    return b"".join(pieces)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 50_000), min_size=1, max_size=6), st.integers(1, 100_000), st.integers(0, 6))
def test_outbox_gives_all_bytes_in_order_and_again_after_a_break(sizes: list[int], limit: int, received: int) -> None:
    async def run() -> None:
        outbox, frames = Outbox(1 << 20, 0), [frame(number, size) for number, size in enumerate(sizes)]
        for each in frames:
            await outbox.put(each, Deadline.after(1))
        outbox.next_piece(limit)
        outbox.resume(0)
        assert pull(outbox, limit) == b"".join(map(whole, frames))
        assert outbox.idle
        seen = min(received, len(frames))
        outbox.resume(seen)
        assert outbox.queued_bytes == sum(each.nbytes for each in frames[seen:])
        assert pull(outbox, limit) == b"".join(map(whole, frames[seen:]))
        outbox.ack(len(frames))
        assert outbox.queued_bytes == 0

    asyncio.run(run())


def test_asides_go_between_frames_and_are_not_repeated() -> None:
    async def run() -> None:
        outbox, one, two = Outbox(1 << 20, 0), frame(1, 100_000), frame(2)
        bye = build(LINK_MESSAGES, Bye())
        await outbox.put(one, Deadline.after(1))
        await outbox.put(two, Deadline.after(1))
        begun = bytes(outbox.next_piece(5) or b"")
        outbox.put_aside(bye)
        assert begun + pull(outbox) == whole(one) + whole(bye) + whole(two)
        outbox.put_aside(bye)
        outbox.resume(1)
        assert pull(outbox) == whole(two)

    asyncio.run(run())


def test_outbox_bounds_and_serves_in_turn() -> None:
    async def run() -> None:
        outbox = Outbox(2500, 0)
        for number in range(2):
            await outbox.put(frame(number), Deadline.after(1))
        with pytest.raises(OutboxFull):
            await outbox.put(frame(9), Deadline.after(0.01))
        big = asyncio.create_task(outbox.put(frame(2, 5000), Deadline.after(5)))
        small = asyncio.create_task(outbox.put(frame(3, 1), Deadline.after(5)))
        gone = asyncio.create_task(outbox.put(frame(4, 1), Deadline.after(5)))
        await asyncio.sleep(0)
        gone.cancel()
        pull(outbox)
        outbox.ack(1)
        await asyncio.sleep(0)
        assert not big.done()
        assert not small.done()  # it would fit, but the big one came first
        outbox.ack(2)
        await big
        assert not small.done()
        pull(outbox)
        outbox.ack(3)
        await small
        with pytest.raises(asyncio.CancelledError):
            await gone
        assert outbox.queued_bytes == frame(3, 1).nbytes

    asyncio.run(run())


def test_dropping_wakes_who_waits() -> None:
    async def run() -> None:
        outbox = Outbox(10, 0)
        await outbox.put(frame(1), Deadline.after(1))
        waiting = asyncio.create_task(outbox.put(frame(2), Deadline.after(5)))
        await asyncio.sleep(0)
        outbox.drop()
        with pytest.raises(OutboxDropped):
            await waiting
        assert outbox.queued_bytes == 0
        assert outbox.idle

    asyncio.run(run())


def test_impossible_acknowledgements() -> None:
    async def run() -> None:
        outbox = Outbox(10_000, 0)
        for number in range(3):
            await outbox.put(frame(number), Deadline.after(1))
        outbox.next_piece(1)
        with pytest.raises(WireError, match="bad-ack"):
            outbox.ack(2)
        outbox.ack(1)
        with pytest.raises(WireError, match="bad-ack"):
            outbox.resume(0)

    asyncio.run(run())


# --- liveness ----------------------------------------------------------------------------------------------------

TIMES = Profile(name="t", ping_s=1, idle_ping_s=3, silence_s=10, redial_s=3, connect_s=60, handshake_s=5)


def test_a_peer_that_never_comes() -> None:
    liveness = Liveness(TIMES, 100.0)
    assert liveness.verdict(159.9) is None
    assert "never connected" in (liveness.verdict(160.1) or "")
    liveness.declared_lost()
    assert liveness.verdict(1000.0) is None


@pytest.mark.parametrize(
    ("events", "now", "word"),
    [
        ([("formed", 5)], 14.9, None),
        ([("formed", 5)], 15.1, "silent"),
        ([("formed", 5), ("heard", 12)], 21.9, None),
        ([("formed", 5), ("heard", 12)], 22.1, "silent"),
        ([("formed", 5), ("broke", 6)], 8.9, None),
        ([("formed", 5), ("broke", 6)], 9.1, "broke"),
        ([("formed", 5), ("broke", 6), ("broke", 8)], 9.1, "broke"),
        ([("formed", 5), ("broke", 6), ("formed", 8)], 9.1, None),
        ([("formed", 5), ("broke", 6), ("excuse", 4)], 9.1, None),
        ([("formed", 5), ("broke", 6), ("refused", 6.1)], 6.1, "refuses"),
        ([("formed", 5), ("refused", 5.5), ("broke", 6)], 6.0, "refuses"),
        ([("formed", 5), ("refused", 5.5), ("broke", 6), ("formed", 7), ("broke", 8)], 8.1, None),
        ([("formed", 5), ("refused", 5.5)], 6.0, None),
        ([("refused", 5.5)], 6.0, None),
        ([("formed", 5), ("excuse", 100)], 109.0, None),
        ([("formed", 5), ("excuse", 100)], 115.2, "silent"),
        ([("excuse", 100)], 159.0, None),
    ],
)
def test_verdicts(events: list[tuple[str, float]], now: float, word: str | None) -> None:
    liveness = Liveness(TIMES, 0.0)
    for name, argument in events:
        getattr(liveness, name)(argument)
    verdict = liveness.verdict(now)
    assert (verdict is None) == (word is None)
    assert (word or "") in (verdict or "")


# --- values ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [("1.2.3.4:80", "1.2.3.4", 80), ("[::1]:9", "::1", 9), ("home.example:65535", "home.example", 65535)],
)
def test_addresses(text: str, host: str, port: int) -> None:
    assert split_address(text) == (host, port)
    assert join_address(host, port) == text


@pytest.mark.parametrize("text", ["", "host", "host:", ":80", "host:x", "host:70000"])
def test_bad_addresses(text: str) -> None:
    with pytest.raises(ValueError, match="host:port"):
        split_address(text)


def test_deadlines(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 50.0
    monkeypatch.setattr(deadline, "time", types.SimpleNamespace(monotonic=lambda: now))
    assert Deadline.never().timeout is None
    assert math.isinf(Deadline.never().remaining())
    assert not Deadline.never().expired
    ten = Deadline.after(10)
    assert ten == Deadline(60.0)
    assert (ten.remaining(), ten.timeout, ten.expired) == (10.0, 10.0, False)
    now = 57.5
    assert (ten.remaining(), ten.timeout, ten.expired) == (2.5, 2.5, False)
    now = 60.0
    assert (ten.remaining(), ten.timeout, ten.expired) == (0.0, 0.0, True)
    now = 99.0
    assert (ten.remaining(), ten.timeout, ten.expired) == (0.0, 0.0, True)


def test_profiles_are_consistent() -> None:
    assert set(PROFILES) == {"local", "lan", "wan"}
    for name, profile in PROFILES.items():
        assert profile.name == name
        assert profile.silence_s >= 5 * profile.ping_s
        assert profile.redial_s < profile.silence_s < profile.connect_s


def test_refusals_count_all_and_log_some(caplog: pytest.LogCaptureFixture) -> None:
    told: deque[tuple[str, str]] = deque()
    refusals = Refusals(lambda reason, detail: told.append((reason, detail)))
    with caplog.at_level(logging.WARNING):
        for number in range(5):
            refusals.count("odd", f"case {number}")
        refusals.count("even", "case")
    assert refusals.counts == {"odd": 5, "even": 1}
    assert [record.getMessage() for record in caplog.records] == ["refused odd: case 0", "refused even: case"]
    assert len(told) == 6


# --- hello -------------------------------------------------------------------------------------------------------

OURS = Hello(1, "0.1.0", "run", Lane.CONTROL, "us", "", 0, "")


@pytest.mark.parametrize(
    ("theirs", "peer_id", "members", "dialled", "reason"),
    [
        (OURS, "aa", {"aa"}, None, None),
        (OURS, "aa", {"bb"}, None, "not-a-member"),
        (OURS, "aa", None, None, "not-ready"),
        (OURS, "cc", {"cc"}, None, "wrong-direction"),
        (OURS, "bb", {"bb"}, None, "wrong-direction"),
        (OURS, "cc", {"cc"}, Lane.CONTROL, None),
        (OURS, "cc", {"cc"}, Lane.BULK, "wrong-lane"),
        (Hello(2, "7.7", "run", Lane.BULK, "x", "", 0, ""), "aa", {"aa"}, None, "wrong-version"),
        (Hello(1, "0.1.0", "ruin", Lane.BULK, "x", "", 0, ""), "aa", {"aa"}, None, "wrong-run"),
    ],
)
def test_hello(theirs: Hello, peer_id: str, members: set[str] | None, dialled: Lane | None, reason: str | None) -> None:
    known = None if members is None else {member: None for member in members}
    refusal = judge(OURS, theirs, peer_id, "bb", known, dialled)  # type: ignore[arg-type]
    assert (refusal.reason if refusal else None) == reason
