"""The shards of a participant and their work: builds them, gives them jobs in order, builds new ones when they die."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np

from actors.shards import Built, ShardGroup, ShardLostError
from actors.spec import ParticipantSpec
from actors.steps import effects, events
from actors.steps.jobs import Job, JobKind, Payload, TokensOf
from actors.steps.messages import Purpose
from actors.tokens import TokenSource
from actors.transport.base import Array
from checkpoint.shelf import Shelf, rank_folder

log = logging.getLogger("tessera.shards")
PAUSES_S = (0.0, 0.0, 1.0, 5.0, 30.0)
"""Before building again; the last one for all further attempts."""
MOST_ERRORS = 3
"""What fails more often without an update in between is no accident."""

MakeShards = Callable[[ParticipantSpec, Callable[[str], None], int], ShardGroup]


class Workshop:
    """Drives one `ShardGroup` after the other. Everything runs in one event loop.

    Args:
        spec: the participant.
        make: makes a group for a spec; gets what to call when it dies, and how many there were before.
        tell: takes events for the protocol.
        fail: called with a sentence when nothing can be built.
        note: takes (kind, detail) for a person.
    """

    def __init__(
        self,
        spec: ParticipantSpec,
        make: MakeShards,
        tell: Callable[[events.Event], None],
        fail: Callable[[str], None],
        note: Callable[[str, str], None] = lambda kind, detail: None,
    ) -> None:
        self._spec, self._make, self._tell, self._fail, self._note = spec, make, tell, fail, note
        self._number = 0
        self._group: ShardGroup | None = None
        self._tokens: TokenSource | None = None
        self._data_ok = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self.built: Built | None = None
        self._errors = 0
        """Errors of the shards since the last update."""

    @property
    def restarts(self) -> int:
        """How many groups there were before this one."""
        return max(0, self._number - 1)

    async def open(self) -> str:
        """Open the corpus; return what is wrong with it, empty when nothing is."""
        try:
            self._tokens = await asyncio.to_thread(self._spec.tokens)
            self._data_ok = self._tokens.fingerprint == self._spec.fingerprint
        except ValueError as error:
            return f"{self._spec.name} cannot read the corpus: {error}"
        return ""

    @property
    def _states(self) -> str:
        """Where states of the own stages are kept; empty where nothing is."""
        return str(Path(self._spec.folder) / "states") if self._spec.folder and self._spec.stage.index >= 0 else ""

    @property
    def _shelves(self) -> list[Shelf]:
        """One for each local device."""
        ranks = range(self._spec.layout.devices if self._states else 0)
        return [Shelf(rank_folder(self._states, rank), self._spec.stage.index) for rank in ranks]

    def _tell_kept(self) -> None:
        """What is on disk, of all local devices."""
        if self._shelves and not self._closed:
            self._tell(events.Kept(frozenset.intersection(*(shelf.kept() for shelf in self._shelves))))

    async def build(self) -> None:
        """Make shards; the protocol hears when they are there."""
        number, self._number = self._number, self._number + 1
        await asyncio.sleep(PAUSES_S[min(number, len(PAUSES_S) - 1)])
        if self._closed or number != self._number - 1:
            return
        group = self._group = self._make(self._spec, lambda reason: self.lost(number, reason), number)
        built = await group.build()
        if self._group is group:
            self.built = built
            self._tell_kept()
            lengths = (built.gradient_length, built.state_length)
            self._tell(events.LocalReady(built.parameter_hash, built.parameters, self._data_ok, *lengths))

    def start(self) -> None:
        """Build in the background."""
        self._spawn(self.build(), self._number)

    def serve(self, spec: ParticipantSpec) -> None:
        """Another stage: end the shards, if there are any, and build its."""
        self._spec = spec
        self.built, self._errors = None, 0
        group, self._group = self._group, None
        if group is not None:
            group.close()
        for shelf in self._shelves:
            shelf.clear()
        self.start()

    def lost(self, number: int, reason: str) -> None:
        """A group is gone: the protocol hears it once, and a new one is built."""
        if self._closed or number != self._number - 1 or self._group is None:
            return
        group, self._group = self._group, None
        group.close()
        self._tell(events.ShardsLost(reason))
        self.start()

    def restart(self, reason: str) -> None:
        """The shards do not answer: end them."""
        self.lost(self._number - 1, reason)

    # Work

    def compute(self, job: Job) -> None:
        """Run a job."""
        group = self._group
        if group is None:
            return
        labels = None
        if job.kind in (JobKind.LOSS, JobKind.EVALUATE):
            labels = np.ascontiguousarray(self._sample(job.step, job.index, job.purpose)[:, 1:])
        index = job.index if job.purpose is Purpose.TRAIN else -1 - job.index
        running = group.run(job.kind, (job.step, index), self.resolve(job.payload), labels)

        async def finish() -> None:
            outcome = await running
            self._answer(group, events.Computed(job, outcome.tensors, outcome.loss, outcome.seconds))

        self._spawn(finish(), self._number - 1)

    def do(self, effect: effects.Effect) -> None:
        """Everything else that shards do."""
        group = self._group
        if isinstance(effect, effects.DropState):
            for shelf in self._shelves:
                shelf.drop(effect.era, effect.commit)
            asyncio.get_running_loop().call_soon(self._tell_kept)
        if group is None:
            return
        match effect:
            case effects.Discard():
                self._then(group, group.discard(), lambda _: None)
            case effects.ExportGradient(step, number):
                self._then(group, group.export_gradient(), lambda out: events.GradientExported(step, number, *out))
            case effects.ApplyUpdate(step, average, clip_factor):
                running = group.apply(average, clip_factor, step)
                self._then(group, running, lambda hashed: self._applied(step, hashed))
            case effects.ExportState(commit):
                self._then(group, group.export_state(), lambda out: events.StateExported(commit, *out))
            case effects.LoadState(commit, values):
                self._then(group, group.load_state(values), lambda hashed: events.StateLoaded(commit, hashed))
            case effects.KeepState(era, commit) if self._states:
                self._then(group, group.keep(self._states, era, commit), lambda wrong: self._kept(commit, wrong))
            case effects.SavePart(history, commit, part, parts):
                saving = group.save((self._spec.checkpoint.url, history, commit), part, parts)
                self._then(group, saving, lambda out: _part(history, commit, part, out))
            case effects.SealStage(history, commit, receipts):
                sealing = group.seal((self._spec.checkpoint.url, history, commit), list(receipts))
                self._then(group, sealing, lambda out: _sealed(history, commit, out))
            case effects.FetchCheckpoint(history, commit, first):
                where = self._spec.checkpoint.resume if first else self._spec.checkpoint.url
                fetching = group.fetch((where, history, commit))
                self._then(group, fetching, lambda out: _fetched(history, commit, *out))
            case effects.RestoreState(era, commit) if self._states:
                restoring = group.restore(self._states, era, commit)
                self._then(group, restoring, lambda out: self._restored(era, commit, *out))

    def _kept(self, commit: int, wrong: str) -> None:
        """A disk that is full must not end the training."""
        if wrong:
            self._note("disk", f"commit {commit} of stage {self._spec.stage.index} cannot be kept: {wrong}")
        self._tell_kept()

    def _restored(self, era: int, commit: int, parameter_hash: str, wrong: str) -> events.Event | None:
        if not wrong:
            return events.Restored(commit, parameter_hash)
        self._note("damaged", f"{wrong}: the state is fetched from others")
        for shelf in self._shelves:
            shelf.drop(era, commit)
        self._tell_kept()
        return None

    def _applied(self, step: int, hashed: str) -> events.Event:
        self._errors = 0
        return events.Applied(step, hashed)

    def _then(self, group: ShardGroup, running: Awaitable[Any], event: Callable[[Any], events.Event | None]) -> None:
        async def finish() -> None:
            self._answer(group, event(await running))

        self._spawn(finish(), self._number - 1)

    def _answer(self, group: ShardGroup, event: events.Event | None) -> None:
        if event is not None and group is self._group:
            self._tell(event)

    def resolve(self, payload: Payload) -> tuple[Array, ...]:
        """Look up token ids where a payload stands for them."""
        if isinstance(payload, TokensOf):
            return (np.ascontiguousarray(self._sample(payload.step, payload.index, payload.purpose)[:, :-1]),)
        return payload

    def _sample(self, step: int, index: int, purpose: Purpose) -> Array:
        assert self._tokens is not None, "only participants with the run's corpus are asked for tokens"
        return self._tokens.microbatch(step, index) if purpose is Purpose.TRAIN else self._tokens.validation(index)

    @property
    def processes(self) -> list[int]:
        """Process ids of the shards that stand."""
        return list(self.built.processes) if self._group is not None and self.built is not None else []

    def slow_down(self, factor: float, seconds: float) -> None:
        """Fault injection: the shards take so many times their time, for so long."""
        if self._group is not None:
            self._group.slow_down(factor, seconds)

    async def inventory(self) -> list[Any]:
        """What the shards hold and ever constructed, for tests."""
        assert self._group is not None
        return await self._group.inventory()

    def _spawn(self, work: Any, number: int) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._finished(done, number))

    def _finished(self, task: asyncio.Task[None], number: int) -> None:
        self._tasks.discard(task)
        if task.cancelled() or task.exception() is None:
            return
        error = task.exception()
        if isinstance(error, ShardLostError):
            self.lost(number, str(error))
            return
        log.error("%s: %s", self._spec.name, error, exc_info=error)
        where = f"{self._spec.name} (stage {self._spec.stage.index})"
        text = f"{where} failed: {type(error).__name__}: {(str(error).strip() or 'no words').splitlines()[-1]}"
        if number != self._number - 1:  # of shards that are gone already
            return
        if self.built is None or self._errors >= MOST_ERRORS:
            self._fail(text)
            return
        self._errors += 1
        self.lost(number, f"{text}; its shards are built anew")

    def close(self) -> None:
        """Free the devices."""
        self._closed = True
        for task in list(self._tasks):
            task.cancel()
        if self._group is not None:
            self._group.close()
            self._group = None


def _part(history: int, commit: int, part: int, out: bytes | str) -> events.Event:
    """What shards say of a part: its receipt, or what went wrong."""
    if isinstance(out, str):
        return events.SaveFailed(history, commit, out)
    return events.PartSaved(history, commit, part, out)


def _sealed(history: int, commit: int, out: bytes | str) -> events.Event:
    if isinstance(out, str):
        return events.SaveFailed(history, commit, out)
    return events.StageSealed(history, commit, out)


def _fetched(history: int, commit: int, parameter_hash: str, wrong: str) -> events.Event:
    return events.FetchFailed(history, commit, wrong) if wrong else events.Restored(commit, parameter_hash)
