"""The time between an accusation and a verdict, with the numbers of the formula worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.membership.statements import Accusation, Evidence, Verdict
from actors.membership.suspicion import Suspicion, suspicion_time
from tests.membership.helpers import LAN

TEN = replace(LAN, suspicion_s=10.0, suspicion_max=3.0, refused_s=1.0)
"""From 30 s without a confirmation down to 10 s with three."""
SILENT, REFUSED = Evidence.SILENT, Evidence.REFUSED


@pytest.mark.parametrize(
    ("confirmations", "seconds"),
    [
        (0, 30.0),  # 10 * 3
        (1, 20.0),  # log 2 / log 4 is a half: 10 * (3 - 2 * 0.5)
        (2, 14.1504),  # log 3 / log 4 = 0.792481: 10 * (3 - 1.584963)
        (3, 10.0),  # 10 * (3 - 2)
        (4, 10.0),  # more do not count
        (40, 10.0),
    ],
)
def test_each_confirmation_shortens_the_time_and_three_are_the_most(confirmations: int, seconds: float) -> None:
    assert suspicion_time(TEN, 1 + confirmations, 0, others=10) == pytest.approx(seconds, abs=1e-4)


@pytest.mark.parametrize(
    ("others", "confirmations", "seconds"),
    [
        (3, 0, 30.0),
        (3, 2, 14.1504),
        (3, 3, 10.0),
        (2, 0, 30.0),
        (2, 1, 17.3814),  # log 2 / log 3 = 0.630930: 10 * (3 - 1.261860)
        (2, 2, 10.0),
        (1, 0, 30.0),
        (1, 1, 10.0),
        (0, 0, 10.0),  # two members: nobody could confirm
        (-1, 0, 10.0),
    ],
)
def test_fewer_are_needed_where_fewer_could_confirm(others: int, confirmations: int, seconds: float) -> None:
    assert suspicion_time(TEN, 1 + confirmations, 0, others) == pytest.approx(seconds, abs=1e-4)


@pytest.mark.parametrize(
    ("accusers", "refused", "others", "seconds"),
    [
        (4, 4, 10, 1.0),  # the first and three confirmations, all refused
        (5, 4, 10, 1.0),
        (4, 3, 10, 10.0),  # one of them only heard nothing
        (3, 3, 10, 14.1504),  # two confirmations are not three
        (1, 1, 10, 30.0),
        (2, 2, 1, 1.0),
        (2, 1, 1, 10.0),
        (1, 1, 1, 30.0),
        (1, 1, 0, 1.0),
        (1, 0, 0, 10.0),
    ],
)
def test_the_short_time_needs_as_many_refusals_as_accusers_are_needed(
    accusers: int, refused: int, others: int, seconds: float
) -> None:
    assert suspicion_time(TEN, accusers, refused, others) == pytest.approx(seconds, abs=1e-4)


@pytest.mark.parametrize(
    ("others", "confirmations", "seconds"),
    [(3, 0, 18.0), (3, 1, 18.0 - 6 * 0.5), (1, 1, 12.0), (0, 0, 12.0)],
)
def test_the_longest_time_is_the_shortest_times_the_maximum(others: int, confirmations: int, seconds: float) -> None:
    """12 s and a maximum of 1.5: from 18 s down by 6 s."""
    profile = replace(LAN, suspicion_s=12.0, suspicion_max=1.5)
    assert suspicion_time(profile, 1 + confirmations, 0, others) == pytest.approx(seconds)


@settings(deadline=None)
@given(st.integers(1, 60), st.integers(0, 60), st.integers(-1, 60))
def test_it_stays_between_its_bounds_and_never_grows_with_more_accusers(accusers: int, more: int, others: int) -> None:
    few, many = suspicion_time(TEN, accusers, 0, others), suspicion_time(TEN, accusers + more, 0, others)
    assert 10.0 - 1e-9 <= many <= few <= 30.0 + 1e-9


# --- what one member knows about the suspicion of another ---------------------------------------------------------


def suspicion(*accusers: tuple[str, Evidence]) -> Suspicion:
    """As somebody keeps it who heard these, in this order."""
    made = Suspicion(Accusation("subject", 4, Verdict.SUSPECT, SILENT, "a", b""), 50.0)
    for accuser, evidence in accusers:
        made.add(accuser, evidence)
    return made


def test_it_begins_with_nothing_of_our_own() -> None:
    made = suspicion()
    assert (made.since, made.incarnation, made.accusers) == (50.0, 4, {})
    assert not (made.mine or made.called or made.hinted or made.waived)
    assert made.deadline == float("inf")
    assert made.told_at == float("-inf")


@pytest.mark.parametrize(
    ("before", "now", "news"),
    [
        (None, SILENT, True),
        (None, REFUSED, True),
        (SILENT, SILENT, False),
        (REFUSED, REFUSED, False),
        (SILENT, REFUSED, True),  # more than was known
        (REFUSED, SILENT, False),  # less
    ],
)
def test_an_accuser_is_news_once_and_again_when_it_says_more(
    before: Evidence | None, now: Evidence, news: bool
) -> None:
    made = suspicion() if before is None else suspicion(("a", before))
    assert made.add("a", now) is news
    assert made.accusers == {"a": REFUSED if REFUSED in (before, now) else SILENT}


@pytest.mark.parametrize(
    ("accusers", "hinted", "seconds"),
    [
        ([], False, 30.0),
        (["a"], False, 30.0),  # the first accuser does not confirm itself
        (["a", "a", "a"], False, 30.0),  # nor by saying it again
        (["a", "b"], False, 20.0),
        (["a", "b", "b", "a"], False, 20.0),
        (["a"], True, 20.0),  # a hint counts as one confirmation
        (["a", "b"], True, 14.1504),
        (["a", "b", "c", "d"], False, 10.0),
        (["a", "b", "c", "d", "e"], True, 10.0),
    ],
    ids=str,
)
def test_confirmations_are_other_accusers_and_a_hint(accusers: list[str], hinted: bool, seconds: float) -> None:
    made = suspicion(*((one, SILENT) for one in accusers))
    made.hinted = hinted
    assert made.time(TEN, others=10) == pytest.approx(seconds, abs=1e-4)


def test_refusals_are_counted_among_the_accusers() -> None:
    made = suspicion(("a", REFUSED), ("b", REFUSED), ("c", REFUSED), ("d", SILENT))
    assert made.time(TEN, others=10) == pytest.approx(10.0)
    made.add("d", REFUSED)
    assert made.time(TEN, others=10) == 1.0
    assert suspicion(("a", REFUSED)).time(TEN, others=0) == 1.0
