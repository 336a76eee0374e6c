"""Invented runs of any size, the same for the same arguments."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator

from actors.records import CommitRecord, Event, LinkStatus, MeshStatus, ParticipantStatus
from orchestrator.telemetry.report import Report

START = 1_760_000_000.0
NAMES = ("ada", "ben", "cleo", "dora", "emil", "fay", "gus", "hana", "ivo", "jun", "kai", "lea", "mio", "nora", "otto")
PARAMETERS = 1_520_000


def name(index: int) -> str:
    """A participant's name; numbered after the first round."""
    return NAMES[index % len(NAMES)] + (f"-{index // len(NAMES)}" if index >= len(NAMES) else "")


def participants(number: int, stages: int, *, dead: int = 0, joining: int = 0) -> list[ParticipantStatus]:
    """`number` participants dealt over the stages, the last ones dead or joining."""
    blocks = 2
    states = ["active"] * (number - dead - joining) + ["dead"] * dead + ["joining"] * joining
    return [
        ParticipantStatus(
            name=name(i),
            stage=i % stages,
            state=states[i],
            first_layer=(i % stages) * blocks,
            last_layer=(i % stages + 1) * blocks,
            embedding=i % stages == 0,
            head=i % stages == stages - 1,
            parameters=PARAMETERS // stages,
            share=1 / stages,
            tokens_per_s=2200.0 + 130 * (i * 7 % 11),
            address=f"10.0.0.{i + 1}:7000",
            data_ok=True,
        )
        for i in range(number)
    ]


def commits(steps: int, members: list[ParticipantStatus], *, microbatches: int = 16) -> Iterator[CommitRecord]:
    """Records of a run whose loss falls from ln 256; every tenth step validates."""
    chance = random.Random(7)
    stages = 1 + max((m.stage for m in members), default=-1)
    for step in range(steps):
        progress = 1.4 + 4.1 * math.exp(-6 * step / max(steps, 40))
        counted: dict[str, list[int]] = {}
        for stage in range(stages):
            replicas = [m.name for m in members if m.stage == stage and m.state == "active"]
            for index in range(microbatches if replicas else 0):
                counted.setdefault(chance.choice(replicas), []).append(index)
        seconds = chance.lognormvariate(0.1, 0.15) * (2.5 if step % 97 == 40 else 1)
        yield CommitRecord(
            step=step,
            commit=step + 1,
            loss=progress + chance.gauss(0, 0.04),
            grad_norm=0.4 + 2 * math.exp(-step / 20) + chance.random() * 0.1,
            clip_factor=1.0,
            lr=3e-3 * min(1.0, (step + 1) / 10),
            tokens=microbatches * 512,
            seconds=seconds,
            validation_loss=progress + 0.05 if step % 10 == 0 else None,
            leader=members[step % len(members)].name if members else "reference",
            counted=counted,
            hashes={m.name: f"{step:08x}{m.stage}" for m in members},
            throughput={m.name: m.tokens_per_s * chance.uniform(0.9, 1.1) for m in members},
            boundary_bytes={b: 1_050_000 + 4_000 * b + chance.randrange(90_000) for b in range(stages - 1)},
            averaging_bytes=760_000 * max(len(members) - stages, 0),
            control_bytes=21_000 * len(members) + chance.randrange(5_000) if members else 0,
        )


def closing(steps: int, loss: float = 1.47) -> CommitRecord:
    """The record after the last step: validation only, with the number of the parameters unchanged."""
    return CommitRecord(
        step=steps, commit=steps, loss=None, grad_norm=None, clip_factor=1.0, lr=0.0, tokens=0, seconds=0.4,
        validation_loss=loss, leader="ada", counted={}, hashes={}, throughput={}, boundary_bytes={0: 900},
        averaging_bytes=0, control_bytes=120,
    )  # fmt: skip


def status(members: list[ParticipantStatus], step: int, total: int, events: tuple[Event, ...] = ()) -> MeshStatus:
    """What the first participant tells at a step."""
    return MeshStatus(
        run_id="quickstart-7f3a",
        phase="training",
        step=step,
        total_steps=total,
        commit=step,
        observer=members[0].name if members else "nobody",
        failure="",
        participants=tuple(members),
        links=tuple(LinkStatus(m.name, m.state != "dead", 11.5 + 3 * i, 5_000_000 * (i + 1), 4_000_000)
                    for i, m in enumerate(members[1:])),
        events=events,
        refused={"bad signature": 2, "unknown identity": 11},
    )  # fmt: skip


class Clock:
    """Time that passes only when told to."""

    def __init__(self, now: float = START) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def events(members: list[ParticipantStatus], seconds: float) -> list[Event]:
    """Joins at the start, a loss and a fault on the way."""
    found = [Event(START + 0.4 * i, "joined", m.name, f"stage {m.stage}") for i, m in enumerate(members)]
    if members:
        lost = members[-1]
        found.append(Event(START + seconds * 0.45, "fault", lost.name, "injected: killed"))
        found.append(Event(START + seconds * 0.46, "lost", lost.name, "no answer to 3 pings over 1.5 s"))
        found.append(Event(START + seconds * 0.7, "refused", "", "handshake from 203.0.113.9: unknown identity"))
    return found


def report(number: int, stages: int, steps: int, *, outcome: str = "finished", failure: str = "") -> Report:
    """A whole run, with one participant lost where there are more than the stages."""
    clock = Clock()
    members = participants(number, stages)
    config = {"data": {"tokenizer": "bytes"}, "layout": {"stages": stages}, "optimizer": {"lr": 3e-3}}
    made = Report("quickstart-7f3a", "python -m orchestrator simulate", config, clock=clock)
    for i, member in enumerate(members):
        made.set_participants([member], START + 0.4 * i)
    late = participants(number, stages, dead=1) if number > stages else members
    for record in commits(steps, members):
        clock.now += record.seconds
        made.set_participants(late if record.step > steps * 0.46 else members)
        made.add_commit(record)
    if steps:
        made.add_commit(closing(steps))
    for event in events(members, clock.now - START):
        made.add_event(event)
    made.finish(outcome, failure)
    return made
