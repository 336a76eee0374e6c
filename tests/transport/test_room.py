"""Room in a queue: what fits, who is next, and what becomes of those who wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from actors.transport.deadline import Deadline
from actors.transport.frame import Frame
from actors.transport.room import OutboxDropped, OutboxFull, Room
from tests.transport.helpers import PATIENCE_S, REGISTRY, Bulk

KIND = REGISTRY.kind_of(Bulk(0))
NOW = Deadline(0.0)
"""Long past: one that has to wait gives up at once."""


def of(nbytes: int) -> Frame:
    return Frame(KIND, (), nbytes)


class Queue:
    """A room, and what it admitted."""

    def __init__(self, limit: int) -> None:
        self.admitted: list[int] = []
        self.room = Room(limit, lambda frame: self.admitted.append(frame.nbytes))

    async def enter(self, nbytes: int) -> None:
        """Enter without waiting."""
        await self.room.enter(of(nbytes), NOW)

    async def wait(self, nbytes: int) -> asyncio.Task[None]:
        """Stand in the line."""
        task = asyncio.create_task(self.room.enter(of(nbytes), Deadline.after(PATIENCE_S)))
        await turn()
        assert self.room.wanted
        return task

    def leave(self, nbytes: int) -> None:
        self.room.release(of(nbytes))
        self.room.admit_waiting()


async def turn() -> None:
    """Let every task have its turn."""
    for _ in range(5):
        await asyncio.sleep(0)


def scene(play: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Run a coroutine test."""

    def run() -> None:
        asyncio.run(play())

    run.__name__, run.__doc__ = play.__name__, play.__doc__
    return run


@pytest.mark.parametrize(
    ("taken", "nbytes", "fits"),
    [
        (0, 999, True),
        (0, 1000, True),
        (0, 5000, True),  # larger than the bound, but the room is empty
        (400, 599, True),
        (400, 600, True),  # exactly full
        (400, 601, False),
        (1000, 1, False),
        (999, 1, True),
        (1, 5000, False),
    ],
)
def test_a_frame_fits_up_to_the_bound_or_into_an_empty_room(taken: int, nbytes: int, fits: bool) -> None:
    async def run() -> None:
        queue = Queue(1000)
        if taken:
            await queue.enter(taken)
        if fits:
            await queue.enter(nbytes)
        else:
            with pytest.raises(OutboxFull):
                await queue.enter(nbytes)
        assert queue.admitted == [each for each in (taken, nbytes if fits else 0) if each]
        assert queue.room.taken == sum(queue.admitted)
        assert not queue.room.wanted, "one that gave up waits no more"

    asyncio.run(run())


@scene
async def test_room_is_given_back_in_bytes_and_to_the_longest_waiting_first() -> None:
    queue = Queue(1000)
    await queue.enter(600)
    await queue.enter(400)
    big, small = await queue.wait(500), await queue.wait(100)
    queue.room.release(of(400))
    assert queue.room.taken == 600
    await turn()
    assert not small.done(), "releasing alone admits nobody"
    queue.room.admit_waiting()
    await turn()
    assert not big.done()
    assert not small.done(), "it would fit, but the big one came first"
    queue.leave(600)
    await asyncio.gather(big, small)
    assert queue.admitted == [600, 400, 500, 100]
    assert queue.room.taken == 600
    assert not queue.room.wanted


@scene
async def test_nobody_overtakes_the_line() -> None:
    queue = Queue(1000)
    await queue.enter(900)
    waiting = await queue.wait(500)
    with pytest.raises(OutboxFull):
        await queue.enter(100)
    queue.leave(900)
    await waiting
    assert queue.admitted == [900, 500]


@scene
async def test_as_many_are_admitted_at_once_as_fit() -> None:
    queue = Queue(1000)
    await queue.enter(1000)
    tasks = [await queue.wait(400) for _ in range(3)]
    queue.leave(1000)
    await turn()
    assert [task.done() for task in tasks] == [True, True, False]
    assert queue.room.taken == 800
    queue.leave(400)
    await asyncio.gather(*tasks)


@scene
async def test_one_that_gives_up_lets_the_next_one_in() -> None:
    queue = Queue(1000)
    await queue.enter(500)
    big, small = await queue.wait(900), await queue.wait(100)
    big.cancel()
    await asyncio.gather(big, return_exceptions=True)
    await small
    assert queue.admitted == [500, 100]
    assert queue.room.taken == 600


@scene
async def test_one_that_was_cancelled_in_the_same_moment_is_passed_over() -> None:
    queue = Queue(1000)
    await queue.enter(1000)
    gone, stays = await queue.wait(300), await queue.wait(200)
    gone.cancel()
    queue.leave(1000)
    await stays
    await asyncio.gather(gone, return_exceptions=True)
    assert gone.cancelled()
    assert queue.admitted == [1000, 200]
    assert queue.room.taken == 200


@scene
async def test_a_drop_empties_the_room_and_tells_all_that_wait() -> None:
    queue = Queue(1000)
    await queue.enter(1000)
    tasks = [await queue.wait(100) for _ in range(2)]
    tasks[0].cancel()
    queue.room.drop()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(each) for each in results] == [asyncio.CancelledError, OutboxDropped]
    assert queue.room.taken == 0
    assert not queue.room.wanted
    assert queue.admitted == [1000]
    await queue.enter(1000)


def test_releasing_what_was_never_admitted_is_a_bug() -> None:
    queue = Queue(1000)
    with pytest.raises(AssertionError, match="had not been admitted"):
        queue.room.release(of(1))
