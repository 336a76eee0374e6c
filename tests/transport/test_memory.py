"""The in-memory twin behaves like the links that it stands for."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from actors.transport.base import Peer, Transport
from actors.transport.deadline import Deadline
from actors.transport.errors import LinkError, WireError
from actors.transport.memory import MemoryTransport
from actors.transport.memory_hub import MemoryHub
from actors.transport.tcp import TcpTransport
from tests.transport.helpers import REGISTRY, Bulk, Note, Recorder


async def mesh(count: int) -> tuple[MemoryHub, list[MemoryTransport], list[Recorder]]:
    hub, events = MemoryHub(), [Recorder() for _ in range(count)]
    nodes = [MemoryTransport(f"{index:02d}", hub, REGISTRY, each) for index, each in enumerate(events)]
    members = {node.peer_id: Peer(node.peer_id, f"n{node.peer_id}", await node.listen("", 0)) for node in nodes}
    for node in nodes:
        node.set_members(members)
    for each in events:
        await each.until(lambda each=each: len(each.ups) == count - 1)
    return hub, nodes, events


def now() -> Deadline:
    return Deadline.after(5)


def test_both_transports_are_transports() -> None:
    def accepts(made: type[Transport]) -> None:
        for name in ("peer_id", "listen", "set_members", "send", "links", "sent", "refused", "close"):
            assert hasattr(made, name)

    accepts(MemoryTransport)
    accepts(TcpTransport)


def test_messages_pass_and_tensors_are_copies() -> None:
    async def run() -> None:
        _, (a, b, c), (_, at_b, at_c) = await mesh(3)
        tensor = np.arange(10, dtype=np.float32)
        nbytes = await a.send(b.peer_id, Bulk(1, boundary=2), [tensor], deadline=now())
        tensor[:] = 0
        await a.send(c.peer_id, Note("hi"), deadline=now())
        await at_b.message_count(1)
        await at_c.message_count(1)
        assert at_b.messages[0][:2] == ("00", Bulk(1, 2))
        assert np.array_equal(at_b.messages[0][2][0], np.arange(10, dtype=np.float32))
        assert a.sent.boundary == {2: nbytes}
        assert {link.name: link.up for link in a.links()} == {"n01": True, "n02": True}

    asyncio.run(run())


def test_cut_heal_and_close() -> None:
    async def run() -> None:
        hub, (a, b, c), (at_a, at_b, at_c) = await mesh(3)
        hub.cut(b.peer_id)
        await at_a.until(lambda: bool(at_a.downs))
        await at_b.until(lambda: len(at_b.downs) == 2)
        with pytest.raises(LinkError, match="n01"):
            await a.send(b.peer_id, Note("?"), deadline=now())
        hub.heal(b.peer_id)
        await at_a.until(lambda: at_a.ups.count(b.peer_id) == 2)
        await a.send(b.peer_id, Note("!"), deadline=now())
        await at_b.message_count(1)
        await c.close()
        await at_a.until(lambda: len(at_a.downs) == 2)
        with pytest.raises(LinkError, match="no member"):
            await c.send(a.peer_id, Note("?"), deadline=now())
        assert at_c.messages == []

    asyncio.run(run())


def test_schema_and_policy_hold_here_too() -> None:
    async def run() -> None:
        _, (a, b), (_, at_b) = await mesh(2)
        at_b.policy = lambda message, specs: "no room"
        await a.send(b.peer_id, Bulk(1), [np.ones(4, np.uint8)], deadline=now())
        await at_b.until(lambda: bool(at_b.refusals))
        assert b.refused == {"not-admitted": 1}
        with pytest.raises(WireError, match="bad-field"):
            await a.send(b.peer_id, Note(7), deadline=now())  # type: ignore[arg-type]

    asyncio.run(run())
