"""When a scheduled fault is due at one participant. Pure: worlds and real participants ask the same."""

from __future__ import annotations

from collections.abc import Sequence

from actors.faults.schedule import LEADER, Fault, Phase
from actors.steps import ballots, effects
from actors.steps.jobs import JobKind
from actors.steps.messages import Purpose


def phases_of(effect: effects.Effect) -> tuple[Phase, ...]:
    """The phases of its step that a participant enters with what it is about to do."""
    match effect:
        case effects.Compute(job) if job.purpose is Purpose.TRAIN:
            if job.kind is JobKind.LOSS:
                return Phase.FORWARD, Phase.BACKWARD
            return (Phase.FORWARD,) if job.kind is JobKind.FORWARD else (Phase.BACKWARD,)
        case effects.ExportGradient():
            return (Phase.AVERAGING,)
        case effects.Send(_, ballots.Prepared()):
            return (Phase.PREPARED,)
        case effects.Send(_, ballots.Propose(decision=ballots.Decision(record=record))) if record is not None:
            return (Phase.PREPARED,)
        case effects.ApplyUpdate():
            return (Phase.DECIDED,)
    return ()


class Trigger:
    """The faults of a schedule that may hit one participant, each until it was due.

    Args:
        faults: the whole schedule; a fault is known by its place in it.
        name: of the participant.
        stage: that it serves.
        replica: its number among those of the stage.
    """

    def __init__(self, faults: Sequence[Fault], name: str, stage: int, replica: int) -> None:
        self._open = {
            number: fault
            for number, fault in enumerate(faults)
            if LEADER in fault.who or fault.means(name, stage, replica)
        }
        self._place = (name, stage, replica)

    def timed(self) -> list[tuple[int, Fault]]:
        """Those at a second."""
        return [(number, fault) for number, fault in self._open.items() if fault.second is not None]

    def due(self, step: int, phase: Phase, *, leads: bool) -> list[tuple[int, Fault]]:
        """Those that happen now, when the participant gets to `phase` of `step`."""
        found = [
            (number, fault)
            for number, fault in self._open.items()
            if fault.step is not None
            and fault.step <= step
            and fault.phase is phase
            and (fault.means(*self._place) or leads)
        ]
        for number, _ in found:
            del self._open[number]
        return found
