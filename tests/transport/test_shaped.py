"""Shaped links on real sockets, in virtual time: they take as long as the line needs, and no less."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from actors.transport.deadline import Deadline
from actors.transport.identity import Owner
from actors.transport.shaping import OVERHEAD, Shape
from tests.transport.helpers import PATIENCE_S, Bulk, Node, Note, close, connected, figure, pair, start
from tests.transport.virtual import now, virtually

SIZE = 300_000


async def timed(senders: list[Node], receivers: list[Node], size: int = SIZE) -> float:
    """Seconds until everyone's message to everyone has come."""
    began = now()
    counts = [len(node.events.messages) for node in receivers]
    for one in senders:
        for other in receivers:
            tensor = np.zeros(size, np.uint8)
            await one.transport.send(other.peer.peer_id, Bulk(0), [tensor], deadline=Deadline.after(PATIENCE_S))
    for node, count in zip(receivers, counts, strict=True):
        await node.events.message_count(count + len(senders))
    return now() - began


def near(measured: float, expected: float) -> bool:
    """Never faster than the line, and not much slower."""
    figure(f"took {measured:.4f} s, the line needs {expected:.4f} s")
    return 0.99 * expected < measured < 1.25 * expected


@pytest.mark.parametrize(("up", "down"), [(20.0, 100.0), (100.0, 20.0)], ids=["uplink", "downlink"])
def test_uplink_and_downlink_limit_each_for_itself(tmp_path: Path, up: float, down: float) -> None:
    async def run() -> None:
        a, b = await pair(tmp_path, shape=Shape(up_mbps=up, down_mbps=down, delay_ms=20))
        assert near(await timed([a], [b]), SIZE * 8 * OVERHEAD / 20e6 + 0.020)
        await close(a, b)

    virtually(run)


@pytest.mark.parametrize(
    ("size", "seconds"),
    [
        (0, 0.040),  # there and back
        (1 << 18, 0.0673),  # 262,144 bytes are 2,181,038 bits on the wire: 27.3 ms
        (1 << 20, 0.1491),  # 109.1 ms
    ],
)
def test_a_message_and_its_answer_take_what_the_line_needs(tmp_path: Path, size: int, seconds: float) -> None:
    """80 Mbit/s and 20 ms each way: the bits at the uplink's rate, one delay there and one back."""

    async def run() -> None:
        a, b = await pair(tmp_path, shape=Shape(80.0, 80.0, 20.0))
        tensors = [np.zeros(size, np.uint8)] if size else []
        message = Bulk(1) if size else Note("ping")
        began = now()
        await a.transport.send(b.peer.peer_id, message, tensors, deadline=Deadline.after(PATIENCE_S))
        await b.events.message_count(1)
        await b.transport.send(a.peer.peer_id, Note("got it"), deadline=Deadline.after(PATIENCE_S))
        await a.events.message_count(1)
        assert near(now() - began, seconds)
        await close(a, b)

    virtually(run)


def test_three_share_one_uplink_and_one_downlink(tmp_path: Path) -> None:
    async def run() -> None:
        owner = Owner.create(tmp_path / "owner")
        hub = await start(owner, tmp_path, "hub", shape=Shape(up_mbps=40, down_mbps=40, delay_ms=5))
        others = [await start(owner, tmp_path, f"n{i}", shape=Shape(up_mbps=40, down_mbps=40)) for i in range(3)]
        await connected(hub, *others)
        expected = 3 * SIZE * 8 * OVERHEAD / 40e6
        assert near(await timed([hub], others), expected)
        assert near(await timed(others, [hub]), expected)
        await close(hub, *others)

    virtually(run)


def test_control_keeps_its_latency_under_bulk(tmp_path: Path) -> None:
    """4 MB at 20 Mbit/s are 1.7 s of the line; a note takes the line's 40 ms and the piece that is just being sent."""

    async def run() -> None:
        a, b = await pair(tmp_path, shape=Shape(up_mbps=20, down_mbps=20, delay_ms=40))
        bulk = np.zeros(4_000_000, np.uint8)
        await a.transport.send(b.peer.peer_id, Bulk(1), [bulk], deadline=Deadline.after(PATIENCE_S))
        times = []
        for number in range(5):
            began = now()
            await a.transport.send(b.peer.peer_id, Note(str(number)), deadline=Deadline.after(PATIENCE_S))
            await b.events.message_count(number + 1)
            times.append(now() - began)
        assert not any(isinstance(message, Bulk) for _, message, _ in b.events.messages)
        figure(f"control under bulk: {[f'{each * 1e3:.1f}' for each in times]} ms one way, 40 ms of it are the line")
        assert min(times) >= 0.040
        assert sorted(times)[2] < 0.060
        await close(a, b)

    virtually(run)
