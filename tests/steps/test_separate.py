"""Who is left out of a step so that all replicas of a stage reach each other: as few as it takes, by their reports."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.steps.survey import Survey
from actors.steps.view import Voter
from tests.steps.builders import context_of, decision_of, report_of, survey_of, voters

THREE = voters(a=0, b=0, c=0)
TWO_BY_TWO = voters(a=0, b=0, c=1, d=1)


def survey(members: tuple[Voter, ...], cuts: dict[str, str], without: str = "") -> Survey:
    """cuts: who says that it cannot reach whom. `without`: who has no corpus."""
    stages = max(member.stage for member in members) + 1
    context = context_of(decision_of(members), stages=stages)
    reports = {
        m.peer_id: report_of(counted=(0,), unreachable=tuple(cuts.get(m.peer_id, "")), data_ok=m.peer_id not in without)
        for m in members
    }
    return survey_of(context, **reports)


@pytest.mark.parametrize(
    ("cuts", "without", "apart"),
    [
        ({}, "", ""),
        ({"a": "b"}, "", "b"),  # of two the one of whom the other said it
        ({"b": "a"}, "", "a"),
        ({"a": "b", "b": "a"}, "", "b"),  # both say it: the later one
        ({"a": "b", "c": "b"}, "", "b"),
        ({"b": "ac"}, "", "b"),  # the one who meets two others goes, and not the two
        ({"a": "b", "b": "a"}, "a", "a"),  # who has no corpus goes first
        ({"a": "b"}, "a", "a"),
        ({"b": "ac"}, "ac", "ac"),
        ({"a": "bc", "b": "c"}, "", "bc"),
        ({"a": "x"}, "", ""),
    ],
    ids=["none", "told", "told back", "both", "two say it", "as few as it takes", "corpus", "corpus counts more",
         "corpus of two", "all three", "a stranger"],
)  # fmt: skip
def test_replicas_that_cannot_reach_each_other_do_not_both_take_part(
    cuts: dict[str, str], without: str, apart: str
) -> None:
    found = survey(THREE, cuts, without)
    assert found.separate() == set(apart) == found.apart
    assert set(found.workers()) == set("abc") - set(apart)


def test_participants_of_different_stages_need_not_reach_each_other() -> None:
    assert survey(TWO_BY_TWO, {"a": "c"}).separate() == set()


@pytest.mark.parametrize(
    ("cuts", "apart"),
    [
        ({"a": "cd"}, "a"),
        ({"c": "a", "d": "a"}, "a"),
        ({"a": "c", "d": "a"}, "a"),
        ({"c": "ab"}, "c"),
        ({"d": "ab"}, "d"),
        ({"a": "c", "b": "d"}, ""),
    ],
    ids=["says it", "is told of", "both ways", "of the last stage", "the other one", "each reaches one"],
)
def test_who_reaches_nobody_of_the_stage_beside_it_is_left_out_where_another_replica_does(
    cuts: dict[str, str], apart: str
) -> None:
    assert survey(TWO_BY_TWO, cuts).separate() == set(apart)


def test_a_middle_stage_must_reach_both_sides() -> None:
    members = voters(a=0, b=1, c=1, d=2)
    assert survey(members, {"b": "a"}).separate() == {"b"}
    assert survey(members, {"c": "d"}).separate() == {"c"}
    assert survey(members, {"d": "a"}).separate() == set(), "stages 0 and 2 have nothing to say to each other"


def test_the_last_of_a_stage_is_kept_whomever_it_reaches() -> None:
    members = voters(a=0, b=1, c=1)
    assert survey(members, {"a": "bc"}).separate() == {"b"}, "a is alone in its stage; of b and c one is left"


def test_what_those_have_counted_who_are_left_out_is_missing_until_they_are_back() -> None:
    found = survey(THREE, {"a": "b"})
    found.separate()
    assert "b" not in found.ledger.counted
    found.reports["a"] = report_of(counted=(0,))
    assert found.separate() == set() and found.apart == set()
    assert found.ledger.counted["b"] == {0: 1.0}


def test_only_those_who_are_newly_left_out_are_named() -> None:
    found = survey(THREE, {"a": "b"})
    assert found.separate() == {"b"}
    assert found.separate() == set() and found.apart == {"b"}
    found.reports["c"] = report_of(unreachable=("a",))
    assert found.separate() == {"a"}, "now a is: c and b say nothing of each other"
    assert found.apart == {"a"}


CUTS = st.dictionaries(st.sampled_from("abc"), st.sampled_from(["a", "b", "c", "ab", "bc", "ac"]))


@settings(deadline=None, max_examples=80)
@given(CUTS)
def test_those_who_are_left_reach_each_other_and_somebody_is_left(cuts: dict[str, str]) -> None:
    cuts = {peer: others.replace(peer, "") for peer, others in cuts.items()}
    found = survey(THREE, cuts)
    found.separate()
    left = found.workers()
    assert left
    assert not [(one, other) for one in left for other in left if other in cuts.get(one, "")]
    for peer in found.apart:
        met = [other for other in left if other in cuts.get(peer, "") or peer in cuts.get(other, "")]
        assert met or len(found.apart) > 1, f"{peer} is left out for nothing"
