"""A stage that nobody holds any more, and the commit that the run can return to. Pure functions."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from actors.steps.assignment import may_have
from actors.steps.ballots import Decision
from actors.steps.context import Context
from actors.steps.survey import Survey
from actors.steps.view import Voter
from actors.steps.waiting_room import WaitingRoom


def lost_stages(context: Context, survey: Survey, lacking: Collection[int]) -> list[int]:
    """Of the stages that nobody serves now, those whose parameters nobody can have any more.

    Somebody can who was not heard of since it was cut off or stopped, who is left out of this step, or who has the
    commit on its disk.
    """
    return [
        stage
        for stage in lacking
        if not any(_may_hold(context, survey, member) for member in context.view.replicas(stage))
    ]


def _may_hold(context: Context, survey: Survey, member: Voter) -> bool:
    peer, report = member.peer_id, survey.reports.get(member.peer_id)
    if peer in context.gone:
        return False
    if peer not in context.usable or report is None:
        return True
    return report.held == context.step or context.step in report.kept


def kept_commits(context: Context, survey: Survey, waiting: WaitingRoom) -> dict[int, dict[int, set[str]]]:
    """Stage -> commit -> who is here and can return to it by itself, with a vote or without."""
    found: dict[int, dict[int, set[str]]] = {stage: {} for stage in range(context.setup.stages)}
    for member in context.view.members:
        report = survey.reports.get(member.peer_id)
        for commit in report.kept if report is not None and member.peer_id in context.usable else ():
            found[member.stage].setdefault(commit, set()).add(member.peer_id)
    for peer, join in waiting.joiners.items():
        here = peer in context.usable and peer not in context.gone and context.view.member(peer) is None
        if here and join.report.era == len(context.decision.returns) and may_have(context, peer, join.stage):
            for commit in join.report.kept:
                found[join.stage].setdefault(commit, set()).add(peer)
    return found


def return_decision(
    context: Context, survey: Survey, waiting: WaitingRoom, lost: Collection[int]
) -> tuple[Decision | None, str]:
    """The return to the newest commit that every stage has kept, or None and what is lacking for it."""
    kept = kept_commits(context, survey, waiting)
    common = set.intersection(*({commit for commit in kept[stage] if commit <= context.step} for stage in kept))
    if not common:
        return None, _lacking(context, kept)
    commit, decision, view = max(common), context.decision, context.view
    members = {member.peer_id: member for member in view.members}
    names = {member.name for member in view.members}
    for stage in lost:
        for peer in sorted(kept[stage][commit] - members.keys()):
            join = waiting.joiners[peer]
            if join.name not in names:
                members[peer] = Voter(peer, join.report.life, join.name, stage)
                names.add(join.name)
    after = tuple(sorted(members.values()))
    proposal = replace(
        decision,
        slot=decision.slot + 1,
        view_number=view.number + (after != view.members),
        members=after,
        step=commit,
        record=None,
        averages={},
        holders=(),
        returns=(*decision.returns, (context.step, commit)),
    )
    names_lost = ", ".join(str(stage) for stage in lost)
    text = f"nobody holds stage {names_lost} any more; {context.step - commit} steps are trained again"
    return proposal, text


def _lacking(context: Context, kept: dict[int, dict[int, set[str]]]) -> str:
    """For a person: who has to come back."""
    none = [stage for stage, commits in kept.items() if not commits]
    if none:
        return f"nobody who is here has kept a state of stage {', '.join(map(str, none))}"
    return "there is no commit that participants of every stage have kept"
