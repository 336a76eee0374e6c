"""An averaging round as its leader sees it: who has reported, who keeps it up, and what follows from the reports."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from actors.steps.ballots import Average, Decision, Prepared, Stuck
from actors.steps.context import Context
from actors.steps.decide import commit_record, disagreement, dissenters, step_decision
from actors.steps.survey import Survey

MOST_WRONG = 2
"""So often a step is averaged anew when the replicas' reports do not fit together, before the run ends."""
MOST_STUCK = 2
"""Who keeps averaging up so often in a step is left out of it."""


@dataclass(frozen=True)
class Outcome:
    """What follows when all have reported."""

    decision: Decision | None = None
    """The commit; None where there can be none."""
    wrong: str = ""
    """Why averaging has to begin anew."""
    fatal: bool = False
    """It has been wrong too often, or cannot get right: the run ends."""
    odd: dict[str, str] | None = None
    """Who holds other parameters than the rest of its stage -> their hash."""


class Round:
    """The rounds of one slot, one after the other.

    Args:
        context: shared state.
        survey: who works in this slot, and what they have counted.
    """

    def __init__(self, context: Context, survey: Survey) -> None:
        self._context, self._survey = context, survey
        self._order: Average | None = None
        self._reports: dict[str, Prepared] = {}
        self._stuck: Counter[str] = Counter()
        """Who kept averaging up -> how often in this slot."""
        self._wrong = 0
        """How often the reports did not fit together in this slot."""
        self._counted_at = 0.0
        """When every stage had counted every microbatch."""

    def begin(self, number: int) -> Average:
        """Return the order that calls for the average of all that was counted."""
        context, survey = self._context, self._survey
        workers = survey.workers()
        groups = {
            stage: tuple(peer for peer in workers if survey.stage_of(peer) == stage)
            for stage in range(context.setup.stages)
        }
        counted = {peer: tuple(sorted(survey.ledger.counted.get(peer, {}))) for peer in workers}
        self._reports, self._counted_at = {}, context.now
        agreement = context.agreement
        self._order = Average(agreement.slot, agreement.promised, number, context.step, groups, counted)
        return self._order

    def stop(self) -> None:
        """It is broken off, or over."""
        self._order, self._reports = None, {}

    def concerns(self, sender: str, message: Prepared | Stuck) -> bool:
        """Whether one who averages tells of the round under way; other ballots have the same numbers."""
        order = self._order
        wanted = (order.slot, order.ballot, order.number) if order is not None else None
        return sender in self.members and (message.slot, message.ballot, message.number) == wanted

    @property
    def members(self) -> set[str]:
        """Who averages."""
        return {peer for group in self._order.groups.values() for peer in group} if self._order is not None else set()

    def expected(self, peer: str) -> set[int]:
        """What a participant must have counted."""
        return set(self._order.counted.get(peer, ())) if self._order is not None else set()

    def take(self, sender: str, message: Prepared) -> bool:
        """Keep a report; return whether all are there now."""
        self._reports[sender] = message
        return self.members <= self._reports.keys()

    def stuck(self, sender: str, message: Stuck) -> str:
        """It does not get on, as `sender` says; return who has kept it up too often, or nothing."""
        self._stuck.update(sorted(set(message.missing)))  # whom it finds first must not depend on hashes of names
        worst, times = self._stuck.most_common(1)[0] if self._stuck else (sender, 1)
        return worst if times >= MOST_STUCK else ""

    def late(self) -> list[str]:
        """It took too long: return who has not reported."""
        groups = self._order.groups.values() if self._order is not None else ()
        late = [peer for group in groups for peer in group if peer not in self._reports]
        self._stuck.update(late)
        return late

    def hopeless(self, peer: str) -> bool:
        """Whether somebody has kept averaging up too often."""
        return self._stuck[peer] >= MOST_STUCK

    def outcome(self, validated: Sequence[float], *, closing: bool) -> Outcome:
        """What follows from the reports of all.

        Args:
            validated: losses of the validation microbatches.
            closing: nothing was trained in this step.
        """
        context, survey, order, reports = self._context, self._survey, self._order, self._reports
        assert order is not None
        if odd := dissenters(order, reports):
            return Outcome(odd={peer: reports[peer].parameter_hash for peer in sorted(odd)})
        wrong = disagreement(context, order, reports, closing=closing)
        norm = math.sqrt(math.fsum(reports[group[0]].sum_of_squares for group in order.groups.values()))
        if not wrong and not math.isfinite(norm):
            wrong = f"the gradient norm is {norm}; lower optimizer.lr"
        if wrong:
            self._wrong += 1
            return Outcome(wrong=wrong, fatal=self._wrong > MOST_WRONG)
        losses = [] if closing else [survey.ledger.loss(index) for index in range(context.setup.microbatches)]
        sources = [context.name(peer) for peer in survey.workers() if survey.reports[peer].data_ok]
        record = commit_record(context, reports, norm, losses, validated, sources, self._counted_at)
        return Outcome(step_decision(context, order, reports, record, closing=closing))
