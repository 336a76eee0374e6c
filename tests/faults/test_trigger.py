"""When a fault of a schedule is due: once, at its victim, in its phase of its step or of a later one."""

from __future__ import annotations

import numpy as np
import pytest

from actors.faults.schedule import Fault, Phase, What, parse
from actors.faults.trigger import Trigger, phases_of
from actors.records import CommitRecord, Traffic
from actors.steps import ballots, effects
from actors.steps.jobs import Job, JobKind
from actors.steps.messages import Purpose

RECORD = CommitRecord(3, 4, 1.0, 1.0, 1.0, 0.1, 800, 1.0, None, "ann", {}, {}, {}, {}, 0, 0)
PREPARED = ballots.Prepared(4, 0, 1, "hash", 1.0, "parameters", (), 1.0, Traffic())


def trigger(*texts: str, name: str = "bob", stage: int = 0, replica: int = 1) -> Trigger:
    return Trigger([parse(text) for text in texts], name, stage, replica)


def numbers(found: list[tuple[int, Fault]]) -> list[int]:
    return [number for number, _ in found]


def due(one: Trigger, step: int, phase: Phase, *, leads: bool = False) -> list[int]:
    return numbers(one.due(step, phase, leads=leads))


def compute(kind: JobKind, purpose: Purpose = Purpose.TRAIN) -> effects.Effect:
    return effects.Compute(Job(kind, 3, 0, purpose, ()))


@pytest.mark.parametrize(
    ("effect", "phases"),
    [
        (compute(JobKind.FORWARD), (Phase.FORWARD,)),
        (compute(JobKind.BACKWARD), (Phase.BACKWARD,)),
        (compute(JobKind.LOSS), (Phase.FORWARD, Phase.BACKWARD)),
        (compute(JobKind.FORWARD, Purpose.VALIDATE), ()),
        (compute(JobKind.EVALUATE, Purpose.VALIDATE), ()),
        (effects.ExportGradient(3, 1), (Phase.AVERAGING,)),
        (effects.Send("x", PREPARED), (Phase.PREPARED,)),
        (effects.Send("x", ballots.Propose(4, 0, ballots.Decision(4, 1, (), 4, RECORD))), (Phase.PREPARED,)),
        (effects.Send("x", ballots.Propose(4, 0, ballots.Decision(4, 2, (), 3))), ()),  # a change of view
        (effects.Send("x", ballots.Accepted(4, 0, 1)), ()),
        (effects.ExportState(3), ()),
        (effects.Discard(), ()),
    ],
)
def test_effects_show_which_phase_of_its_step_a_participant_enters(
    effect: effects.Effect, phases: tuple[Phase, ...]
) -> None:
    assert phases_of(effect) == phases


def test_an_update_is_the_phase_after_the_decision() -> None:
    assert phases_of(effects.ApplyUpdate(3, np.zeros(1, np.float32), 1.0)) == (Phase.DECIDED,)


@pytest.mark.parametrize("phase", list(Phase))
def test_a_fault_is_due_in_its_own_phase_once(phase: Phase) -> None:
    one = trigger(f"kill bob at step 5 {phase}")
    for other in Phase:
        if other is not phase:
            assert due(one, 5, other) == []
    assert due(one, 5, phase) == [0]
    assert due(one, 5, phase) == due(one, 6, phase) == []


@pytest.mark.parametrize(("step", "is_due"), [(0, False), (4, False), (5, True), (6, True), (99, True)])
def test_a_fault_is_due_in_its_step_or_in_a_later_one_if_it_missed_its_own(step: int, is_due: bool) -> None:
    assert due(trigger("kill bob at step 5"), step, Phase.BEGIN) == ([0] if is_due else [])


@pytest.mark.parametrize(
    ("who", "hit", "hit_as_leader"),
    [
        ("bob", True, True),
        ("stage-0", True, True),
        ("stage-0/1", True, True),
        ("stage-0/0", False, False),
        ("stage-1", False, False),
        ("stage-1/1", False, False),
        ("ann", False, False),
        ("ann+bob", True, True),
        ("leader", False, True),
        ("leader+bob", True, True),
        ("driver", False, False),
    ],
)
def test_a_fault_hits_whom_it_names_and_the_leader_while_it_leads(who: str, hit: bool, hit_as_leader: bool) -> None:
    text = f"kill {who} at step 5"
    assert due(trigger(text), 5, Phase.BEGIN) == ([0] if hit else [])
    assert due(trigger(text), 5, Phase.BEGIN, leads=True) == ([0] if hit_as_leader else [])


def test_a_fault_of_the_leader_waits_until_its_participant_leads() -> None:
    one = trigger("kill leader at step 2")
    assert due(one, 3, Phase.BEGIN) == []
    assert due(one, 7, Phase.BEGIN, leads=True) == [0]
    assert due(one, 8, Phase.BEGIN, leads=True) == []


def test_faults_keep_their_place_in_the_schedule_and_those_of_one_moment_are_due_together() -> None:
    one = trigger(
        "kill ann at step 1",
        "kill bob at step 1",
        "slow stage-0 x2 3s at step 1",
        "kill bob at step 2",
        "freeze bob 3s at step 1 averaging",
    )
    assert due(one, 1, Phase.BEGIN) == [1, 2]
    assert due(one, 1, Phase.AVERAGING) == [4]
    assert due(one, 2, Phase.BEGIN) == [3]


def test_a_fault_at_a_second_is_in_no_step() -> None:
    one = trigger("kill bob at second 12", "kill bob at step 1", "kill ann at second 3", "kill stage-0 at second 0")
    assert numbers(one.timed()) == [0, 3]
    assert due(one, 99, Phase.BEGIN) == [1]
    assert numbers(one.timed()) == [0, 3]


def test_a_fault_comes_with_what_it_does() -> None:
    ((_, fault),) = trigger("freeze bob mesh 20s at step 5").due(5, Phase.BEGIN, leads=False)
    assert (fault.what, fault.seconds, fault.part) == (What.FREEZE, 20.0, "mesh")
