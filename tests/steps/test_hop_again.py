"""The same microbatch by more than one way: the newest plan and retry get the result, the others are told."""

from __future__ import annotations

import pytest

from actors.steps.context import Context
from actors.steps.hop import Hop
from actors.steps.messages import Backward, Forward, Purpose, Taken
from tests.steps.parts import PLAN, STEP, clear, context, finish, forward, jobs, mail

ROUTE = ("s0a", "s1a", "s2a")
OLDER, NEWER = (9, 0, 0), (9, 0, 2)
"""A plan before the one that is followed, and one after it."""
INDEX = 4


def hop(*, sent: bool = False) -> tuple[Context, Hop]:
    """s1a of three stages; s0a has sent it a microbatch, which it has sent on or is still computing."""
    one = context("s1a", (2, 2, 2))
    made = Hop(one)
    made.forward("s0a", forward(INDEX, 1, ROUTE), ("in",))
    if sent:
        finish(made, jobs(one)[0])
    return one, made


def result_goes_to(one: Context, made: Hop) -> list[str]:
    """Whom the gradient is sent to in the end."""
    if not mail(one, Forward):
        finish(made, jobs(one)[0])
    made.backward("s2a", Backward(STEP, INDEX, 1, 0.5, ("s2a",)), ("gradient",))
    finish(made, jobs(one)[-1])
    return [to for to, _ in mail(one, Backward)]


@pytest.mark.parametrize("sent", [False, True])
def test_a_repeat_of_the_network_is_ignored(sent: bool) -> None:
    one, made = hop(sent=sent)
    made.forward("s0a", forward(INDEX, 1, ROUTE), ("in",))
    assert one.ignored["a repeated activation"] == 1
    assert len(jobs(one)) == 1 and len(mail(one, Forward)) == sent
    assert mail(one, Taken) == []
    assert result_goes_to(one, made) == ["s0a"]


@pytest.mark.parametrize("sent", [False, True])
@pytest.mark.parametrize("retry", [0, 1])
def test_the_result_goes_to_the_last_sender_and_the_one_before_is_told(retry: int, sent: bool) -> None:
    one, made = hop(sent=sent)
    made.forward("s0b", forward(INDEX, 1, ROUTE, retry=retry), ("in",))
    assert mail(one, Taken) == [("s0a", Taken(STEP, INDEX, 1, 0, PLAN))]
    assert len(jobs(one)) == 1, "it is under way already"
    assert result_goes_to(one, made) == ["s0b"]


def test_a_retry_of_the_same_sender_takes_the_place_of_its_first() -> None:
    one, made = hop()
    made.forward("s0a", forward(INDEX, 1, ROUTE, retry=2), ("in",))
    assert mail(one, Taken) == []
    assert one.ignored.total() == 0
    made.forward("s0b", forward(INDEX, 1, ROUTE, retry=1), ("in",))
    assert mail(one, Taken) == [("s0b", Taken(STEP, INDEX, 1, 1, PLAN))]
    assert result_goes_to(one, made) == ["s0a"]


def test_what_is_older_by_plan_is_told_and_changes_nothing() -> None:
    one, made = hop()
    one.drivers = {INDEX: "s0a"}
    made.forward("s0b", forward(INDEX, 1, ROUTE, retry=5, order=OLDER), ("in",))
    assert mail(one, Taken) == [("s0b", Taken(STEP, INDEX, 1, 5, OLDER))]
    assert result_goes_to(one, made) == ["s0a"]


def test_a_newer_plan_counts_more_than_a_higher_retry() -> None:
    one, made = hop()
    made.forward("s0a", forward(INDEX, 1, ROUTE, retry=9), ("in",))
    made.forward("s0b", forward(INDEX, 1, ROUTE, order=NEWER), ("in",))
    assert mail(one, Taken) == [("s0a", Taken(STEP, INDEX, 1, 9, PLAN))]
    assert result_goes_to(one, made) == ["s0b"]


def test_the_same_from_another_origin_is_sent_on_once_more() -> None:
    """Those after us may not know the new plan, and would refuse what an older one sent."""
    one, made = hop(sent=True)
    clear(one)
    made.forward("s0b", forward(INDEX, 1, ROUTE, origin="s0b", order=NEWER), ("in",))
    assert mail(one, Forward) == [("s2a", forward(INDEX, 2, ROUTE, origin="s0b", order=NEWER, retry=1))]
    clear(one)
    made.forward("s0b", forward(INDEX, 1, ROUTE, origin="s0b", order=NEWER, retry=3), ("in",))
    assert mail(one, Forward) == [], "the same origin"
    made.forward("s0a", forward(INDEX, 1, ROUTE, order=(9, 0, 3)), ("in",))
    assert [message.retry for _, message in mail(one, Forward)] == [2]


def test_before_it_was_sent_on_another_origin_changes_what_is_sent() -> None:
    one, made = hop()
    made.forward("s0b", forward(INDEX, 1, ROUTE, origin="s0b", order=NEWER), ("in",))
    assert mail(one, Forward) == []
    finish(made, jobs(one)[0])
    assert mail(one, Forward) == [("s2a", forward(INDEX, 2, ROUTE, origin="s0b", order=NEWER))]


@pytest.mark.parametrize("driver", ["s0b", ""], ids=["another", "none"])
def test_what_a_newer_plan_gave_to_another_origin_is_refused_and_its_sender_told(driver: str) -> None:
    one = context("s1a", (2, 2, 2))
    one.drivers = {INDEX: driver} if driver else {}
    made = Hop(one)
    made.forward("s0a", forward(INDEX, 1, ROUTE, retry=3, order=OLDER), ("in",))
    assert jobs(one) == []
    assert mail(one, Taken) == [("s0a", Taken(STEP, INDEX, 1, 3, OLDER))]
    assert one.ignored["a microbatch that another one drives now"] == 1


@pytest.mark.parametrize(
    ("order", "drivers", "purpose"),
    [
        (OLDER, {INDEX: "s0a"}, Purpose.TRAIN),  # the newer plan left it with its origin
        (PLAN, {}, Purpose.TRAIN),
        (NEWER, {}, Purpose.TRAIN),
        (OLDER, {INDEX: "s0b"}, Purpose.VALIDATE),  # drivers are of training
    ],
)
def test_what_is_not_given_to_another_origin_is_done(
    order: tuple[int, int, int], drivers: dict[int, str], purpose: Purpose
) -> None:
    one = context("s1a", (2, 2, 2))
    one.drivers = drivers
    Hop(one).forward("s0a", forward(INDEX, 1, ROUTE, order=order, purpose=purpose), ("in",))
    assert len(jobs(one)) == 1 and mail(one, Taken) == []


def test_validation_goes_back_to_its_origin_so_no_hop_waits_for_it() -> None:
    one = context("s1a", (2, 2, 2))
    made = Hop(one)
    for sender, retry in (("s0a", 0), ("s0b", 1), ("s0a", 0)):
        made.forward(sender, forward(INDEX, 1, ROUTE, purpose=Purpose.VALIDATE, retry=retry), ("in",))
    assert mail(one, Taken) == [] and len(jobs(one)) == 1


def test_an_origin_is_told_by_the_plan_and_not_by_the_first_stage() -> None:
    one = context("s0a", (2, 2, 2))
    made = Hop(one)
    made.forward("s0b", forward(INDEX, 0, ROUTE, origin="s0b", order=OLDER), ("in",))
    assert jobs(one) == [] and mail(one, Taken) == []
    made.forward("s0b", forward(2, 1, ROUTE, order=OLDER, purpose=Purpose.VALIDATE), ("in",))
    assert mail(one, Taken) == []


def test_what_is_kept_for_an_origin_that_drives_it_no_more_is_forgotten() -> None:
    one, made = hop(sent=True)
    clear(one)
    one.plan, one.drivers = NEWER, {INDEX: "s0b"}
    made.redirect()
    assert not one.waits.waiting(("hop", "train", INDEX)) and mail(one, Forward) == []
    assert made.routes == {}
    made.backward("s2a", Backward(STEP, INDEX, 1, 0.5, ("s2a",)), ("gradient",))
    assert len(jobs(one)) == 0


def test_what_is_forgotten_while_its_gradient_is_computed_is_counted() -> None:
    """The shards hold it, whether anybody waits for it or not."""
    one, made = hop(sent=True)
    made.backward("s2a", Backward(STEP, INDEX, 1, 0.5, ("s2a",)), ("gradient",))
    one.plan, one.drivers = NEWER, {INDEX: "s0b"}
    made.redirect()
    finish(made, jobs(one)[-1])
    assert made.counted == {INDEX: 0.5}


def test_who_hears_that_its_activation_was_replaced_forgets_it_and_tells_the_one_before() -> None:
    one, made = hop(sent=True)
    clear(one)
    made.taken("s2a", Taken(STEP, INDEX, 2, 0, PLAN))
    assert mail(one, Taken) == [("s0a", Taken(STEP, INDEX, 1, 0, PLAN))]
    assert not one.waits.waiting(("hop", "train", INDEX)) and made.routes == {}


@pytest.mark.parametrize(
    ("peer", "message"),
    [
        ("s2b", Taken(STEP, INDEX, 2, 0, PLAN)),
        ("s2a", Taken(STEP, INDEX, 2, 1, PLAN)),
        ("s2a", Taken(STEP, INDEX, 2, 0, OLDER)),
        ("s2a", Taken(STEP, 5, 2, 0, PLAN)),
    ],
    ids=["another hop", "another retry", "another plan", "another microbatch"],
)
def test_a_word_about_another_activation_changes_nothing(peer: str, message: Taken) -> None:
    one, made = hop(sent=True)
    made.taken(peer, message)
    assert one.waits.waiting(("hop", "train", INDEX)) and mail(one, Taken) == []


def test_a_gradient_that_is_back_stands_whatever_the_next_hop_says_then() -> None:
    one, made = hop(sent=True)
    made.backward("s2a", Backward(STEP, INDEX, 1, 0.5, ("s2a",)), ("gradient",))
    made.taken("s2a", Taken(STEP, INDEX, 2, 0, PLAN))
    finish(made, jobs(one)[-1])
    assert mail(one, Backward) == [("s0a", Backward(STEP, INDEX, 0, 0.5, ("s2a", "s1a")))]


def test_the_result_of_an_earlier_step_is_not_taken_for_that_of_the_same_number_in_this_one() -> None:
    one, made = hop()
    (running,) = jobs(one)
    made.begin_step()
    made.forward("s0a", forward(INDEX, 1, ROUTE), ("in",))
    finish(made, running, tensors=("of the step before",))
    assert mail(one, Forward) == []
    finish(made, jobs(one)[-1], tensors=("new",))
    assert mail(one, Forward) == [("s2a", forward(INDEX, 2, ROUTE))]
