"""What a hop sent on is kept until the gradient is back; another replica gets it when the next hop is lost or late."""

from __future__ import annotations

import pytest

from actors.steps.context import Context
from actors.steps.effects import Note, Send
from actors.steps.hop import Hop
from actors.steps.jobs import JobKind
from actors.steps.messages import Backward, Dropped, Forward, Purpose
from tests.steps.parts import STEP, clear, context, finish, forward, jobs, mail, notes, wanted

ROUTE = ("s0a", "s1a", "s2a")


def hop(*indices: int) -> tuple[Context, Hop]:
    """s1a of three stages, with three replicas in the last one; these microbatches were sent on to s2a."""
    one = context("s1a", (2, 2, 3), leader="s0b")
    made = Hop(one)
    for index in indices:
        made.forward("s0a", forward(index, 1, ROUTE), (f"in {index}",))
    for index in indices:
        finish(made, next(job for job in jobs(one) if job.index == index), tensors=(f"out {index}",))
    assert [to for to, _ in mail(one, Forward)] == ["s2a"] * len(indices)
    clear(one)
    return one, made


def sent(one: Context) -> list[tuple[str, Forward, object]]:
    return [(send.to, send.message, send.payload) for send in wanted(one, Send) if isinstance(send.message, Forward)]


def without(one: Context, *peers: str) -> None:
    one.usable -= set(peers)


def again(index: int, peer: str, retry: int = 1) -> tuple[str, Forward, object]:
    """The same output to another replica: the rest of the route stays."""
    return peer, forward(index, 2, ("s0a", "s1a", peer), retry=retry), (f"out {index}",)


@pytest.mark.parametrize(("index", "peer"), [(0, "s2c"), (3, "s2b"), (4, "s2b"), (5, "s2c"), (6, "s2b")])
def test_what_a_lost_hop_had_goes_to_a_substitute_that_all_would_choose(index: int, peer: str) -> None:
    """Of s2b and s2c the one with the smaller CRC-32 of `peer/index`."""
    one, made = hop(index)
    without(one, "s2a")
    made.redirect()
    assert sent(one) == [again(index, peer)]
    said = f"step 3, train microbatch {index}: S2A (stage 2) is replaced by {peer.upper()} (stage 2)"
    assert wanted(one, Note) == [Note("replaced", said)]


def test_what_can_come_back_stays_where_it_is() -> None:
    one, made = hop(0, 3)
    without(one, "s2b")
    made.redirect()
    assert sent(one) == []


def test_what_is_not_computed_yet_goes_to_the_substitute_at_once() -> None:
    one, made = hop()
    made.forward("s0a", forward(0, 1, ROUTE), ("in",))
    without(one, "s2a")
    made.redirect()
    assert sent(one) == []
    finish(made, jobs(one)[0], tensors=("out 0",))
    assert sent(one) == [again(0, "s2c", retry=0)]
    assert notes(one) == [], "it was with no one yet"


def test_who_forgot_what_it_had_gets_it_again_only_if_there_is_no_other() -> None:
    one, made = hop(0)
    made.redirect(("s2a",))
    assert sent(one) == [again(0, "s2a")], "the plan has it work still"
    clear(one)
    one.workers -= {"s2a"}
    made.redirect()
    assert sent(one) == [again(0, "s2c", retry=2)]


def test_a_gradient_ends_the_wait_and_frees_the_output() -> None:
    one, made = hop(0)
    assert one.waits.waiting(("hop", "train", 0))
    made.backward("s2a", Backward(STEP, 0, 1, 0.5, ("s2a",)), ("gradient",))
    assert not one.waits.waiting(("hop", "train", 0))
    without(one, "s2a")
    made.redirect()
    assert sent(one) == []
    made.backward("s2a", Backward(STEP, 0, 1, 0.5, ("s2a",)), ("gradient",))
    assert [job.kind for job in jobs(one)] == [JobKind.BACKWARD], "it came twice and is computed once"


@pytest.mark.parametrize(
    ("sender", "index", "stage"), [("s2b", 0, 1), ("s2a", 1, 1), ("s2a", 0, 0), ("s2a", 0, 2), ("s0a", 0, 1)]
)
def test_a_gradient_that_is_not_awaited_changes_nothing(sender: str, index: int, stage: int) -> None:
    one, made = hop(0)
    made.backward(sender, Backward(STEP, index, stage, 0.5, ("s2a",)), ("gradient",))
    assert jobs(one) == [] and one.waits.waiting(("hop", "train", 0))
    assert one.ignored["a late gradient"] == 1


def test_a_gradient_before_its_output_is_not_awaited() -> None:
    one, made = hop()
    made.forward("s0a", forward(0, 1, ROUTE), ("in",))
    made.backward("s2a", Backward(STEP, 0, 1, 0.5, ("s2a",)), ("gradient",))
    assert [job.kind for job in jobs(one)] == [JobKind.FORWARD]


def test_after_a_replacement_only_the_new_hops_gradient_counts() -> None:
    one, made = hop(0)
    without(one, "s2a")
    made.redirect()
    made.backward("s2a", Backward(STEP, 0, 1, 0.5, ("s2a",)), ("gradient",))
    assert jobs(one) == []
    made.backward("s2c", Backward(STEP, 0, 1, 0.5, ("s2c",)), ("gradient",))
    assert [job.kind for job in jobs(one)] == [JobKind.BACKWARD]


@pytest.mark.parametrize(("index", "peer"), [(0, "s2c"), (4, "s2b")])
def test_a_hop_that_is_late_is_replaced_though_it_could_work(index: int, peer: str) -> None:
    """4 would go to s2a, if that were not the one that is late."""
    one, made = hop(index)
    made.overdue(Purpose.TRAIN, index)
    assert sent(one) == [again(index, peer)]
    assert notes(one) == ["replaced"]
    assert one.waits.waiting(("hop", "train", index))
    made.overdue(Purpose.TRAIN, index)
    assert [message.retry for _, message, _ in sent(one)] == [1, 2]


def test_the_rest_of_a_route_stays_when_a_hop_is_replaced() -> None:
    """Of s1a and s1b the one for 0 is s1a, and s2c stays."""
    one = context("s0a", (2, 2, 3))
    one.workers -= {"s1b"}
    made = Hop(one)
    made.forward("s0b", forward(0, 0, ("s0a", "s1b", "s2c")), ("in",))
    finish(made, jobs(one)[0])
    assert [(to, message.route) for to, message, _ in sent(one)] == [("s1a", ("s0a", "s1a", "s2c"))]


def test_where_the_route_names_no_one_the_substitute_serves() -> None:
    one, made = hop()
    for index, route in ((0, ("s0a", "s1a")), (3, ("s0a", "s1a", ""))):
        made.forward("s0a", forward(index, 1, route), ("in",))
        finish(made, jobs(one)[-1])
    assert [to for to, _, _ in sent(one)] == ["s2c", "s2b"]


def test_a_new_step_waits_for_no_gradient_of_the_last_one() -> None:
    one, made = hop(0)
    made.begin_step()
    assert one.waits.next_deadline() is None


def test_a_hop_that_forgets_after_it_has_sent_the_gradient_needs_nothing() -> None:
    one, made = hop(0)
    made.backward("s2a", Backward(STEP, 0, 1, 0.5, ("s2a",)), ("gradient",))
    made.dropped("s2a", Dropped(STEP, 0, Purpose.TRAIN, 2, 0))
    assert sent(one) == []


def test_a_late_hop_that_is_the_only_one_gets_the_same_again() -> None:
    one, made = hop(0)
    without(one, "s2b", "s2c")
    made.overdue(Purpose.TRAIN, 0)
    assert sent(one) == [again(0, "s2a")]
    assert notes(one) == []


def test_nothing_is_overdue_that_is_back_or_not_known() -> None:
    one, made = hop(0)
    made.backward("s2a", Backward(STEP, 0, 1, 0.5, ("s2a",)), ("gradient",))
    made.overdue(Purpose.TRAIN, 0)
    made.overdue(Purpose.TRAIN, 7)
    assert sent(one) == []


def test_where_no_one_serves_the_next_stage_the_output_is_kept_until_a_replica_does() -> None:
    one, made = hop(0)
    without(one, "s2a", "s2b", "s2c")
    made.redirect()
    assert sent(one) == [] and one.waits.waiting(("hop", "train", 0))
    one.usable.add("s2b")
    made.redirect()
    assert sent(one) == [again(0, "s2b", retry=2)]


def test_a_hop_waits_as_long_as_all_stages_after_it_may_take() -> None:
    """The gradient of s1 contains one of s2: two times 12 s; that of s0 has three."""
    for me, seconds in (("s1a", 24.0), ("s0a", 36.0)):
        one = context(me, (2, 2, 2))
        made, stage = Hop(one), one.me.stage
        one.now = 100.0
        made.forward("s0b", forward(0, stage, ROUTE), ("in",))
        finish(made, jobs(one)[0])
        assert one.waits.expired(99.9 + seconds) == []
        assert [key for key, _ in one.waits.expired(100.0 + seconds)] == [("hop", "train", 0)]


def test_what_waits_took_is_shared_by_the_stages() -> None:
    """Six seconds for two stages: three for one, and ten times that is the patience."""
    one, made = hop(0)
    one.now = 6.0
    made.backward("s2a", Backward(STEP, 0, 1, 0.5, ("s2a",)), ("gradient",))
    assert one.waits.patience("hop") == pytest.approx(30.0)


def test_a_next_hop_that_keeps_us_waiting_is_doubtful_at_half_of_the_patience() -> None:
    one, _ = hop(0)
    assert list(one.waits.doubtful(12.0)) == ["s2a"]


def test_a_hop_that_forgot_an_activation_gets_it_once_more() -> None:
    one, made = hop(0)
    made.dropped("s2a", Dropped(STEP, 0, Purpose.TRAIN, 2, 0))
    assert sent(one) == [again(0, "s2a")]
    clear(one)
    for peer, retry in (("s2a", 0), ("s2a", 2), ("s2b", 1)):
        made.dropped(peer, Dropped(STEP, 0, Purpose.TRAIN, 2, retry))
        assert sent(one) == [], "another attempt is meant, or another hop"
    made.dropped("s2a", Dropped(STEP, 0, Purpose.TRAIN, 2, 1))
    assert sent(one) == [again(0, "s2a", retry=2)]


def test_retries_are_added_to_those_of_the_origin() -> None:
    one, made = hop()
    made.forward("s0a", forward(0, 1, ROUTE, retry=2000), ("in",))
    finish(made, jobs(one)[0], tensors=("out 0",))
    made.overdue(Purpose.TRAIN, 0)
    assert [message.retry for _, message, _ in sent(one)] == [2000, 2001]


def test_the_route_shows_who_really_has_the_work() -> None:
    one, made = hop(0)
    made.forward("s0a", forward(5, 1, ROUTE), ("in",))
    made.forward("s0a", forward(6, 1, ROUTE, purpose=Purpose.VALIDATE), ("in",))
    assert made.routes == {0: ROUTE, 5: ROUTE}
    without(one, "s2a")
    made.redirect()
    assert made.routes == {0: ("s0a", "s1a", "s2c"), 5: ROUTE}
    first = context("s0a", (2, 2, 2))
    other = Hop(first)
    other.forward("s0a", forward(4, 0, ("s0a", "s1b", "s2a")), ("in",))
    finish(other, jobs(first)[0])
    assert other.routes == {4: ("s0a", "s1b", "s2a")}
