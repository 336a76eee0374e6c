"""What a leader knows of its members: who works, who drives, by which routes, and which stages nobody serves."""

from __future__ import annotations

from typing import Any

import pytest

from actors.steps.ballots import Report
from actors.steps.survey import Survey
from actors.steps.view import Voter
from tests.steps.builders import (
    CONFIG,
    commit_of,
    commit_record,
    context_of,
    decision_of,
    report_of,
    survey_of,
    voters,
)

MEMBERS = voters(a=0, b=0, c=1, d=1)
ALL = {peer: report_of() for peer in "abcd"}


def survey(usable: str = "abcd", decided: dict[str, Any] | None = None, **reports: Any) -> Survey:
    """All hold commit 3, which is under way, where nothing else is said."""
    context = context_of(decision_of(MEMBERS, **(decided or {})), usable=usable)
    return survey_of(context, **{**ALL, **reports})


def test_right_after_a_commit_those_who_held_its_average_hold_its_parameters() -> None:
    record = commit_record(2, throughput={"A": 5.0, "X": 9.0}, sources=["A", "X"])
    members = (*MEMBERS[:2], Voter("c", 4, "C", 1))
    found = Survey(context_of(commit_of(members, record=record, holders=("a", "c", "x"))))
    found.assume()
    assert found.reports == {
        "a": Report(1, 3, {}, (), 5.0, True, CONFIG),
        "c": Report(4, 3, {}, (), 0.0, False, CONFIG),
    }, "x is no member any more, and b held no average"
    assert found.workers() == ["a", "c"] and found.ledger.counted == {}


def test_after_a_change_of_view_nothing_is_known_of_corpus_and_speed() -> None:
    found = Survey(context_of(decision_of(MEMBERS, holders=("a",))))
    found.assume()
    assert found.reports == {"a": Report(1, 3, {}, (), 0.0, False, CONFIG)}


def test_what_is_counted_for_another_step_is_not_counted() -> None:
    found = survey(a=report_of(counted=(0, 1)), b=report_of(held=2, counted=(2,)))
    assert found.ledger.counted == {"a": {0: 1.0, 1: 1.0}, "c": {}, "d": {}}
    found.take("a", report_of(held=4, counted=(0,)))
    assert "a" not in found.ledger.counted, "it has gone on without us"


@pytest.mark.parametrize(
    ("usable", "reports", "workers"),
    [
        ("abcd", {}, "abcd"),
        ("acd", {}, "acd"),
        ("abcd", {"b": report_of(held=2)}, "acd"),
        ("abcd", {"b": report_of(held=4)}, "acd"),
        ("abcdx", {"x": report_of()}, "abcd"),
    ],
    ids=["all", "out of reach", "behind", "ahead", "a stranger"],
)
def test_workers_are_members_that_hold_the_parameters_of_the_step(
    usable: str, reports: dict[str, Report], workers: str
) -> None:
    assert "".join(survey(usable, **reports).workers()) == workers


def test_who_is_left_out_of_the_step_does_not_work() -> None:
    found = survey()
    found.excluded.add("b")
    found.apart.add("c")
    assert found.workers() == ["a", "d"]
    del found.reports["d"]
    assert found.workers() == ["a"], "nor does one that has not reported"


def test_the_last_stage_needs_the_corpus_and_others_do_not() -> None:
    without = report_of(data_ok=False)
    found = survey(a=without, c=without)
    assert found.fit() == ["a", "b", "d"]
    assert found.origins() == ["b"], "who drives microbatches needs it, too"


def test_spares_are_sent_work_only_where_nobody_else_serves_their_stage() -> None:
    assert survey(decided={"spares": ("b",)}).able() == ["a", "c", "d"]
    assert survey(decided={"spares": ("a", "b")}).able() == ["a", "b", "c", "d"]
    assert survey(decided={"spares": ("b",)}, a=report_of(held=2)).able() == ["b", "c", "d"]
    half = survey(decided={"spares": ("d",)}, c=report_of(data_ok=False))
    assert half.able() == ["a", "b", "d"], "c cannot work without the corpus, so its spare does"


@pytest.mark.parametrize(
    ("changes", "spares", "origins"),
    [
        ({}, (), "ab"),
        ({"a": report_of(data_ok=False)}, (), "b"),
        ({"a": report_of(data_ok=False), "b": report_of(data_ok=False)}, (), "cd"),
        ({}, ("b",), "a"),
        (dict.fromkeys("abcd", report_of(data_ok=False)), (), ""),
    ],
    ids=["stage 0", "with the corpus", "another stage", "spares drive nothing", "nobody"],
)
def test_origins_are_the_workers_with_the_corpus_of_stage_0_if_there_are_any(
    changes: dict[str, Report], spares: tuple[str, ...], origins: str
) -> None:
    assert "".join(survey(decided={"spares": spares}, **changes).origins()) == origins


def test_a_member_knows_best_by_which_route_a_microbatch_came_to_its_own_stage() -> None:
    """Members have the numbers a 0, b 1, c 2, d 3. a says b and c; b says it was itself; d says itself."""
    found = survey(a=report_of(routes={5: (0, 2)}), b=report_of(routes={5: (1, 2)}), d=report_of(routes={5: (0, 3)}))
    assert found.routes([5]) == {5: (0, 3)}, "a and b both name themselves: the first counts"
    found = survey(a=report_of(routes={5: (1, 2)}), d=report_of(routes={5: (-1, 3)}))
    assert found.routes([5]) == {5: (1, 3)}, "what nobody knows of itself is taken from others"


def test_routes_are_told_of_what_is_asked_for_and_of_this_step_only() -> None:
    found = survey(a=report_of(routes={5: (0, 2), 6: (0, 2)}), b=report_of(held=2, routes={7: (1, 2)}))
    assert found.routes([5, 7]) == {5: (0, 2)}
    found = survey(a=report_of(routes={5: (-1, -1), 4: (0, 2, 1)}))
    assert found.routes([4, 5]) == {4: (0, 2), 5: (-1, -1)}, "no more places than stages"


def test_a_stage_is_served_by_whoever_holds_it_and_lacking_where_nobody_can_work() -> None:
    found = survey()
    assert (found.served(), found.lacking()) == ({0, 1}, [])
    found = survey(c=report_of(held=2), d=report_of(data_ok=False))
    assert (found.served(), found.lacking()) == ({0, 1}, [1]), "d holds the parameters, and could vouch"
    found = survey("ab")
    assert (found.served(), found.lacking()) == ({0}, [1])


def test_who_was_left_out_is_taken_back_where_nobody_else_serves_its_stage() -> None:
    found = survey()
    found.excluded |= {"a", "d"}
    assert found.readmit() == set()
    found.excluded |= {"c", "x"}
    assert found.readmit() == {"c", "d"}
    assert found.excluded == {"a", "x"}
    found.excluded |= {"c", "d"}
    del found.reports["d"]
    assert found.readmit() == {"c"}, "d may not be there"


def test_lives_are_those_that_reported() -> None:
    assert survey(b=report_of(life=4)).lives() == {"a": 1, "b": 4, "c": 1, "d": 1}


def test_beyond_are_members_of_these_stages_that_may_be_there_but_are_not_reached() -> None:
    found = survey("ac")
    assert found.beyond([0, 1]) == ["b", "d"]
    assert found.beyond([1]) == ["d"]
    found._context.gone["d"] = "dead"
    assert found.beyond([0, 1]) == ["b"]


NO_DATA = report_of(held=0, data_ok=False)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, ""),
        ({"b": report_of(held=0, config_hash="other")}, "B (stage 0) was started with another run config than A"),
        ({"a": NO_DATA, "b": NO_DATA}, ""),
        ({"c": NO_DATA}, ""),
        ({"c": NO_DATA, "d": NO_DATA}, "nobody can compute the loss"),
        (dict.fromkeys("abcd", NO_DATA), "nobody can originate microbatches"),
        ({**dict.fromkeys("abc", NO_DATA), "d": report_of(held=-1, data_ok=False)}, ""),
    ],
    ids=["right", "config", "only the last has it", "one of two", "no loss", "no corpus", "not all are built"],
)
def test_members_that_cannot_train_together_are_told_so_at_the_beginning(changes: dict[str, Report], why: str) -> None:
    right = {**{peer: report_of(held=0) for peer in "abcd"}, **changes}
    begins = context_of(decision_of(MEMBERS, slot=1, step=0, view=1))
    text = survey_of(begins, **right).wrong_config()
    assert why in text and bool(text) is bool(why)
    for step, view in ((1, 1), (0, 2)):
        later = context_of(decision_of(MEMBERS, slot=1, step=step, view=view))
        assert survey_of(later, **right).wrong_config() == "", "whoever comes later is no reason to end the run"
