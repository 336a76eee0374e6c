"""Leading a step: plan it, see that every microbatch is done, let the stages average, decide.

The leader checks before it decides that each stage counted every microbatch exactly once, that the replicas of a stage
have the same average and had the same parameters; it computes the clip factor from the norm over all stages.
"""

from __future__ import annotations

import math
from collections import Counter

from actors.records import CommitRecord
from actors.steps.context import Context
from actors.steps.messages import Average, Decision, Done, Plan, Prepared, Purpose
from actors.steps.router import split_by_speed


def clip_factor(norm: float, clip: float) -> float:
    """Return what the gradient is multiplied with so that its norm is at most `clip` (0: no clipping)."""
    return min(1.0, clip / (norm + 1e-6)) if clip > 0 else 1.0


class Leader:
    """The state of the step that this participant leads."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._plan: Plan | None = None
        self._done: dict[tuple[Purpose, int], Done] = {}
        self._prepared: dict[str, Prepared] = {}
        self._since = 0.0

    def begin(self, since: float) -> None:
        """Plan the current step and send the plan to all. `since`: when the step before was decided."""
        context = self._context
        setup, closing = context.setup, context.step >= context.setup.steps
        origins = self._origins()
        train = () if closing else range(setup.microbatches)
        self._plan = Plan(
            context.step,
            context.commit,
            split_by_speed(train, origins, context.router),
            split_by_speed(range(self._validations(closing)), origins, context.router),
        )
        self._done.clear()
        self._prepared.clear()
        self._since = since
        context.send_all(self._plan)
        context.waits.start(context.now, ("done",), "done", f"step {context.step}: no microbatch came through", 4)
        self._average_when_done()

    def done(self, sender: str, message: Done) -> None:
        """A microbatch is through."""
        if self._plan is None or message.step != self._plan.step:
            return
        planned = self._plan.train if message.purpose is Purpose.TRAIN else self._plan.validate
        if message.index not in planned.get(sender, ()):
            return
        self._done.setdefault((message.purpose, message.index), message)
        self._context.waits.restart(self._context.now, ("done",))
        self._average_when_done()

    def prepared(self, sender: str, message: Prepared) -> None:
        """A participant has its stage's average; decide when all have."""
        context = self._context
        if self._plan is None or message.step != self._plan.step or context.view.member(sender) is None:
            return
        self._prepared.setdefault(sender, message)
        context.waits.done(context.now, ("prepared", sender))
        if len(self._prepared) == len(context.view.members):
            self._decide()

    def _origins(self) -> list[str]:
        """Participants with the run's corpus: those of stage 0 if there are any, else all."""
        context = self._context
        able = [member for member in context.view.members if member.peer_id in context.data_ok]
        at_source = [member.peer_id for member in able if member.stage == 0]
        return at_source or [member.peer_id for member in able]

    def _validations(self, closing: bool) -> int:
        setup, step = self._context.setup, self._context.step
        due = setup.validate_every > 0 and (closing or step % setup.validate_every == 0)
        return setup.validation_microbatches if due else 0

    def _average_when_done(self) -> None:
        plan, context = self._plan, self._context
        assert plan is not None
        planned = sum(len(part) for part in (*plan.train.values(), *plan.validate.values()))
        if len(self._done) < planned:
            return
        context.waits.done(context.now, ("done",), 4)
        counted: dict[str, list[int]] = {member.peer_id: [] for member in context.view.members}
        for (purpose, index), done in sorted(self._done.items()):
            for peer in done.route if purpose is Purpose.TRAIN else ():
                counted.setdefault(peer, []).append(index)
        for member in context.view.members:
            text = f"step {plan.step}: {context.named(member.peer_id)} did not report its stage's average"
            context.waits.start(context.now, ("prepared", member.peer_id), "prepared", text, 3, member.peer_id)
        context.send_all(Average(plan.step, plan.commit, {peer: tuple(part) for peer, part in counted.items()}))

    def _decide(self) -> None:
        context, plan = self._context, self._plan
        assert plan is not None
        wrong = self._disagreement(plan)
        if wrong:
            context.fail(f"step {plan.step} was not committed: {wrong}")
            return
        first = {stage: self._of(stage)[0] for stage in range(context.setup.stages)}
        norm = math.sqrt(math.fsum(report.sum_of_squares for report in first.values()))
        if not math.isfinite(norm):
            context.fail(f"step {plan.step} was not committed: the gradient norm is {norm}; lower optimizer.lr")
            return
        record = self._record(plan, norm)
        averages = {stage: report.average_hash for stage, report in first.items()}
        self._plan = None
        context.send_all(Decision(record, bool(plan.train), averages))

    def _of(self, stage: int) -> list[Prepared]:
        return [self._prepared[member.peer_id] for member in self._context.view.replicas(stage)]

    def _disagreement(self, plan: Plan) -> str:
        """Return what forbids the commit, empty when nothing does."""
        context = self._context
        expected = {index: 1 for part in plan.train.values() for index in part}
        for stage in range(context.setup.stages):
            reports = self._of(stage)
            names = " and ".join(member.name for member in context.view.replicas(stage))
            if len({report.parameter_hash for report in reports}) > 1:
                return f"the replicas of stage {stage} ({names}) hold different parameters"
            if len({report.average_hash for report in reports}) > 1:
                return f"the replicas of stage {stage} ({names}) have different averages"
            counts = Counter(index for report in reports for index in report.counted)
            if counts != expected:
                odd = sorted(index for index in {*counts, *expected} if counts[index] != expected.get(index, 0))
                times = ", ".join(f"{index} {counts[index]} times" for index in odd[:4])
                return f"stage {stage} ({names}) counted microbatch {times}"
        return ""

    def _record(self, plan: Plan, norm: float) -> CommitRecord:
        context, setup = self._context, self._context.setup
        trains = bool(plan.train)
        losses = {purpose: [d.loss for (kind, _), d in self._done.items() if kind is purpose] for purpose in Purpose}
        by_name = {context.name(peer): report for peer, report in self._prepared.items()}
        boundary: Counter[int] = Counter()
        for report in by_name.values():
            boundary.update(report.traffic.boundary)
        return CommitRecord(
            step=plan.step,
            commit=plan.commit + trains,
            loss=_mean(losses[Purpose.TRAIN]),
            grad_norm=norm if trains else None,
            clip_factor=clip_factor(norm, setup.clip),
            lr=setup.learning_rate(plan.step) if trains else 0.0,
            tokens=setup.microbatches * setup.tokens_per_microbatch if trains else 0,
            seconds=context.now - self._since,
            validation_loss=_mean(losses[Purpose.VALIDATE]),
            leader=context.me.name,
            counted={name: list(report.counted) for name, report in by_name.items()},
            hashes={name: report.parameter_hash for name, report in by_name.items()},
            throughput={name: report.tokens_per_s for name, report in by_name.items()},
            boundary_bytes=dict(boundary),
            averaging_bytes=sum(report.traffic.averaging for report in by_name.values()),
            control_bytes=sum(report.traffic.control for report in by_name.values()),
        )


def _mean(values: list[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None
