"""Stages that nobody can serve: how long they are waited for, and what each policy does then."""

from __future__ import annotations

from typing import Any

import pytest

from actors.steps.ballots import Decision, Report
from actors.steps.context import Context, LostStage
from actors.steps.effects import Failed, ListCheckpoints
from actors.steps.survey import Survey
from actors.steps.vacancy import Vacancy
from tests.steps.builders import context_of, decision_of, report_of, survey_of, voters, waiting_of

MEMBERS = voters(a=0, b=1)
HERE = "nobody who can be reached holds commit 17 of stage 1"


class Table:
    """Step 17 is under way; b is here and has lost its state. The floor of patience is ten seconds."""

    def __init__(self, step: int = 17, **setup: Any) -> None:
        self.context: Context = context_of(decision_of(MEMBERS, step=step), now=100.0, **setup)
        self.survey: Survey = survey_of(
            self.context, a=report_of(held=step, kept=(12,)), b=report_of(held=-1, kept=(12,))
        )
        self.waiting = waiting_of(self.context)
        self.vacancy = Vacancy(self.context)

    def look(self, after: float = 0.0) -> tuple[Decision | None, str]:
        """The leader considers what to do, so many seconds later."""
        self.context.now += after
        self.context.waits.expired(self.context.now)
        return self.vacancy.look([1], self.survey, self.waiting)


def test_a_lost_stage_is_waited_for_during_one_floor_and_then_the_run_returns() -> None:
    table = Table()
    assert table.look() == (None, HERE)
    assert table.context.waits.next_deadline() == 110.0, "the leader is woken then"
    assert table.look(9.9) == (None, HERE)
    decision, text = table.look(0.1)
    assert decision is not None and decision.step == 12
    assert text == ("step 17 goes back to commit 12: nobody holds stage 1 any more; 5 steps are trained again")


def test_the_wait_begins_again_when_somebody_may_have_the_stage_after_all() -> None:
    table = Table()
    table.look()
    table.survey.reports["b"] = report_of(held=17)
    assert table.look(5.0) == (None, HERE)
    table.survey.reports["b"] = report_of(held=-1, kept=(12,))
    assert table.look(5.0) == (None, HERE)
    assert table.look(9.9)[0] is None
    assert table.look(0.1)[0] is not None


def test_a_new_slot_waits_from_its_own_beginning() -> None:
    table = Table()
    table.look()
    table.vacancy.reset()
    assert table.look(10.0)[0] is None
    assert table.look(10.0)[0] is not None


def test_a_stage_that_is_merely_cut_off_is_waited_for_without_end() -> None:
    table = Table()
    table.context.usable.discard("b")
    for _ in range(5):
        assert table.look(100.0) == (None, HERE)


def test_without_a_state_to_return_to_it_says_what_is_lacking() -> None:
    table = Table()
    table.survey.reports["b"] = report_of(held=-1)
    table.look()
    decision, text = table.look(10.0)
    assert decision is None
    assert text == f"{HERE}, and everybody who did is gone: nobody who is here has kept a state of stage 1"
    assert not table.context.out, "there is no checkpoint to look for"


def test_the_first_commit_is_never_lost_as_whoever_builds_its_stage_holds_it() -> None:
    table = Table(step=0)
    table.look()
    assert table.look(100.0)[0] is None
    table = Table(step=5, first=5)
    table.look()
    assert table.look(100.0)[0] is None


def test_the_policy_stop_ends_the_run_for_everybody_after_the_wait() -> None:
    table = Table(lost_stage=LostStage.STOP)
    table.look()
    assert not table.context.failed
    assert table.look(10.0)[0] is None
    assert table.context.failed == (
        "stage 1 has lost everybody who held it, and train.lost_stage=stop ends the run then"
    )
    assert isinstance(table.context.out[-1], Failed)


@pytest.mark.parametrize("policy", [LostStage.WAIT, LostStage.SPARE])
def test_the_policies_wait_and_spare_return_to_what_is_kept(policy: LostStage) -> None:
    table = Table(lost_stage=policy)
    table.context.stored = (0, 15)
    table.look()
    decision, _ = table.look(10.0)
    assert decision is not None and (decision.step, decision.source) == (12, (-1, -1))


def test_the_policy_rollback_returns_to_the_newest_checkpoint() -> None:
    table = Table(lost_stage=LostStage.ROLLBACK)
    table.context.stored = (0, 15)
    table.look()
    decision, text = table.look(10.0)
    assert decision is not None and (decision.step, decision.source) == (15, (0, 15))
    assert text.startswith("step 17 goes back to commit 15: ")


def test_without_a_known_checkpoint_the_store_is_looked_into_once_every_floor() -> None:
    """Who knew of one may have died with the stage."""
    table = Table(lost_stage=LostStage.ROLLBACK)
    table.look()
    looked = []
    for _ in range(5):
        table.look(5.0)
        looked.append(sum(isinstance(effect, ListCheckpoints) for effect in table.context.out))
    assert looked == [0, 1, 1, 2, 2], "at seconds 10 and 20"


USELESS = report_of(held=-1, unusable={"2/4": "a file is damaged"})


@pytest.mark.parametrize(
    ("c", "step", "resumed", "ends"),
    [
        (USELESS, 4, 2, True),
        (report_of(held=-1), 4, 2, False),
        (None, 4, 2, False),
        (report_of(held=-1, unusable={"1/4": "damaged"}), 4, 2, False),
        (USELESS, 5, 2, False),
        (USELESS, 4, -1, False),
        (report_of(held=-1, unusable={"0/4": "a file is damaged"}), 4, 0, True),
    ],
    ids=["nobody", "one may", "one says nothing", "another checkpoint", "later", "a new run", "the first history"],
)
def test_a_run_whose_checkpoint_nobody_of_a_stage_can_use_does_not_begin(
    c: Report | None, step: int, resumed: int, ends: bool
) -> None:
    members = voters(a=0, b=1, c=1)
    context = context_of(decision_of(members, step=step), first=4, resumed=resumed)
    b = report_of(held=-1, unusable={"2/4": "a file is damaged", "0/4": "a file is damaged"})
    survey = survey_of(context, b=b, **({"c": c} if c is not None else {}))
    why = Vacancy(context).cannot_begin([1], survey)
    said = "nobody of stage 1 can use the checkpoint of commit 4: a file is damaged"
    assert why == (said if ends else "")
    assert Vacancy(context).cannot_begin([], survey) == "", "no stage is lacking"
    assert Vacancy(context).cannot_begin([0], survey) == "", "a may use it"
