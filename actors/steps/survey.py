"""What the leader of a slot knows of its members: their reports, and which of them have counted what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from actors.steps.ballots import Report
from actors.steps.context import Context
from actors.steps.ledger import Ledger


class Survey:
    """Begins empty with every slot, or with what the decision before says."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.reports: dict[str, Report] = {}
        self.ledger = Ledger(context.setup.stages, self.stage_of)
        self.resetting: dict[str, int] = {}
        """Who was told to forget what it counted -> number of that order."""
        self.excluded: set[str] = set()
        """Left out of this step, because averaging got stuck with them."""
        self.apart: set[str] = set()
        """Left out as long as another replica of their stage cannot reach them."""

    def stage_of(self, peer: str) -> int | None:
        """The stage of a member."""
        member = self._context.view.member(peer)
        return member.stage if member is not None else None

    def assume(self) -> None:
        """Right after a commit: those who held the average hold the parameters, and nobody has counted anything."""
        context, decision = self._context, self._context.decision
        for peer in decision.holders:
            member = context.view.member(peer)
            if member is None:
                continue
            speed = decision.record.throughput.get(member.name, 0.0) if decision.record else 0.0
            data_ok = decision.record is not None and member.name in decision.record.sources
            self.reports[peer] = Report(member.life, context.step, {}, (), speed, data_ok, context.setup.config_hash)

    def take(self, peer: str, report: Report) -> None:
        """Count what a member holds, if that is of this step."""
        if report.held == self._context.step:
            self.ledger.report(peer, report.counted)
        else:
            self.ledger.forget(peer)

    def workers(self) -> list[str]:
        """Members that hold the step's parameters, as far as the leader knows."""
        context = self._context
        return [
            member.peer_id
            for member in context.view.members
            if member.peer_id in context.usable
            and member.peer_id not in self.excluded | self.apart
            and (report := self.reports.get(member.peer_id)) is not None
            and report.held == context.step
        ]

    def fit(self) -> list[str]:
        """Workers that could be sent work: on the last stage only with the run's corpus, for the labels."""
        last = self._context.last_stage
        return [peer for peer in self.workers() if self.stage_of(peer) != last or self.reports[peer].data_ok]

    def able(self) -> list[str]:
        """Of those, who is sent work: spares only where nobody else is there."""
        return self._context.at_work(self.fit())

    def origins(self) -> list[str]:
        """Workers with the run's corpus: those of stage 0 if there are any, else all."""
        able = [peer for peer in self.able() if self.reports[peer].data_ok]
        return [peer for peer in able if self.stage_of(peer) == 0] or able

    def routes(self, indices: Collection[int]) -> dict[int, tuple[int, ...]]:
        """By which routes microbatches may be under way: a member knows best of its own stage."""
        context = self._context
        found: dict[int, list[int]] = {}
        for own in (True, False):
            for peer, report in sorted(self.reports.items()):
                (me,) = context.view.places([peer])
                for index in report.routes.keys() & indices if report.held == context.step else ():
                    route = found.setdefault(index, [-1] * context.setup.stages)
                    for stage, hop in enumerate(report.routes[index][: len(route)]):
                        if route[stage] < 0 and (hop == me) == own:
                            route[stage] = hop
        return {index: tuple(route) for index, route in sorted(found.items())}

    def served(self) -> set[int]:
        """Stages whose parameters somebody holds who can be reached."""
        return {stage for peer in self.workers() if (stage := self.stage_of(peer)) is not None}

    def lacking(self) -> list[int]:
        """Stages that nobody can serve."""
        served = {self.stage_of(peer) for peer in self.able()}
        return [stage for stage in range(self._context.setup.stages) if stage not in served]

    def readmit(self) -> set[str]:
        """Who was left out and is needed after all: nobody else serves its stage."""
        lacking = self.lacking()
        back = {peer for peer in self.excluded if self.stage_of(peer) in lacking and peer in self.reports}
        self.excluded -= back
        return back

    def lives(self) -> dict[str, int]:
        """Numbers of the processes that reported."""
        return {peer: report.life for peer, report in self.reports.items()}

    def separate(self) -> set[str]:
        """Leave out as few as it takes that all replicas of a stage reach each other, or they cannot average.

        And whoever reaches nobody of a neighbouring stage, where another replica does.

        Of two, the one of whom the other said it: who has just died is told of by others, and tells nothing. Found
        anew from the newest reports each time, so whoever is reached again is back. Returns who is newly left out.
        """
        before, self.apart = self.apart, set()
        while pairs := self._apart():
            met = Counter(peer for pair in pairs for peer in pair)
            told = Counter(other for _, other in pairs)
            self.apart.add(max(met, key=lambda peer: (not self.reports[peer].data_ok, met[peer], told[peer], peer)))
        while (stranded := self._stranded()) is not None:
            self.apart.add(stranded)
        for peer in self.apart:
            self.ledger.forget(peer)
        for peer in (before - self.apart) & self.reports.keys():
            self.take(peer, self.reports[peer])
        return self.apart - before

    def _apart(self) -> set[tuple[str, str]]:
        """(Who says it, of whom) of workers of one stage of which one cannot reach the other."""
        workers = set(self.workers())
        return {
            (peer, other)
            for peer in workers
            for other in self.reports[peer].unreachable
            if other in workers and self.stage_of(other) == self.stage_of(peer)
        }

    def _stranded(self) -> str | None:
        """A worker that no neighbouring stage's workers are reached from, though its stage has others."""
        workers = self.workers()
        stages: dict[int, list[str]] = {}
        for peer in workers:
            stages.setdefault(self.stage_of(peer) or 0, []).append(peer)
        for stage, peers in stages.items():
            for neighbours in (stages.get(stage - 1, []), stages.get(stage + 1, [])):
                for peer in peers if len(peers) > 1 and neighbours else ():
                    if all(self._cannot_meet(peer, other) for other in neighbours):
                        return peer
        return None

    def _cannot_meet(self, peer: str, other: str) -> bool:
        return other in self.reports[peer].unreachable or peer in self.reports[other].unreachable

    def beyond(self, stages: Collection[int]) -> list[str]:
        """Members of these stages that may be there, but are not reached from here."""
        context = self._context
        return [
            member.peer_id
            for member in context.view.members
            if member.stage in stages and member.peer_id not in context.usable and member.peer_id not in context.gone
        ]

    def wrong_config(self) -> str:
        """Why these members cannot train together from the beginning, empty when they can."""
        context = self._context
        if context.step > context.setup.first or context.view.number > 1:
            return ""
        for peer, report in self.reports.items():
            if report.config_hash != context.setup.config_hash:
                return (
                    f"{context.named(peer)} was started with another run config than {context.me.name}: "
                    "give every site the same config file"
                )
        built = {peer: report for peer, report in self.reports.items() if report.held >= 0}
        if len(built) < len(context.view.members):
            return ""
        if not any(report.data_ok for report in built.values()):
            return "nobody can originate microbatches: no participant has the run's corpus and tokenizer"
        last = [peer for peer in built if self.stage_of(peer) == context.last_stage]
        if last and not any(built[peer].data_ok for peer in last):
            return "nobody can compute the loss: no participant there has the run's corpus and tokenizer"
        return ""
