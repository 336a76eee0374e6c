"""A stage that nobody holds any more, and the commit that the run can return to. Pure functions."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from actors.steps.assignment import may_have
from actors.steps.ballots import Decision, Join
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
    return report.held == context.step or context.step in report.kept or report.restoring


def kept_commits(context: Context, survey: Survey, waiting: WaitingRoom) -> dict[int, dict[int, set[str]]]:
    """Stage -> commit -> who is here and can return to it by itself, with a vote or without."""
    found: dict[int, dict[int, set[str]]] = {stage: {} for stage in range(context.setup.stages)}
    for member in context.view.members:
        report = survey.reports.get(member.peer_id)
        for commit in report.kept if report is not None and member.peer_id in context.usable else ():
            found[member.stage].setdefault(commit, set()).add(member.peer_id)
    for peer, join in waiting.joiners.items():
        if _may_enter(context, peer, join):
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
    commit = max(common)
    joiners = {stage: kept[stage][commit] for stage in lost}
    return _goes_back(context, waiting, joiners, commit, (-1, -1))


def rollback_decision(
    context: Context, survey: Survey, waiting: WaitingRoom, lost: Collection[int]
) -> tuple[Decision | None, str]:
    """The return to the newest checkpoint, or None and what is lacking for it."""
    known = [context.stored, *context.listed, *(report.stored for report in survey.reports.values())]
    usable = {place for place in known if context.may_exist(place) and place[1] <= context.step}
    if context.setup.resumed >= 0:
        usable.add((context.setup.resumed, context.setup.first))
    for report in survey.reports.values():
        usable -= {place for place in usable if f"{place[0]}/{place[1]}" in report.unusable}
    if not usable:
        return None, "there is no checkpoint that all can use"
    history, commit = max(usable)
    found: dict[int, set[str]] = {stage: set() for stage in lost}
    for member in context.view.members:
        if member.stage in found and member.peer_id in context.usable and member.peer_id in survey.reports:
            found[member.stage].add(member.peer_id)
    for peer, join in waiting.joiners.items():
        if join.stage in found and _may_enter(context, peer, join):
            found[join.stage].add(peer)
    if empty := [str(stage) for stage, peers in found.items() if not peers]:
        return None, f"nobody is here who could take up stage {', '.join(empty)} from the checkpoint of commit {commit}"
    return _goes_back(context, waiting, found, commit, (history, commit))


def _goes_back(
    context: Context, waiting: WaitingRoom, entering: dict[int, set[str]], commit: int, source: tuple[int, int]
) -> tuple[Decision, str]:
    """The decision, with those who take up the lost stages in the view."""
    decision, view = context.decision, context.view
    members = {member.peer_id: member for member in view.members}
    names = {member.name for member in view.members}
    for stage, peers in entering.items():
        for peer in sorted(peers - members.keys()):
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
        source=source,
        stored=context.stored if context.stored[1] <= commit else source,
        returns=(*decision.returns, (context.step, commit)),
    )
    stages = ", ".join(str(stage) for stage in entering)
    return proposal, f"nobody holds stage {stages} any more; {context.step - commit} steps are trained again"


def _may_enter(context: Context, peer: str, join: Join) -> bool:
    here = peer in context.usable and peer not in context.gone and context.view.member(peer) is None
    return here and join.report.era == len(context.decision.returns) and may_have(context, peer, join.stage)


def _lacking(context: Context, kept: dict[int, dict[int, set[str]]]) -> str:
    """For a person: who has to come back."""
    none = [stage for stage, commits in kept.items() if not commits]
    if none:
        return f"nobody who is here has kept a state of stage {', '.join(map(str, none))}"
    return "there is no commit that participants of every stage have kept"
