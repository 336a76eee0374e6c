"""A lost stage under the policy rollback: the newest checkpoint that can be used, and somebody there for the stage."""

from __future__ import annotations

import pytest

from tests.steps.builders import report_of
from tests.steps.test_returning import MEMBERS, Table


def test_a_run_rolls_back_to_the_newest_checkpoint_and_asks_nobody_to_have_kept_anything() -> None:
    table = Table().reports(a=report_of(held=17), d=report_of(held=-1, stored=(0, 12)))
    table.context.stored = (0, 9)
    decision, text = table.rolls_back()
    assert decision is not None
    assert (decision.step, decision.source, decision.stored) == (12, (0, 12), (0, 9))
    assert (decision.returns, decision.members) == (((17, 12),), MEMBERS)
    assert text == "nobody holds stage 1 any more; 5 steps are trained again"


@pytest.mark.parametrize(
    ("stored", "listed", "commit"),
    [
        ((0, 9), ((0, 12), (0, 6)), 12),
        ((0, 12), ((1, 15),), 12),
        ((0, 12), ((0, 18),), 12),
        ((0, 12), ((0, 17),), 17),
        ((-1, -1), ((0, 3),), 3),
        ((-1, -1), (), None),
    ],
    ids=["in the store", "of another history", "beyond the step", "of the step itself", "only in the store", "none"],
)
def test_what_is_in_the_store_counts_if_it_can_be_of_this_run(
    stored: tuple[int, int], listed: tuple[tuple[int, int], ...], commit: int | None
) -> None:
    table = Table().reports(d=report_of(held=-1))
    table.context.stored, table.context.listed = stored, listed
    decision, text = table.rolls_back()
    assert (decision.step if decision is not None else None) == commit
    if commit is None:
        assert text == "there is no checkpoint that all can use"


def test_a_checkpoint_that_somebody_could_not_read_is_passed_over_for_the_one_before() -> None:
    table = Table().reports(d=report_of(held=-1), a=report_of(unusable={"0/12": "damaged"}))
    table.context.listed = ((0, 12), (0, 9))
    decision, _ = table.rolls_back()
    assert decision is not None and decision.source == (0, 9)


@pytest.mark.parametrize("resumed", [0, 2])
def test_the_checkpoint_that_the_run_began_with_is_there_for_ever(resumed: int) -> None:
    table = Table(first=4, resumed=resumed, history=3).reports(d=report_of(held=-1))
    decision, _ = table.rolls_back()
    assert decision is not None and (decision.step, decision.source) == (4, (resumed, 4))
    table.context.stored = (3, 8)
    decision, _ = table.rolls_back()
    assert decision is not None and decision.source == (3, 8)


def test_somebody_must_be_here_for_the_stage_and_newcomers_will_do() -> None:
    table = Table(usable="abdx").joins("x")
    table.context.stored = (0, 12)
    decision, _ = table.rolls_back()
    assert decision is not None
    assert [m.peer_id for m in decision.members] == ["a", "b", "c", "d", "x"]
    nobody = Table()
    nobody.context.stored = (0, 12)
    why = "nobody is here who could take up stage 1 from the checkpoint of commit 12"
    assert nobody.rolls_back() == (None, why), "c and d have not reported"
    far = Table(usable="ab").reports(c=report_of())
    far.context.stored = (0, 12)
    assert far.rolls_back() == (None, why), "c cannot be reached"
    stranger = Table(usable="abx").joins("x", era=1)
    stranger.context.stored = (0, 12)
    assert stranger.rolls_back() == (None, why), "x speaks of another era"
