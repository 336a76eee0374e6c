"""Which queue a message waits in, how long it may be, and what becomes of a message that does not get out."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest

from actors import outgoing
from actors.outgoing import SEND_S, WAITING, Outgoing, Rank
from actors.protocol import BACKGROUND, CONTROL
from actors.steps.jobs import Payload, TokensOf
from actors.steps.messages import Abort, Chunk, Forward, Part, Purpose
from actors.transport.base import Array
from actors.transport.deadline import Deadline
from actors.transport.errors import LinkError

TENSOR: Payload = (np.zeros(2, np.float32),)
EMPTY: Payload = (np.zeros(0, np.float32),)
TOKENS = TokensOf(0, 1, Purpose.TRAIN)


def forward(index: int) -> Forward:
    """An activation."""
    return Forward(0, index, Purpose.TRAIN, 1, "ann", 0, ())


def chunk(number: int) -> Chunk:
    """A piece of a state."""
    return Chunk(Part.STATE, 0, number)


def bare(kind: type[Any]) -> object:
    """A message of a kind, without its fields: the rank does not look into it."""
    return object.__new__(kind)


@pytest.mark.parametrize("kind", CONTROL, ids=lambda kind: kind.__name__)
def test_a_message_without_tensors_is_control(kind: type[Any]) -> None:
    assert Rank.of(bare(kind), ()) is Rank.CONTROL


@pytest.mark.parametrize("payload", [TENSOR, EMPTY, TOKENS], ids=["a tensor", "one without elements", "tokens"])
def test_a_message_with_tensors_is_bulk(payload: Payload) -> None:
    assert Rank.of(forward(0), payload) is Rank.BULK


@pytest.mark.parametrize("payload", [(), TENSOR, TOKENS])
@pytest.mark.parametrize("kind", BACKGROUND, ids=lambda kind: kind.__name__)
def test_what_catching_up_needs_is_background_whatever_it_carries(kind: type[Any], payload: Payload) -> None:
    assert Rank.of(bare(kind), payload) is Rank.BACKGROUND


class Link:
    """Sends when its gate is open, and fails for the messages that it is told to."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.sent: list[tuple[str, object, tuple[Array, ...]]] = []
        self.fails: set[object] = set()
        self.deadlines: dict[object, Deadline] = {}

    async def send(self, peer_id: str, message: object, tensors: tuple[Array, ...], *, deadline: Deadline) -> int:
        self.deadlines[message] = deadline
        await self.gate.wait()
        if message in self.fails:
            raise LinkError(peer_id, "it was lost")
        self.sent.append((peer_id, message, tensors))
        return 0


class Bench:
    """Queues in front of such a link."""

    def __init__(self) -> None:
        self.link, self.failures = Link(), list[tuple[str, str]]()
        self.tasks: list[asyncio.Task[None]] = []
        self.queues = Outgoing(self.link, self._resolve, self._spawn, lambda *failed: self.failures.append(failed))

    def _resolve(self, payload: Payload) -> tuple[Array, ...]:
        return payload if isinstance(payload, tuple) else (np.arange(3),)

    def _spawn(self, running: Any) -> None:
        self.tasks.append(asyncio.get_running_loop().create_task(running))

    async def settle(self) -> None:
        """Let every queue go as far as it can."""
        for _ in range(40):
            await asyncio.sleep(0)


def on_a_bench(scene: Callable[[Bench], Awaitable[None]]) -> None:
    """Run a scene, and end what still waits."""

    async def run() -> None:
        bench = Bench()
        await scene(bench)
        for task in bench.tasks:
            task.cancel()
        await asyncio.gather(*bench.tasks, return_exceptions=True)

    asyncio.run(run())


def test_each_queue_of_a_peer_keeps_its_order() -> None:
    async def scene(bench: Bench) -> None:
        for number in range(3):
            bench.queues.put("bob", chunk(number), TENSOR)
            bench.queues.put("bob", forward(number), TENSOR)
        bench.link.gate.set()
        await bench.settle()
        sent = [message for _, message, _ in bench.link.sent]
        assert [one for one in sent if isinstance(one, Chunk)] == [chunk(number) for number in range(3)]
        assert [one for one in sent if isinstance(one, Forward)] == [forward(number) for number in range(3)]
        assert len(bench.tasks) == 2, "one task a queue, and a queue for each rank that is used"

    on_a_bench(scene)


def test_tokens_are_looked_up_when_they_are_sent() -> None:
    async def scene(bench: Bench) -> None:
        bench.queues.put("bob", forward(0), TOKENS)
        bench.queues.put("bob", forward(1), TENSOR)
        bench.link.gate.set()
        await bench.settle()
        tokens, tensor = (tensors for _, _, tensors in bench.link.sent)
        assert tokens[0].tolist() == [0, 1, 2] and tensor is TENSOR

    on_a_bench(scene)


def test_a_queue_is_bounded_and_what_comes_beyond_is_dropped_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outgoing, "WAITING", 3)

    async def scene(bench: Bench) -> None:
        bench.queues.put("bob", forward(0), TENSOR)
        await bench.settle()  # it is with the link: the queue is empty again
        for number in range(1, 6):
            bench.queues.put("bob", forward(number), TENSOR)
        assert bench.failures == [("bob", "3 messages wait for it: the link is too slow")] * 2
        bench.queues.put("bob", Abort("another queue"), ())
        bench.queues.put("cy", forward(9), TENSOR)
        assert len(bench.failures) == 2
        bench.link.gate.set()
        await bench.settle()
        bulk = [message for peer, message, _ in bench.link.sent if peer == "bob" and isinstance(message, Forward)]
        assert bulk == [forward(number) for number in range(4)]

    on_a_bench(scene)


def test_the_bounds() -> None:
    assert (WAITING, SEND_S) == (8192, 120.0)


def test_a_message_that_fails_is_told_and_the_next_one_goes_out() -> None:
    async def scene(bench: Bench) -> None:
        bench.link.fails = {forward(0)}
        bench.link.gate.set()
        for number in range(2):
            bench.queues.put("bob", forward(number), TENSOR)
        await bench.settle()
        assert [message for _, message, _ in bench.link.sent] == [forward(1)]
        ((peer, reason),) = bench.failures
        assert peer == "bob" and "it was lost" in reason

    on_a_bench(scene)


def test_all_but_background_messages_have_a_deadline() -> None:
    async def scene(bench: Bench) -> None:
        plan = Abort("a plan")
        for message, payload in ((chunk(0), TENSOR), (forward(0), TENSOR), (plan, ())):
            bench.queues.put("bob", message, payload)
        await bench.settle()
        assert bench.link.deadlines[chunk(0)] == Deadline.never()
        assert math.isfinite(bench.link.deadlines[forward(0)].at) and math.isfinite(bench.link.deadlines[plan].at)

    on_a_bench(scene)


def test_a_lost_peer_s_queues_end_and_a_new_one_begins_for_it() -> None:
    async def scene(bench: Bench) -> None:
        bench.link.gate.set()
        bench.queues.put("bob", forward(0), TENSOR)
        bench.queues.put("cy", forward(1), TENSOR)
        await bench.settle()
        bench.link.gate.clear()
        bench.queues.drop("bob")
        bench.queues.drop("unknown")
        await bench.settle()
        assert [task.done() for task in bench.tasks] == [True, False]
        bench.queues.put("bob", forward(2), TENSOR)
        bench.queues.put("cy", forward(3), TENSOR)
        bench.link.gate.set()
        await bench.settle()
        assert len(bench.tasks) == 3
        assert {(peer, message) for peer, message, _ in bench.link.sent[2:]} == {
            ("bob", forward(2)),
            ("cy", forward(3)),
        }

    on_a_bench(scene)


def test_a_full_queue_is_emptied_when_its_peer_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outgoing, "WAITING", 2)

    async def scene(bench: Bench) -> None:
        for number in range(4):
            bench.queues.put("bob", forward(number), TENSOR)
            await bench.settle()
        (waiting,) = bench.queues._queues.values()
        bench.queues.drop("bob")
        assert waiting.qsize() == 1, "its end alone"
        bench.link.gate.set()
        await bench.settle()
        assert [message for _, message, _ in bench.link.sent] == [forward(0)] and bench.tasks[0].done()

    on_a_bench(scene)
