"""The queues in front of the links: which of them waits for which."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import numpy as np

from actors.outgoing import Outgoing
from actors.protocol import BACKGROUND, build_registry
from actors.steps.jobs import Payload
from actors.steps.messages import Abort, Chunk, Forward, Part, Purpose
from actors.transport.base import Array
from actors.transport.deadline import Deadline
from actors.transport.errors import LinkError
from actors.transport.schema import Lane

PART: Payload = (np.zeros(3, np.float32),)
ACTIVATION = Forward(0, 0, Purpose.TRAIN, 1, "ann", 0, ())
PLAN = Abort("as good as any message without tensors")


class FullLink:
    """Takes nothing of the kinds that it is full for, until they are opened."""

    def __init__(self, *full: type[Any]) -> None:
        self.full = full
        self.sent: list[tuple[str, object]] = []
        self.deadlines: dict[type[Any], Deadline] = {}
        self.open = asyncio.Event()
        self.lost = False

    async def send(self, peer_id: str, message: object, tensors: tuple[Array, ...], *, deadline: Deadline) -> int:
        self.deadlines[type(message)] = deadline
        if isinstance(message, self.full):
            await self.open.wait()
        if self.lost:
            raise LinkError(peer_id, "it was lost")
        self.sent.append((peer_id, message))
        return 0


class Bench:
    """Outgoing before such a link."""

    def __init__(self, *full: type[Any]) -> None:
        self.link = FullLink(*full)
        self.failures: list[tuple[str, str]] = []
        self._tasks: list[asyncio.Task[None]] = []
        self.outgoing = Outgoing(
            self.link,
            lambda payload: payload if isinstance(payload, tuple) else (),
            self._spawn,
            lambda peer, reason: self.failures.append((peer, reason)),
        )

    def _spawn(self, running: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.get_running_loop().create_task(running))

    async def settle(self) -> None:
        """Let every queue go as far as it can: each turn of the loop takes a message further."""
        for _ in range(20):
            await asyncio.sleep(0)

    @property
    def running(self) -> int:
        return sum(not task.done() for task in self._tasks)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def state(chunk: int) -> Chunk:
    return Chunk(Part.STATE, 0, chunk)


def test_a_state_without_room_holds_up_nothing_else() -> None:
    async def run() -> None:
        bench = Bench(*BACKGROUND)
        for number in range(2):
            bench.outgoing.put("bob", state(number), PART)
        bench.outgoing.put("bob", ACTIVATION, PART)
        bench.outgoing.put("bob", PLAN, ())
        bench.outgoing.put("cy", ACTIVATION, PART)
        await bench.settle()
        assert len(bench.link.sent) == 3
        assert set(bench.link.sent) == {("bob", ACTIVATION), ("bob", PLAN), ("cy", ACTIVATION)}
        bench.link.open.set()
        await bench.settle()
        assert bench.link.sent[3:] == [("bob", state(0)), ("bob", state(1))]
        assert bench.link.deadlines[Chunk] == Deadline.never()
        assert bench.link.deadlines[Forward] != Deadline.never()
        assert not bench.failures
        await bench.close()

    asyncio.run(run())


def test_an_activation_without_room_holds_up_neither_plans_nor_states() -> None:
    async def run() -> None:
        bench = Bench(Forward)
        for message, payload in ((ACTIVATION, PART), (PLAN, ()), (state(0), PART)):
            bench.outgoing.put("bob", message, payload)
        await bench.settle()
        assert {type(message) for _, message in bench.link.sent} == {Abort, Chunk}
        await bench.close()

    asyncio.run(run())


def test_a_lost_peer_is_forgotten_in_every_queue() -> None:
    async def run() -> None:
        bench = Bench(object)
        for _ in range(3):
            for message, payload in ((ACTIVATION, PART), (PLAN, ()), (state(0), PART)):
                bench.outgoing.put("bob", message, payload)
        await bench.settle()
        bench.outgoing.drop("bob")
        bench.link.lost = True
        bench.link.open.set()
        await bench.settle()
        assert len(bench.failures) == 3, "one of each queue was with the link already"
        bench.link.lost = False
        bench.outgoing.put("bob", state(7), PART)
        await bench.settle()
        assert bench.link.sent == [("bob", state(7))]
        await bench.close()

    asyncio.run(run())


def test_nothing_is_left_of_peers_that_come_and_go() -> None:
    async def run() -> None:
        bench = Bench()
        for number in range(5):
            bench.outgoing.put(f"peer-{number}", PLAN, ())
            await bench.settle()
            bench.outgoing.drop(f"peer-{number}")
        await bench.settle()
        assert len(bench.link.sent) == 5
        assert bench.running == 0
        await bench.close()

    asyncio.run(run())


def test_what_catching_up_needs_travels_in_the_background_of_the_bulk_lane() -> None:
    registry = build_registry()
    kind = registry.kind_of(state(0))
    assert kind.background and kind.lane is Lane.BULK
    assert {kind.cls for kind in registry._by_kind.values() if kind.background} == set(BACKGROUND)
