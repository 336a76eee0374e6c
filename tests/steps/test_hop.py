"""Serving a stage: what is computed, in which order, and that a microbatch is counted once."""

from __future__ import annotations

import pytest

from actors.steps.context import Context
from actors.steps.effects import Discard, Send
from actors.steps.hop import Hop
from actors.steps.jobs import Job, JobKind
from actors.steps.messages import Backward, Done, Dropped, Forward, Purpose, Returned
from tests.steps.parts import STEP, clear, context, finish, forward, jobs, mail

ROUTE = ("s0a", "s1a", "s2a")
VALIDATE = Purpose.VALIDATE


def hop(me: str = "s1a", *indices: int) -> tuple[Context, Hop]:
    """A hop of three stages of two replicas, with these microbatches under way in training."""
    one = context(me, (2, 2, 2), leader="s2b")
    made = Hop(one)
    for index in indices:
        made.forward("s0a", forward(index, one.me.stage, ROUTE), (f"in {index}",))
    return one, made


def through(one: Context, made: Hop, index: int, loss: float = 0.5) -> None:
    """Compute a microbatch forward and backward at a middle stage."""
    finish(made, next(job for job in jobs(one) if job.index == index and job.kind is JobKind.FORWARD))
    made.backward("s2a", Backward(STEP, index, 1, loss, ("s2a",)), ("gradient",))
    finish(made, next(job for job in jobs(one) if job.index == index and job.kind is JobKind.BACKWARD))


def test_a_middle_stage_computes_forward_and_then_backward_and_counts_with_the_loss_it_was_told() -> None:
    one, made = hop("s1a", 4)
    (job,) = jobs(one)
    assert job == Job(JobKind.FORWARD, STEP, 4, Purpose.TRAIN, ("in 4",), job.number)
    finish(made, job, loss=9.0)
    assert mail(one, Forward) == [("s2a", forward(4, 2, ROUTE))]
    assert made.counted == {}, "the gradient is not there yet"
    made.backward("s2a", Backward(STEP, 4, 1, 0.75, ("s2a",)), ("gradient",))
    job = jobs(one)[-1]
    assert job == Job(JobKind.BACKWARD, STEP, 4, Purpose.TRAIN, ("gradient",), job.number)
    finish(made, job, loss=9.0, tensors=("input gradient",))
    assert made.counted == {4: 0.75}
    assert one.out[-1] == Send("s0a", Backward(STEP, 4, 0, 0.75, ("s2a", "s1a")), ("input gradient",))


def test_the_last_stage_computes_loss_and_gradient_at_once() -> None:
    one, made = hop("s2a")
    made.forward("s1a", forward(4, 2, ROUTE), ("in",))
    (job,) = jobs(one)
    assert job.kind is JobKind.LOSS
    finish(made, job, loss=0.25)
    assert made.counted == {4: 0.25}
    assert mail(one, Backward) == [("s1a", Backward(STEP, 4, 1, 0.25, ("s2a",)))]


def test_the_first_stage_tells_the_origin_or_the_leader_if_the_origin_is_gone() -> None:
    for gone in (False, True):
        one, made = hop("s0b")
        made.forward("s0a", forward(4, 0, ("s0b", "s1a", "s2a")), ("in",))
        finish(made, jobs(one)[0])
        made.backward("s1a", Backward(STEP, 4, 0, 0.5, ("s2a", "s1a")), ("gradient",))
        one.usable -= {"s0a"} if gone else set()
        finish(made, jobs(one)[-1])
        assert made.counted == {4: 0.5}
        route = ("s2a", "s1a", "s0b")
        told = [("s2b", Done(STEP, 4, Purpose.TRAIN, 0.5, route))]
        assert mail(one, Returned, Done, Backward) == (
            told if gone else [("s0a", Returned(STEP, 4, Purpose.TRAIN, 0.5, route))]
        )


def test_validation_is_computed_forward_only_and_counts_nothing() -> None:
    one, made = hop("s2a")
    made.forward("s1a", forward(4, 2, ROUTE, purpose=VALIDATE), ("in",))
    (job,) = jobs(one)
    assert (job.kind, job.purpose) == (JobKind.EVALUATE, VALIDATE)
    finish(made, job, loss=0.25)
    assert made.counted == {}
    assert mail(one, Returned) == [("s0a", Returned(STEP, 4, VALIDATE, 0.25, ("s2a",)))]


def test_of_validation_a_middle_stage_keeps_nothing() -> None:
    one, made = hop()
    made.forward("s0a", forward(4, 1, ROUTE, purpose=VALIDATE), ("in",))
    finish(made, jobs(one)[0])
    assert mail(one, Forward) == [("s2a", forward(4, 2, ROUTE, purpose=VALIDATE))]
    assert one.waits.next_deadline() is None
    made.dropped("s2a", Dropped(STEP, 4, VALIDATE, 2, 0))
    assert len(mail(one, Forward)) == 1


def test_a_microbatch_that_comes_again_is_computed_and_sent_again_and_counted_once() -> None:
    one, made = hop("s1a", 4)
    through(one, made, 4, 0.5)
    speed = made.tokens_per_s
    clear(one)
    made.forward("s0b", forward(4, 1, ROUTE, retry=1), ("in",))
    assert (len(jobs(one)), made.repeats) == (1, 1)
    through(one, made, 4, 0.9)
    assert made.counted == {4: 0.5}
    assert mail(one, Backward) == [("s0b", Backward(STEP, 4, 0, 0.9, ("s2a", "s1a")))]
    assert made.tokens_per_s == speed, "nothing new was measured"
    made.forward("s0b", forward(4, 1, ROUTE, retry=2), ("in",))
    assert made.repeats == 2


def test_what_has_gone_back_to_the_origin_is_not_under_way_any_more() -> None:
    one, made = hop("s2a")
    for _ in range(2):
        made.forward("s1a", forward(4, 2, ROUTE, purpose=VALIDATE), ("in",))
        finish(made, jobs(one)[-1])
    assert len(jobs(one)) == len(mail(one, Returned)) == 2


def test_validation_of_a_number_that_was_counted_in_training_is_no_repeat() -> None:
    one, made = hop("s1a", 4)
    through(one, made, 4)
    made.forward("s0a", forward(4, 1, ROUTE, purpose=VALIDATE), ("in",))
    assert made.repeats == 0


@pytest.mark.parametrize("ending", ["step", "reset", "lost"])
def test_what_is_computed_for_work_that_was_forgotten_is_not_counted(ending: str) -> None:
    one, made = hop("s2a")
    for index in (4, 5, 6):
        made.forward("s1a", forward(index, 2, ROUTE), ("in",))
    running = jobs(one)
    made.counted[1] = 0.1
    clear(one)
    {"step": made.begin_step, "reset": made.reset, "lost": made.lost}[ending]()
    assert made.counted == {}
    for job in running:
        finish(made, job, loss=0.5)
    assert made.counted == {}
    assert mail(one, Backward, Forward) == []
    assert jobs(one) == [], "what was queued is forgotten, too"
    assert one.waits.next_deadline() is None
    made.forward("s1a", forward(4, 2, ROUTE), ("in",))
    finish(made, jobs(one)[0], loss=0.75)
    assert made.counted == {4: 0.75}


def test_who_forgets_what_it_counted_tells_its_shards_and_asks_for_what_was_under_way() -> None:
    """The sender of an activation in training sends it again, of one in validation its origin."""
    one, made = hop("s1a")
    made.forward("s0b", forward(4, 1, ROUTE), ("in",))
    made.forward("s0b", forward(2, 1, ROUTE, purpose=VALIDATE, retry=7), ("in",))
    made.reset()
    assert mail(one, Dropped) == [
        ("s0b", Dropped(STEP, 4, Purpose.TRAIN, 1, 0)),
        ("s0a", Dropped(STEP, 2, VALIDATE, 1, 7)),
    ]
    assert one.out.count(Discard()) == 1


def test_a_new_step_and_lost_shards_discard_nothing_more() -> None:
    one, made = hop("s1a", 4)
    made.begin_step()
    made.lost()
    assert Discard() not in one.out and mail(one, Dropped) == []


def test_shards_that_are_gone_owe_nothing() -> None:
    one, made = hop("s1a", 1, 2)
    assert one.waits.waiting(("shard", jobs(one)[0].number))
    made.lost()
    assert one.waits.next_deadline() is None
    clear(one)
    for index in (1, 2):
        made.forward("s0a", forward(index, 1, ROUTE), ("in",))
    assert len(jobs(one)) == 2, "the new shards get work at once"


def test_two_jobs_are_with_the_shards_and_gradients_go_first() -> None:
    one, made = hop("s1a", 1, 2)
    first, second = jobs(one)
    finish(made, first)
    finish(made, second)
    clear(one)
    for index in (3, 4, 5):
        made.forward("s0a", forward(index, 1, ROUTE), ("in",))
    assert [job.index for job in jobs(one)] == [3, 4]
    made.backward("s2a", Backward(STEP, 2, 1, 0.5, ("s2a",)), ("gradient",))
    made.backward("s2a", Backward(STEP, 1, 1, 0.5, ("s2a",)), ("gradient",))
    running = jobs(one)
    clear(one)
    for job in running:
        finish(made, job)
    assert [(job.kind, job.index) for job in jobs(one)] == [(JobKind.BACKWARD, 2), (JobKind.BACKWARD, 1)]
    clear(one)
    finish(made, Job(JobKind.BACKWARD, STEP, 9, Purpose.TRAIN, (), 99))
    assert jobs(one) == [] and 9 not in made.counted, "a job that was not given"


def test_while_the_average_is_made_nothing_begins() -> None:
    one, made = hop("s1a")
    made.frozen = True
    made.forward("s0a", forward(4, 1, ROUTE), ("in",))
    assert jobs(one) == []
    made.thaw()
    assert [job.index for job in jobs(one)] == [4]
    made.frozen = True
    made.begin_step()
    assert not made.frozen


def test_a_job_of_the_shards_has_the_patience_of_two() -> None:
    """One runs and one waits there: 2 times 12 s."""
    one, made = hop("s1a", 4)
    (job,) = jobs(one)
    one.now = 23.9
    assert one.waits.expired(23.9) == []
    finish(made, job)
    assert not one.waits.waiting(("shard", job.number))
    assert one.waits.patience("shard") == pytest.approx(119.5), "ten times half of 23.9"


@pytest.mark.parametrize(
    ("me", "stage", "data_ok", "computes"),
    [("s1a", 1, False, True), ("s1a", 2, True, False), ("s1a", 0, True, False), ("s2a", 2, False, False)],
)
def test_only_work_of_its_own_stage_is_done_and_losses_need_the_corpus(
    me: str, stage: int, data_ok: bool, computes: bool
) -> None:
    one, made = hop(me)
    one.data_ok = data_ok
    made.forward("s0a", forward(4, stage, ROUTE), ("in",))
    assert len(jobs(one)) == computes
    assert one.ignored.total() == 1 - computes
