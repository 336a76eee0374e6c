"""Going on from a decision: to the next step, back to an earlier commit, or on in the same step with another view."""

from __future__ import annotations

from actors.records import CommitRecord
from actors.steps.averaging import Averaging
from actors.steps.ballots import Decision
from actors.steps.change import describe_change
from actors.steps.context import Context
from actors.steps.donor import Donor
from actors.steps.effects import Committed
from actors.steps.eras import Returns
from actors.steps.holdings import Holdings
from actors.steps.hop import Hop
from actors.steps.origin import Origin
from actors.steps.quorum import Quorum
from actors.steps.saving import Saver
from actors.steps.slots import Slots
from actors.steps.tenure import Tenure


class Transition:
    """Tells all parts, in the right order, what a decision means to them.

    Args:
        context: shared state.
        slots: begins the next slot.
        quorum: forgets which votes were dismissed.
        hop: serves the own stage.
        origin: drives microbatches.
        averaging: holds the newest average.
        holdings: applies it.
        saver: writes checkpoints.
        donor: gives what is held here.
        tenure: takes another stage.
    """

    def __init__(
        self,
        context: Context,
        slots: Slots,
        quorum: Quorum,
        hop: Hop,
        origin: Origin,
        averaging: Averaging,
        holdings: Holdings,
        saver: Saver,
        donor: Donor,
        tenure: Tenure,
    ) -> None:
        self._context, self._slots, self._quorum = context, slots, quorum
        self._hop, self._origin, self._averaging = hop, origin, averaging
        self._holdings, self._saver, self._donor, self._tenure = holdings, saver, donor, tenure

    def take(self, decision: Decision) -> None:
        """A decision was made, here or elsewhere: go on from it, unless a newer one is known."""
        context, known, view = self._context, self._context.decision, self._context.view
        earlier = (len(decision.returns), decision.step) < (len(known.returns), known.step)
        if not decision.plausible(context.setup.stages) or earlier:
            context.ignore("a decision that cannot be")
            return
        if context.finished or not context.agreement.decided(decision):
            return
        if context.may_exist(decision.stored):
            context.stored = max(context.stored, decision.stored)
        self._quorum.decided(view)
        if decision.record is not None:
            self._committed(decision, decision.record)
        self._note_change(known, decision)
        if decision.finished:
            self._slots.close()
            return
        if decision.returns != known.returns and known.step >= 0:
            self._return(decision, known.returns)
        elif decision.step != known.step:
            self._next_step(decision, known.step)
        else:
            self._averaging.stop()
            self._hop.thaw()
        self._donor.drop(set(decision.holders) if decision.record is not None else set())
        self._tenure.decided(decision)
        self._slots.begin()
        if decision.members != known.members:
            self._saver.peers_changed()

    def _committed(self, decision: Decision, record: CommitRecord) -> None:
        context = self._context
        context.decided_at = context.now
        by_name = {member.name: member.peer_id for member in decision.members}
        context.router.learn({by_name[name]: v for name, v in record.throughput.items() if name in by_name})
        context.out.append(Committed(record))

    def _note_change(self, known: Decision, decision: Decision) -> None:
        """Of members or of their stages, if there is one."""
        context = self._context
        if decision.members != known.members or decision.assigned != known.assigned:
            context.changed_step, context.changed_at = decision.step, context.now
        if decision.view_number != known.view_number and known.view_number > 0:
            change = describe_change(known.members, decision.members)
            context.note("view", f"view {decision.view_number} of {len(decision.members)} members: {change}")

    def _next_step(self, decision: Decision, before: int) -> None:
        """The order matters: what was counted and averaged is dropped, and only then is the update asked for."""
        self._hop.begin_step()
        self._origin.begin_step()
        self._holdings.decided(decision, before)
        self._averaging.begin_step()
        able = set(decision.holders) - self._without_corpus(decision)
        self._context.workers = frozenset(self._context.at_work(able))
        self._saver.decided(decision)
        self._context.plan, self._context.drivers = (0, 0, 0), {}

    def _return(self, decision: Decision, before: Returns) -> None:
        """The run goes on from an earlier commit; what was under way is of the era that is given up."""
        context = self._context
        step, commit = decision.returns[-1]
        detail = f"the run gives up step {step} and returns to commit {commit}: {step - commit} steps are trained again"
        context.note("returned", detail)
        self._hop.begin_step()
        self._origin.begin_step()
        self._averaging.begin_step()
        self._hop.thaw()
        context.workers = frozenset()
        context.plan, context.drivers = (0, 0, 0), {}
        context.decided_at = context.now
        self._holdings.returned(before)

    def _without_corpus(self, decision: Decision) -> set[str]:
        """Of the last stage: they compute no losses."""
        record, last = decision.record, self._context.last_stage
        if record is None:
            return set()
        return {m.peer_id for m in decision.members if m.stage == last and m.name not in record.sources}
