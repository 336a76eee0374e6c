"""Stages that nobody can serve: who is waited for, and what the policy says when nobody can have them any more."""

from __future__ import annotations

import math
from collections.abc import Sequence

from actors.steps.ballots import Decision
from actors.steps.context import Context, LostStage
from actors.steps.effects import ListCheckpoints
from actors.steps.returning import lost_stages, return_decision, rollback_decision
from actors.steps.survey import Survey
from actors.steps.waiting_room import WaitingRoom


class Vacancy:
    """As the leader of a slot sees it."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._since = math.inf
        """When it was first seen that nobody has a stage any more."""

    def reset(self) -> None:
        """Another slot, or another leader."""
        self._since = math.inf

    def look(self, lacking: Sequence[int], survey: Survey, waiting: WaitingRoom) -> tuple[Decision | None, str]:
        """What is to be proposed, or None; and what a person should read. May end the run, where the policy says so."""
        context, setup = self._context, self._context.setup
        why = f"nobody who can be reached holds commit {context.step} of stage {', '.join(map(str, lacking))}"
        lost = lost_stages(context, survey, lacking) if context.step > setup.first else []
        if not lost:
            self._since = math.inf
            return None, why
        self._since = min(self._since, context.now)
        left = self._since + setup.floor_s - context.now
        if left > 0:
            context.waits.after(context.now, ("lost",), left, "")
            return None, why
        stages = ", ".join(map(str, lost))
        if setup.lost_stage is LostStage.STOP:
            context.fail(f"stage {stages} has lost everybody who held it, and train.lost_stage=stop ends the run then")
            return None, why
        make = rollback_decision if setup.lost_stage is LostStage.ROLLBACK else return_decision
        decision, text = make(context, survey, waiting, lost)
        if decision is not None:
            return decision, f"step {context.step} goes back to commit {decision.step}: {text}"
        if setup.lost_stage is LostStage.ROLLBACK and not context.waits.waiting(("lost",)):
            context.waits.after(context.now, ("lost",), setup.floor_s, "")
            context.out.append(ListCheckpoints())  # whoever knew of one may have died with the stage
        return None, f"{why}, and everybody who did is gone: {text}"

    def cannot_begin(self, lacking: Sequence[int], survey: Survey) -> str:
        """Why a run cannot begin with its checkpoint: nobody of a stage can use it; empty as long as somebody may."""
        context = self._context
        begins = context.step == context.setup.first and context.setup.resumed >= 0
        place = f"{context.setup.resumed}/{context.setup.first}"
        for stage in lacking if begins else ():
            reports = [survey.reports.get(member.peer_id) for member in context.view.replicas(stage)]
            reasons = [report.unusable.get(place, "") for report in reports if report is not None]
            if reasons and all(reasons) and len(reasons) == len(reports):
                return f"nobody of stage {stage} can use the checkpoint of commit {context.step}: {reasons[0]}"
        return ""
