"""Shaped links on real sockets: never faster than the line. How much slower is printed, and bounded by patience only,
because another process may hold the processor; the comparison with netlab judges the figure."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import numpy as np

from actors.transport.deadline import Deadline
from actors.transport.identity import Owner
from actors.transport.shaping import OVERHEAD, Shape
from tests.transport.helpers import PATIENCE_S, Bulk, Node, Note, close, connected, figure, pair, start

SIZE = 1_000_000


async def timed(senders: list[Node], receivers: list[Node], size: int = SIZE) -> float:
    """Seconds until everyone's message to everyone has come."""
    began = time.perf_counter()
    counts = [len(node.events.messages) for node in receivers]
    for one in senders:
        for other in receivers:
            tensor = np.zeros(size, np.uint8)
            await one.transport.send(other.peer.peer_id, Bulk(0), [tensor], deadline=Deadline.after(PATIENCE_S))
    for node, count in zip(receivers, counts, strict=True):
        await node.events.message_count(count + len(senders))
    return time.perf_counter() - began


def near(measured: float, expected: float) -> bool:
    """Never faster than the line, nor absurdly slow."""
    figure(f"took {measured:.3f} s, the line needs {expected:.3f} s")
    return 0.9 * expected < measured < PATIENCE_S


def test_uplink_and_downlink_limit_each_for_itself(tmp_path: Path) -> None:
    async def run(shape: Shape, expected: float) -> None:
        a, b = await pair(tmp_path / str(shape.up_mbps), shape=shape)
        assert near(await timed([a], [b]), expected)
        await close(a, b)

    asyncio.run(run(Shape(up_mbps=20, down_mbps=100, delay_ms=20), SIZE * 8 * OVERHEAD / 20e6 + 0.020))
    asyncio.run(run(Shape(up_mbps=100, down_mbps=20, delay_ms=20), SIZE * 8 * OVERHEAD / 20e6 + 0.020))


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

    asyncio.run(run())


def test_control_keeps_its_latency_under_bulk(tmp_path: Path) -> None:
    async def run() -> None:
        a, b = await pair(tmp_path, shape=Shape(up_mbps=20, down_mbps=20, delay_ms=40))
        await a.transport.send(
            b.peer.peer_id, Bulk(1), [np.zeros(4 * SIZE, np.uint8)], deadline=Deadline.after(PATIENCE_S)
        )
        times = []
        for number in range(5):
            began = time.perf_counter()
            await a.transport.send(b.peer.peer_id, Note(str(number)), deadline=Deadline.after(PATIENCE_S))
            await b.events.message_count(number + 1)
            times.append(time.perf_counter() - began)
        assert not any(isinstance(message, Bulk) for _, message, _ in b.events.messages)
        middle = sorted(times)[2]
        figure(f"control under bulk: median {middle * 1e3:.1f} ms one way, 40 ms of it are the line")
        assert middle >= 0.040
        await b.events.message_count(6)
        await close(a, b)

    asyncio.run(run())
