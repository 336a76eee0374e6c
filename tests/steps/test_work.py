"""Messages about work: of this step they go to the part that they are for, of a later one they wait."""

from __future__ import annotations

from dataclasses import replace

import pytest

from actors.steps.ballots import Decided, Prepared
from actors.steps.effects import ExportGradient
from actors.steps.eras import stamp
from actors.steps.events import Computed, GradientExported, Restored
from actors.steps.jobs import JobKind
from actors.steps.messages import Backward, Done, Dropped, Forward, Phase, Purpose, Returned, Slice, Taken
from tests.steps.ordered import average
from tests.steps.parts import STEP, forward, vector
from tests.steps.whole import Whole

TRAIN, VALIDATE = Purpose.TRAIN, Purpose.VALIDATE
ROUTE = ("s0a", "s1a")


def member(me: str = "s0a", **train: tuple[int, ...]) -> Whole:
    """A member that has followed a plan of the leader, s1b."""
    one = Whole(me)
    one.plan(train=train)
    return one


def activation(one: Whole, index: int = 4, **fields: object) -> Forward:
    """For its own stage, by the plan that is followed."""
    return forward(index, one.context.me.stage, ROUTE, **{"order": one.context.plan, **fields})


@pytest.mark.parametrize("there", [STEP - 1, 0, -1])
def test_work_of_an_earlier_step_is_ignored(there: int) -> None:
    one = member()
    one.hear("s0b", activation(one, stamp=there), "in")
    assert one.jobs() == [] and one.context.ignored["forward of an earlier step"] == 1


def test_work_of_an_era_that_was_given_up_is_ignored() -> None:
    one = Whole(decided={"returns": ((9, 2),)})
    one.plan()
    one.hear("s0b", activation(one, stamp=stamp((), 9)), "in")
    assert one.jobs() == []
    one.hear("s0b", activation(one, stamp=stamp(((9, 2),), STEP)), "in")
    assert len(one.jobs()) == 1


def test_work_of_the_next_step_is_done_when_that_begins() -> None:
    one = member()
    one.hear("s0b", activation(one, stamp=STEP + 1), "in")
    assert one.jobs() == []
    following = replace(one.newest, slot=one.newest.slot + 1, step=STEP + 1)
    one.hear("s1b", Decided(following))
    assert one.jobs() == [], "the parameters are not here"
    one.context.restoring = True
    one.tell(Restored(STEP + 1, "hash"))
    assert [(job.index, job.step, job.payload) for job in one.jobs()] == [(4, STEP + 1, ("in",))]


def test_activations_wait_for_the_parameters_and_other_words_do_not() -> None:
    one = Whole(ready=False)
    one.plan(train={"s0a": (1,)})
    assert one.jobs() == []
    one.hear("s0b", activation(one), "in")
    one.hear("s1a", Returned(STEP, 1, TRAIN, 0.5, ("s1a", "s0a")))
    assert one.jobs() == [] and one.mail(Done) == [("s1b", Done(STEP, 1, TRAIN, 0.5, ("s1a", "s0a")))]
    one.context.restoring = True
    one.tell(Restored(STEP, "hash"))
    assert [job.index for job in one.jobs()] == [1, 4], "its own came first"


def test_work_of_a_peer_without_a_vote_is_ignored() -> None:
    one = member()
    one.hear("stranger", activation(one), "in")
    assert one.jobs() == [] and one.context.ignored.total() == 1


def test_after_the_end_of_the_run_no_work_is_done() -> None:
    one = member()
    message = activation(one)
    one.hear("s1b", Decided(replace(one.newest, slot=one.newest.slot + 1, finished=True)))
    assert one.core.finished
    one.clear()
    one.hear("s0b", message, "in")
    assert one.jobs() == [] and one.mail(Forward) == []


def test_a_microbatch_goes_through_a_first_stage_forward_and_backward() -> None:
    one = member()
    one.hear("s0b", activation(one, origin="s0b"), "in")
    (job,) = one.jobs()
    one.tell(Computed(job, ("out",), 0.0, 1.0))
    ((to, message),) = one.mail(Forward)
    assert (to, message.stage) == ("s1a", 1)
    one.hear("s1a", Backward(STEP, 4, 0, 0.5, ("s1a",)), "gradient")
    job = one.jobs()[-1]
    assert job.kind is JobKind.BACKWARD and job.payload == ("gradient",)
    one.tell(Computed(job, (), 0.0, 1.0))
    assert one.mail(Returned) == [("s0b", Returned(STEP, 4, TRAIN, 0.5, ("s1a", "s0a")))]


def test_what_a_later_stage_forgot_is_sent_again_by_the_hop_before_and_validation_by_the_origin() -> None:
    one = Whole()
    one.plan(train={"s0a": (4,)}, validate={"s0a": (2,)})
    for job in one.jobs():
        one.tell(Computed(job, ("out",), 0.0, 1.0))
    first = {message.purpose: to for to, message in one.mail(Forward)}
    one.clear()
    one.hear(first[TRAIN], Dropped(STEP, 4, TRAIN, 1, 0))
    assert [(to, message.stage, message.retry) for to, message in one.mail(Forward)] == [(first[TRAIN], 1, 1)]
    one.clear()
    one.hear(first[VALIDATE], Dropped(STEP, 2, VALIDATE, 1, 0))
    assert [(job.index, job.purpose) for job in one.jobs()] == [(2, VALIDATE)], "its own first stage computes it again"


def test_what_a_first_stage_forgot_is_sent_again_by_the_origin() -> None:
    one = member("s1a", s1a=(4,))
    ((first, message),) = one.mail(Forward)
    one.clear()
    one.hear(first, Dropped(STEP, 4, TRAIN, 0, message.retry))
    assert [message.retry for _, message in one.mail(Forward)] == [1000]


def test_who_hears_that_its_activation_was_replaced_waits_for_nothing() -> None:
    one = member()
    one.hear("s0b", activation(one, origin="s0b"), "in")
    one.tell(Computed(one.jobs()[0], ("out",), 0.0, 1.0))
    assert one.context.waits.waiting(("hop", TRAIN, 4))
    one.hear("s1a", Taken(STEP, 4, 1, 0, one.context.plan))
    assert not one.context.waits.waiting(("hop", TRAIN, 4))


def test_the_last_slice_of_a_round_makes_the_report() -> None:
    one = member()
    slot = one.context.agreement.slot
    groups = {0: ("s0a", "s0b"), 1: ("s1a",)}
    one.hear("s1b", average(number=2, slot=slot, groups=groups))
    (export,) = one.wanted(ExportGradient)
    one.tell(GradientExported(STEP, export.number, vector(1, 2), frozenset()))
    one.hear("s0b", Slice(STEP, slot, 0, 2, Phase.SCATTER, 0), vector(10))
    assert one.mail(Prepared) == []
    one.hear("s0b", Slice(STEP, slot, 0, 2, Phase.GATHER, 1), vector(20))
    assert [(to, report.sum_of_squares) for to, report in one.mail(Prepared)] == [("s1b", 121.0 + 400.0)]
