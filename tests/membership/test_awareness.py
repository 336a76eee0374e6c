"""The health score: who misses answers doubts itself first, within bounds."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.membership.awareness import Awareness
from actors.membership.events import Broken, Hint, Tick
from actors.membership.messages import Ack, Ping, PingRequest
from tests.membership.helpers import LAN
from tests.membership.solo import Solo


@pytest.mark.parametrize(
    ("events", "score"),
    [
        ([], 0),
        (["better"], 0),
        (["worse"], 1),
        (["worse", "worse", "better"], 1),
        ([3], 3),
        ([3, "better", "better", "better", "better"], 0),
        ([3, 2], 5),
        ([7, 3], 8),  # the bound
        (["worse"] * 20, 8),
        ([20, "better"], 7),
    ],
    ids=str,
)
def test_the_score_goes_up_and_down_between_nothing_and_its_bound(events: list[str | int], score: int) -> None:
    awareness = Awareness(8)
    for event in events:
        if isinstance(event, int):
            awareness.worse(event)
        else:
            getattr(awareness, event)()
    assert awareness.score == score
    assert awareness.scale == 1 + score


@settings(deadline=None)
@given(st.lists(st.one_of(st.none(), st.integers(1, 5)), max_size=60), st.integers(1, 10))
def test_no_pause_grows_without_bound(events: list[int | None], highest: int) -> None:
    awareness = Awareness(highest)
    for by in events:
        if by is None:
            awareness.better()
        else:
            awareness.worse(by)
        assert 0 <= awareness.score <= highest


# --- what changes the score of a member ---------------------------------------------------------------------------


def test_every_helper_that_says_nothing_is_an_answer_missed() -> None:
    """Three helpers were asked, one answered no: the two others are missing."""
    solo = Solo(4)
    solo.silent = {2, 3, 4}
    solo.give(Broken(solo.peer(4)))
    solo.run(LAN.probe_s)
    assert solo.core.health == 2


def test_helpers_that_say_no_leave_the_score_alone() -> None:
    solo = Solo(4)
    solo.silent = {4}
    solo.give(Broken(solo.peer(4)))
    solo.run(LAN.probe_s)
    assert solo.when("suspect", 4)
    assert solo.core.health == 0


def test_an_answer_makes_it_better_and_an_accusation_worse() -> None:
    solo = Solo(4)
    solo.tell(solo.accusation(of=0, by=2))
    assert solo.core.health == 1
    solo.give(Hint(solo.peer(3), "asked by the test"))
    solo.run(0.01)
    assert solo.core.health == 0


@pytest.mark.parametrize(
    ("late", "score"),
    [(0.12, 0), (0.49, 0), (0.51, 1), (5.0, 1)],
    ids=["prompt", "a little late", "longer than a timeout", "very late"],
)
def test_who_did_not_run_for_longer_than_a_timeout_doubts_itself(late: float, score: int) -> None:
    solo = Solo(4)
    solo.now = solo.core.next_deadline() + late
    solo.give(Tick())
    assert solo.core.health == score


@pytest.mark.parametrize(("score", "asked_after", "failed_after"), [(0, 0.5, 1.0), (1, 1.0, 2.0), (2, 1.5, 3.0)])
def test_the_timeouts_of_its_probes_grow_with_the_score(score: int, asked_after: float, failed_after: float) -> None:
    """Others are asked after 0.5 s, and it has failed after 1 s, times one more than the score."""
    solo = Solo(3, interval_s=1000.0)
    for incarnation in range(1, 1 + score):
        solo.tell(solo.accusation(of=0, by=1, incarnation=incarnation))
    assert solo.core.health == score
    solo.silent = {3}
    began = solo.now
    solo.give(Hint(solo.peer(3), "asked by the test"))
    solo.run(4.0)
    assert solo.sent(PingRequest)[0][0] == pytest.approx(began + asked_after)
    assert solo.when("suspect", 3) == [pytest.approx(began + failed_after)]


def test_the_score_never_passes_its_bound_however_often_it_is_accused() -> None:
    solo = Solo(3, interval_s=1000.0)
    for incarnation in range(1, 30):
        solo.tell(solo.accusation(of=0, by=1, incarnation=incarnation))
    assert solo.core.health == 8
    solo.give(Hint(solo.peer(3), "asked by the test"))
    ((_, _, ping),) = solo.sent(Ping)
    solo.says(3, Ack(ping.seq, solo.core.view_hash))
    assert solo.core.health == 7
