"""A small world for the step protocol: real participants, virtual time, seeded delays, an exact model of integers.

The "gradient" of microbatch i at stage s is a vector of integers that no other (step, stage, index) has; the sum that
is applied shows what was counted.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import replace
from itertools import count

import numpy as np

from actors.membership.roster import Member, Roster
from actors.records import CommitRecord, Traffic
from actors.steps.context import StepSetup
from actors.steps.events import (
    Applied,
    ApplyUpdate,
    Committed,
    Compute,
    Computed,
    Doubt,
    Effect,
    Event,
    ExportGradient,
    Failed,
    Finished,
    GradientExported,
    Job,
    JobKind,
    LocalReady,
    Note,
    Received,
    Send,
    Tick,
)
from actors.steps.participant import Participant

LENGTH = 7
Meddler = Callable[[str, Effect], list[Effect]]
"""May replace what a participant (by name) wants done: drops, repeats, changes."""


def setup(stages: int, **changes: object) -> StepSetup:
    """Return a small setup."""
    base = StepSetup(
        stages=stages,
        steps=3,
        microbatches=6,
        tokens_per_microbatch=4,
        in_flight=3,
        validate_every=2,
        validation_microbatches=2,
        clip=0.0,
        learning_rate=lambda step: 0.1,
        config_hash="same",
        floor_s=20.0,
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def gradient(step: int, stage: int, index: int) -> np.ndarray:
    """Return what microbatch `index` contributes at `stage`."""
    return np.array([2.0**index, step + 1, stage + 1, index, 1, 0, 3], dtype=np.float32)


class World:
    """Participants joined by a network with random delays."""

    def __init__(self, seed: int, layout: list[int], meddle: Meddler | None = None, **changes: object) -> None:
        self.random = random.Random(seed)
        names = [(stage, replica) for stage, replicas in enumerate(layout) for replica in range(replicas)]
        members = [Member(f"id{self.random.random()}", f"s{stage}r{replica}", stage, "") for stage, replica in names]
        self.roster = Roster(members)
        self.setup = setup(len(layout), **changes)
        self.meddle = meddle or (lambda name, effect: [effect])
        self.now = 0.0
        self._queue: list[tuple[float, int, str, Event]] = []
        self._order = count()
        self._last: dict[tuple[str, str], float] = {}
        self.participants = {m.peer_id: Participant(self.setup, self.roster, m, Traffic) for m in members}
        self.accumulated = {m.peer_id: np.zeros(LENGTH, np.float32) for m in members}
        self.parameters = {m.peer_id: np.zeros(LENGTH, np.float32) for m in members}
        self.records: dict[str, list[CommitRecord]] = {m.name: [] for m in members}
        self.failures: dict[str, str] = {}
        self.notes: list[Note] = []
        self.doubts: list[tuple[str, str, str]] = []
        """(who waits, for whom, what for)"""
        self.silent: set[str] = set()
        for member in members:
            self._at(self.random.random(), member.peer_id, LocalReady(self._hash(member.peer_id), 1, True))

    def run(self, until: float = 1e5) -> None:
        """Run until nothing is left to do."""
        while self._queue and self._queue[0][0] < until:
            self.now, _, peer, event = heapq.heappop(self._queue)
            self._handle(peer, event)
            if not self._queue:
                self._tick()

    def _tick(self) -> None:
        """Nothing moves: let time pass until the first one wants to be woken."""
        waiting = [
            (deadline, peer)
            for peer, participant in self.participants.items()
            if not participant.failed and not participant.finished and self.name(peer) not in self.silent
            if (deadline := participant.next_deadline()) is not None
        ]
        if waiting:
            deadline, peer = min(waiting)
            self._at(max(self.now, deadline), peer, Tick())

    def _at(self, when: float, peer: str, event: Event) -> None:
        heapq.heappush(self._queue, (when, next(self._order), peer, event))

    def _handle(self, peer: str, event: Event) -> None:
        name = self.name(peer)
        if name in self.silent:
            return
        for wanted in self.participants[peer].handle(self.now, event):
            for effect in self.meddle(name, wanted):
                self._do(peer, effect)

    def name(self, peer: str) -> str:
        """Return the name of a participant."""
        member = self.roster.member(peer)
        assert member is not None
        return member.name

    def _do(self, peer: str, effect: Effect) -> None:
        match effect:
            case Send(to, message, payload):
                lane = (peer, to)
                arrival = max(self.now + self.random.random(), self._last.get(lane, 0.0) + 1e-6)
                self._last[lane] = arrival
                self._at(arrival, to, Received(peer, message, payload if isinstance(payload, tuple) else ("tokens",)))
            case Compute(job):
                self._compute(peer, job)
            case ExportGradient(step):
                self._at(self.now + self.random.random(), peer, GradientExported(step, self.accumulated[peer].copy()))
            case ApplyUpdate(step, average, _):
                self.parameters[peer] += average
                self.accumulated[peer][:] = 0
                self._at(self.now + self.random.random(), peer, Applied(step, self._hash(peer)))
            case Committed(record):
                self.records[self.name(peer)].append(record)
            case Note():
                self.notes.append(effect)
            case Doubt():
                self.doubts.append((self.name(peer), self.name(effect.peer), effect.reason))
            case Failed(reason):
                self.failures[self.name(peer)] = reason
            case Finished():
                pass

    def _compute(self, peer: str, job: Job) -> None:
        member = self.roster.member(peer)
        assert member is not None
        if job.kind in (JobKind.LOSS, JobKind.BACKWARD):
            self.accumulated[peer] += gradient(job.step, member.stage, job.index)
        seconds = self.random.random() * 2
        self._at(self.now + seconds, peer, Computed(job, ("tensor",), float(job.index), seconds))

    def _hash(self, peer: str) -> str:
        return self.parameters[peer].tobytes().hex()

    def expected(self, stage: int) -> np.ndarray:
        """Return the parameters that an undisturbed run has at its end."""
        total = np.zeros(LENGTH, np.float32)
        for step in range(self.setup.steps):
            for index in range(self.setup.microbatches):
                total += gradient(step, stage, index)
        return total
