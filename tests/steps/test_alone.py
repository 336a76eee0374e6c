"""A run of one participant: everything that a step takes goes through the participant itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from actors.averaging.reduce import Float32
from actors.records import Traffic
from actors.steps import effects, events
from actors.steps.jobs import JobKind
from actors.steps.participant import Participant
from actors.steps.view import Voter
from tests.steps.parts import SETUP, vector

ALONE = Voter("only", 7, "ONLY", 0)


class Alone:
    """A run of so many steps, with shards whose gradient is the sum of the indices that they counted, and twice that.

    Args:
        steps: of the run.
        silent: kinds of effects that are not answered.
        setup: fields of the setup that differ.
    """

    def __init__(self, steps: int, *silent: type, **setup: Any) -> None:
        self.now, self.silent = 0.0, silent
        self.done: list[Any] = []
        self.counted: set[int] = set()
        self.parameters = 0.0
        values = {"stages": 1, "steps": steps, "microbatches": 3, "in_flight": 2, "clip": 0.0, **setup}
        self.core = Participant(replace(SETUP, **values), ALONE, (replace(ALONE, life=0),), Traffic)
        self.tell(events.LocalReady("0.0", 10, True, gradient_length=2, state_length=5))

    def tell(self, event: events.Event) -> None:
        """Something happened; what follows is done at once."""
        waiting = [event]
        while waiting:
            for effect in self.core.handle(self.now, waiting.pop(0)):
                self.done.append(effect)
                waiting += [] if isinstance(effect, self.silent) else self._answers(effect)

    def _answers(self, effect: effects.Effect) -> list[events.Event]:
        match effect:
            case effects.Compute(job):
                if job.kind is JobKind.LOSS:
                    self.counted.add(job.index)
                return [events.Computed(job, (), float(job.index), 1.0)]
            case effects.ExportGradient(step, number):
                return [events.GradientExported(step, number, self._gradient(), frozenset(self.counted))]
            case effects.ApplyUpdate(step, average, factor):
                self.parameters += factor * float(average[0])
                self.counted.clear()
                return [events.Applied(step, str(self.parameters))]
            case effects.SavePart(history, commit, part, _):
                return [events.PartSaved(history, commit, part, b"part")]
            case effects.SealStage(history, commit, _):
                return [events.StageSealed(history, commit, b"stage")]
            case effects.CommitCheckpoint(history, commit, _):
                return [events.CheckpointCommitted(history, commit)]
        return []

    def _gradient(self) -> Float32:
        return vector(sum(self.counted), 2 * sum(self.counted))

    def wanted(self, kind: type) -> list[Any]:
        return [effect for effect in self.done if isinstance(effect, kind)]


def test_a_run_of_one_commits_every_step_and_ends() -> None:
    """Microbatches 0, 1 and 2 make a gradient of (3, 6) a step."""
    one = Alone(2)
    assert one.core.finished and one.core.commit == 2 and one.parameters == 6.0
    records = [effect.record for effect in one.wanted(effects.Committed)]
    assert [record.commit for record in records] == [1, 2, 2], "the last one closes the run and keeps the number"
    assert [record.counted for record in records[:2]] == [{"ONLY": [0, 1, 2]}] * 2
    assert [record.loss for record in records] == [1.0, 1.0, None]
    assert records[0].grad_norm == 45.0**0.5
    assert one.wanted(effects.Finished) == [effects.Finished()]
    assert [effect.average.tolist() for effect in one.wanted(effects.ApplyUpdate)] == [[3, 6], [3, 6]]


def test_the_gradient_is_clipped_by_the_norm_of_all() -> None:
    """(3, 6) has a norm of 6.708: a clip of 1 leaves a factor of 0.149."""
    one = Alone(1, clip=1.0)
    (update,) = one.wanted(effects.ApplyUpdate)
    assert update.clip_factor == pytest.approx(0.1490712, rel=1e-6)
    assert one.wanted(effects.Committed)[0].record.clip_factor == update.clip_factor
    assert one.parameters == pytest.approx(3 * 0.1490712, rel=1e-6)


def test_a_run_of_one_saves_its_checkpoints_and_ends_with_the_last_one() -> None:
    one = Alone(3, save_every=2)
    saved = [(effect.history, effect.commit, effect.receipts) for effect in one.wanted(effects.CommitCheckpoint)]
    assert saved == [(0, 2, (b"stage",)), (0, 3, (b"stage",))]
    assert one.core.context.stored == (0, 3) and one.core.finished


def test_a_last_checkpoint_that_does_not_come_is_waited_for_and_said() -> None:
    one = Alone(1, effects.SavePart, save_every=1)
    assert not one.core.finished and one.core.commit == 1
    assert one.core.context.waits.waiting(("save",))
    one.now = 12.0
    one.tell(events.Tick())
    notes = [effect.detail for effect in one.wanted(effects.Note) if effect.kind == "checkpoint"]
    assert notes == ["not all parts of the checkpoint of commit 1 are there (stage 0) (waited 12 s)"]


def test_shards_that_are_built_again_hold_commit_0_whatever_was_held_before() -> None:
    one = Alone(2, effects.ApplyUpdate)
    assert one.core.commit == 0
    one.tell(events.ShardsLost("killed"))
    assert one.core.commit == -1 and not one.core.finished
    one.tell(events.LocalReady("0.0", 10, True, gradient_length=2, state_length=5))
    assert (one.core.commit, one.core.step) == (0, 1)


def test_a_user_ends_the_run() -> None:
    one = Alone(1, effects.Compute)
    one.tell(events.Stop("enough"))
    assert one.core.failed == "enough" and one.wanted(effects.Failed) == [effects.Failed("enough", True)]
    assert one.core.next_deadline() is None
    assert one.core.handle(1.0, events.Tick()) == []
