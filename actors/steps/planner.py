"""What is left to do in the step under way, and the plans by which it is done, as the leader keeps them."""

from __future__ import annotations

from dataclasses import dataclass

from actors.steps.ballots import Plan
from actors.steps.context import Context
from actors.steps.deal import Deal
from actors.steps.messages import Done, Purpose
from actors.steps.survey import Survey


@dataclass(frozen=True)
class Left:
    """Microbatches that are not through."""

    train: list[int]
    validate: list[int]

    def __bool__(self) -> bool:
        return bool(self.train or self.validate)


class Planner:
    """The microbatches of one slot.

    Args:
        context: shared state.
        survey: who works in this slot, and what they have counted.
    """

    def __init__(self, context: Context, survey: Survey) -> None:
        self._context, self._survey = context, survey
        self._deal = Deal(context.router)
        self._validated: dict[int, float] = {}
        self.planned = False
        """Whether the last plan still holds."""

    @property
    def closing(self) -> bool:
        """Whether only the last validation is left."""
        return self._context.step >= self._context.setup.steps

    @property
    def validated(self) -> list[float]:
        """Losses of validation microbatches, in their order."""
        return [self._validated[index] for index in sorted(self._validated)]

    @property
    def patience(self) -> float:
        """How many times as long a plan is given now."""
        return self._deal.patience

    def left(self) -> Left:
        """What some stage has not done."""
        setup, step = self._context.setup, self._context.step
        due = setup.validate_every > 0 and (self.closing or step % setup.validate_every == 0)
        validations = range(setup.validation_microbatches if due else 0)
        train = [] if self.closing else self._survey.ledger.missing(range(setup.microbatches))
        return Left(train, [index for index in validations if index not in self._validated])

    def done(self, message: Done) -> None:
        """A microbatch is through."""
        survey = self._survey
        self._deal.moves()
        if message.purpose is Purpose.VALIDATE:
            self._validated.setdefault(message.index, message.loss)
        elif not survey.resetting.keys() & set(message.route):
            survey.ledger.through(message.index, message.loss, message.route)
            if survey.ledger.missing([message.index]):
                self.planned = False  # who counted it cannot be worked with: nobody drives it any more

    def reset_doubles(self, number: int) -> None:
        """What two replicas have counted is forgotten by one of them, as order `number` will say."""
        context, survey = self._context, self._survey
        survey.ledger.among = frozenset(survey.workers())
        for peer in survey.ledger.to_reset():
            survey.resetting[peer] = number
            survey.ledger.forget(peer)
            self.planned = False
            text = f"step {context.step}: {context.named(peer)} forgets what it counted; others counted some of it, too"
            context.note("reset", text)

    def stalled(self) -> None:
        """Nothing came through in time."""
        self.planned = False
        self._deal.stalled()

    def plan(self, number: int, left: Left) -> Plan:
        """Return the order that says who drives what is left; who drives it already goes on with it."""
        context, survey, origins = self._context, self._survey, self._survey.origins()
        context.router.learn({peer: report.tokens_per_s for peer, report in survey.reports.items()})
        driving = {index: peer for peer in origins for index in survey.reports[peer].driving}
        trains, validates = self._deal.give(left.train, left.validate, origins, driving)
        self.planned = True
        again = [index for index in left.train if index in survey.ledger.touched]
        if again:
            context.note("rerouted", f"step {context.step}: microbatches {again} go through again")
        return Plan(
            slot=context.agreement.slot,
            ballot=context.agreement.promised,
            number=number,
            step=context.step,
            train=trains,
            validate=validates,
            workers=tuple(survey.able()),
            partial={index: survey.ledger.holders(index) for index in again},
            routes=survey.routes(left.train),
            reset=tuple(sorted(survey.resetting)),
        )
