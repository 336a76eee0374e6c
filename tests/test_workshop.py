"""Shards that die, whenever they do: new ones are built, and the run goes on. States are kept on disk, and restored."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from actors.shards import Built, ShardGroup, ShardLostError
from actors.spec import ParticipantSpec
from actors.steps import effects, events
from actors.workshop import Workshop
from checkpoint.shelf import Shelf, ShelfError, rank_folder
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


class Holder(Group):
    """Shards with a state of four elements."""

    def __init__(self) -> None:
        super().__init__(dies=False)
        self.state = np.arange(4, dtype=np.float32)

    async def build(self) -> Built:
        """Build at once."""
        return Built("hash", 1, 1, 4)

    async def keep(self, folder: str, era: int, commit: int) -> str:
        """Write it down."""
        try:
            Shelf(rank_folder(folder, 0), 0).put(era, commit, self.state, f"hash {self.state.sum()}")
        except OSError as error:
            return str(error)
        return ""

    async def restore(self, folder: str, era: int, commit: int) -> tuple[str, str]:
        """Take it over."""
        try:
            self.state, wanted = Shelf(rank_folder(folder, 0), 0).get(era, commit)
        except ShelfError as error:
            return "", str(error)
        return wanted, ""


async def opened(spec: ParticipantSpec, folder: Path, said: list[str]) -> tuple[Workshop, Holder, Any]:
    """A workshop with a folder that has built its shards, and a queue of what it tells."""
    told: asyncio.Queue[events.Event] = asyncio.Queue()
    holder, here = Holder(), dataclasses.replace(spec, folder=str(folder))

    def note(kind: str, detail: str) -> None:
        said.append(f"{kind}: {detail}")

    workshop = Workshop(here, lambda *given: cast(Any, holder), told.put_nowait, said.append, note)
    await workshop.build()
    assert await told.get() == events.Kept(frozenset())
    assert isinstance(await told.get(), events.LocalReady)
    return workshop, holder, told


def kept_and_restored(spec: ParticipantSpec, folder: Path, spoil: Callable[[Path], None]) -> tuple[Any, list[str]]:
    """Keep a state, spoil its file, restore it; return the last event, and what was said."""
    said: list[str] = []

    async def scene() -> events.Event:
        workshop, holder, told = await opened(spec, folder, said)
        async with asyncio.timeout(10):
            workshop.do(effects.KeepState(0, 10))
            assert await told.get() == events.Kept(frozenset({(0, 10)}))
            holder.state = np.zeros(4, np.float32)
            (path,) = rank_folder(folder / "states", 0).iterdir()
            spoil(path)
            workshop.do(effects.RestoreState(0, 10))
            last: events.Event = await told.get()
        workshop.close()
        return last

    return asyncio.run(scene()), said


def test_a_state_is_kept_and_restored(spec: ParticipantSpec, tmp_path: Path) -> None:
    last, said = kept_and_restored(spec, tmp_path, lambda path: None)
    assert last == events.Restored(10, "hash 6.0")
    assert not said


def test_a_kept_state_that_is_damaged_is_named_and_gone(spec: ParticipantSpec, tmp_path: Path) -> None:
    def turn(path: Path) -> None:
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))

    last, said = kept_and_restored(spec, tmp_path, turn)
    assert last == events.Kept(frozenset())
    assert len(said) == 1 and "commit-10.state cannot be used" in said[0]
    assert not list(rank_folder(tmp_path / "states", 0).iterdir())


def test_a_disk_that_takes_nothing_does_not_end_the_training(
    spec: ParticipantSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*given: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Shelf, "put", full)
    said: list[str] = []

    async def scene() -> None:
        workshop, _, told = await opened(spec, tmp_path, said)
        workshop.do(effects.KeepState(0, 10))
        async with asyncio.timeout(10):
            assert await told.get() == events.Kept(frozenset())
        workshop.close()

    asyncio.run(scene())
    assert said == ["disk: commit 10 of stage 0 cannot be kept: [Errno 28] No space left on device"]
