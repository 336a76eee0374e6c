"""Background messages give way to what other links of the same transport send: on sockets, bare and shaped."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from actors.transport.deadline import Deadline
from actors.transport.frame import Frame
from actors.transport.identity import Owner
from actors.transport.lane import LinkLane
from actors.transport.outbox import Outbox
from actors.transport.schema import Lane
from actors.transport.shaping import Shape
from tests.transport.helpers import PATIENCE_S, QUICK, Bulk, Node, Note, Spare, close, connected, start

LONGER = 10 * PATIENCE_S
"""No test lasts this long: what happens under this patience happens for another reason."""
QUIET = replace(QUICK, ping_s=LONGER, idle_ping_s=LONGER, silence_s=3 * LONGER, redial_s=LONGER)
"""Without pings, whose acknowledgements would make lanes look again."""
SHAPES = pytest.mark.parametrize("shape", [None, Shape(up_mbps=200)], ids=["bare", "shaped"])
SIZE = 1_000_000
"""Bytes of a message: sockets do not take ten of them at once."""


class Donor:
    """A participant with two peers: activations go to the one, chunks of state to the other."""

    def __init__(self, node: Node, worker: Node, joiner: Node) -> None:
        self.node, self.worker, self.joiner = node, worker, joiner
        self.uplink = node.transport._uplink
        self.to_worker, self.to_joiner = self.bulk_lane(worker), self.bulk_lane(joiner)
        self.begun: list[str] = []
        """Kinds of messages to both, in the order in which they began."""
        for lane in (self.to_worker, self.to_joiner):
            self._note(lane.outbox)

    def bulk_lane(self, peer: Node) -> LinkLane:
        return self.node.transport._links[peer.peer.peer_id].lanes[Lane.BULK]

    def _note(self, outbox: Outbox) -> None:
        begin = outbox._begin

        def noting() -> Frame | None:
            frame = begin()
            if frame is not None:
                self.begun.append(frame.kind.kind)
            return frame

        outbox._begin = noting

    async def send(self, activations: int = 0, chunks: int = 0) -> None:
        for number in range(activations):
            await self._send(self.worker, Bulk(number))
        for number in range(chunks):
            await self._send(self.joiner, Spare(number))

    async def _send(self, peer: Node, message: Bulk | Spare) -> None:
        tensor = np.full(SIZE, message.number, np.uint8)
        within = Deadline.after(PATIENCE_S)
        await self.node.transport.send(peer.peer.peer_id, message, [tensor], deadline=within)

    def stick(self, stuck: bool) -> None:
        """The worker's downlink takes nothing of the bulk lane; the link lives on."""
        connection = self.to_worker.connection
        assert connection is not None
        connection.sever(outgoing=stuck, incoming=False)

    async def exchange(self) -> None:
        """A note goes to the worker, and so the donor's loop has had turns."""
        peer_id, within = self.worker.peer.peer_id, Deadline.after(PATIENCE_S)
        await self.node.transport.send(peer_id, Note("still there?"), deadline=within)
        await self.worker.events.message_count(1)


async def donor(folder: Path, shape: Shape | None) -> Donor:
    owner = Owner.create(folder / "owner")
    node = await start(owner, folder, "donor", profile=QUIET, shape=shape)
    worker, joiner = [await start(owner, folder, name, profile=QUIET) for name in ("worker", "joiner")]
    await connected(node, worker, joiner)
    return Donor(node, worker, joiner)


@SHAPES
def test_chunks_to_one_peer_begin_when_the_activations_to_another_are_gone(tmp_path: Path, shape: Shape | None) -> None:
    async def run() -> None:
        us = await donor(tmp_path, shape)
        us.uplink.patience_s = LONGER
        await us.send(activations=10, chunks=3)
        await us.joiner.events.message_count(3)
        await us.worker.events.message_count(10)
        assert us.begun == ["test.bulk"] * 10 + ["test.spare"] * 3
        await close(us.node, us.worker, us.joiner)

    asyncio.run(run())


@SHAPES
def test_chunks_progress_although_another_peer_takes_nothing(tmp_path: Path, shape: Shape | None) -> None:
    async def run() -> None:
        us = await donor(tmp_path, shape)
        us.stick(True)
        us.uplink.patience_s = LONGER
        await us.send(activations=3, chunks=3)
        await us.exchange()
        assert us.begun == []
        us.uplink.patience_s = 0.3  # longer than it takes until a chunk is acknowledged
        us.to_joiner.pump()
        await us.joiner.events.message_count(3)
        assert us.begun == ["test.spare"] * 3
        assert us.to_worker.ordinary_waits
        us.stick(False)
        await us.worker.events.message_count(4)
        await close(us.node, us.worker, us.joiner)

    asyncio.run(run())


@SHAPES
@pytest.mark.parametrize("end", ["left", "lost", "broken"])
def test_a_link_that_ends_holds_nobody_up(tmp_path: Path, shape: Shape | None, end: str) -> None:
    async def run() -> None:
        us = await donor(tmp_path, shape)
        us.uplink.patience_s = LONGER
        us.stick(True)
        await us.send(activations=3, chunks=2)
        await us.exchange()
        assert us.begun == []
        match end:
            case "left":
                us.node.transport.set_members({us.joiner.peer.peer_id: us.joiner.peer})
                assert us.uplink._lanes == [us.to_joiner]
            case "lost":
                await us.worker.transport.close()
            case _:
                us.node.transport._cut = frozenset({us.worker.peer.peer_id})  # it does not form again
                assert us.to_worker.connection is not None
                us.to_worker.connection.abort("cut by the test")
        await us.joiner.events.message_count(2)
        assert us.begun == ["test.spare"] * 2
        await close(us.node, us.worker, us.joiner)

    asyncio.run(run())
