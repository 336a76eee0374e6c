"""Shards that die, whenever they do: new ones are built, and the run goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from actors.shards import Built, ShardGroup, ShardLostError
from actors.spec import ParticipantSpec
from actors.steps import events
from actors.workshop import Workshop
from orchestrator.config import load
from orchestrator.launcher import participant_specs


class Group:
    """Shards that die while they are built, or do not."""

    def __init__(self, *, dies: bool) -> None:
        self._dies = dies
        self.closed = False

    async def build(self) -> Built:
        """Build, unless the process dies first."""
        await asyncio.sleep(0)
        if self._dies:
            raise ShardLostError("lost shard 0 of somebody (stage 0): its process died")
        return Built("hash", 1, 1, 2)

    def close(self) -> None:
        """End it."""
        self.closed = True


@pytest.fixture
def spec() -> ParticipantSpec:
    """Any participant."""
    return participant_specs(load(None, ["run_id=workshop", "model.vocab_size=256"]))[0]


def test_shards_that_die_while_they_are_built_are_built_again(spec: ParticipantSpec) -> None:
    told: list[events.Event] = []
    failures: list[str] = []
    groups: list[Group] = []

    def make(spec: ParticipantSpec, on_lost: Callable[[str], None], number: int) -> ShardGroup:
        groups.append(Group(dies=number < 2))
        return cast(Any, groups[-1])

    async def scene() -> None:
        ready = asyncio.Event()

        def tell(event: events.Event) -> None:
            told.append(event)
            if isinstance(event, events.LocalReady):
                ready.set()

        workshop = Workshop(spec, make, tell, failures.append)
        workshop.start()
        async with asyncio.timeout(10):
            await ready.wait()
        workshop.close()

    asyncio.run(scene())
    assert not failures
    assert [group.closed for group in groups] == [True, True, True]
    assert sum(isinstance(event, events.ShardsLost) for event in told) == 2
