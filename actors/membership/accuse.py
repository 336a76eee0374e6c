"""From a failed probe to a verdict: suspicion, confirmation, refutation (SWIM, Lifeguard)."""

from __future__ import annotations

import math
from collections.abc import Callable

from actors.membership.context import Context
from actors.membership.messages import Gossip
from actors.membership.statements import Accusation, Evidence, Verdict
from actors.membership.suspicion import Suspicion
from actors.membership.table import Gone


class Court:
    """Suspicions of others, until they are refuted or end in a verdict.

    Args:
        context: shared state.
        look: called with a member that should be probed now.
        call: called with a member that gets the last ping before the verdict.
        last_answer: when anybody answered a probe of ours last.
        buried: called with a member that is gone.
    """

    def __init__(
        self,
        context: Context,
        look: Callable[[str], bool],
        call: Callable[[str], None],
        last_answer: Callable[[], float],
        buried: Callable[[str], None],
    ) -> None:
        self._context = context
        self._look, self._call, self._last_answer, self._buried = look, call, last_answer, buried
        self._due: float | None = math.inf
        """Earliest deadline; None when it has to be computed again."""

    def deadline(self) -> float:
        """When `due` has to be called."""
        if self._due is None:
            self._due = min((self._wake(each) for each in self._context.suspicions.values()), default=math.inf)
        return self._due

    def excuse(self, stall: float) -> None:
        """We did not run for so long."""
        for suspicion in self._context.suspicions.values():
            suspicion.since += stall
            suspicion.deadline += stall
        self._due = None

    def due(self) -> None:
        """Call those whose time is nearly over; judge, or look, where it is over."""
        now = self._context.now
        if now < self.deadline():
            return
        for subject, suspicion in list(self._context.suspicions.items()):
            if now < self._wake(suspicion):
                continue
            if suspicion.mine and not suspicion.called:
                suspicion.called = True
                self._call(subject)
            if now >= suspicion.deadline:
                self._time_over(subject, suspicion)
        self._due = None

    def _wake(self, suspicion: Suspicion) -> float:
        if suspicion.mine and not suspicion.called:
            return suspicion.deadline - min(self._context.profile.timeout_s, self._context.profile.refused_s / 2)
        return suspicion.deadline

    def _time_over(self, subject: str, suspicion: Suspicion) -> None:
        if suspicion.mine:
            self._convict(subject, suspicion)
        else:
            suspicion.waived, suspicion.deadline = True, math.inf
            self._look(subject)

    # --- for and against -----------------------------------------------------------------------------------------

    def accuse(self, subject: str, evidence: Evidence, hinted: bool) -> None:
        """Our own probe of a member failed."""
        context = self._context
        if not context.table.is_live(subject):
            return
        incarnation = context.table.records[subject].incarnation
        accusation = context.notary.accusation(subject, incarnation, Verdict.SUSPECT, evidence, context.me)
        suspicion = self._suspicion(accusation)
        suspicion.hinted |= hinted
        suspicion.mine, suspicion.waived = True, False
        self._count(suspicion, accusation)
        suspicion.deadline = self._deadline(suspicion)
        self._due = None

    def accused(self, accusation: Accusation) -> None:
        """Somebody suspects somebody else than us."""
        context = self._context
        if accusation.incarnation < context.table.records[accusation.subject].incarnation:
            context.refused["stale"] += 1
            return
        if not context.table.is_live(accusation.subject):
            return
        fresh = accusation.subject not in context.suspicions
        suspicion = self._suspicion(accusation)
        self._count(suspicion, accusation)
        lookers = 3 * (1 + context.profile.confirmations)
        if fresh and context.rng.random() * context.members < lookers:
            self._look(accusation.subject)

    def _suspicion(self, accusation: Accusation) -> Suspicion:
        context, subject = self._context, accusation.subject
        suspicion = context.suspicions.get(subject)
        if suspicion is None or suspicion.incarnation < accusation.incarnation:
            suspicion = context.suspicions[subject] = Suspicion(accusation, context.now)
            context.changed(subject, "suspect")
        return suspicion

    def _count(self, suspicion: Suspicion, accusation: Accusation) -> None:
        """Take an accusation into account, and pass it on while it shortens the time."""
        context = self._context
        needed = 1 + context.profile.confirmations
        enough = len(suspicion.accusers) >= needed and accusation.evidence is Evidence.SILENT
        if enough and accusation.accuser != context.me:
            context.broadcasts.heard(accusation.subject, accusation.accuser)
            return
        if suspicion.add(accusation.accuser, accusation.evidence):
            most = needed if accusation.evidence is Evidence.SILENT else 2 * needed
            if len(suspicion.accusers) <= most:
                # The first has to reach those who look; confirmations only a few of those who judge.
                known = context.profile.least_told // (2 if len(suspicion.accusers) == 1 else 4)
                context.broadcasts.add(accusation.subject, accusation.wire, accusation.accuser, known)
            suspicion.deadline = self._deadline(suspicion)
            self._due = None
        else:
            context.broadcasts.heard(accusation.subject, accusation.accuser)

    def _deadline(self, suspicion: Suspicion) -> float:
        return suspicion.since + suspicion.time(self._context.profile, self._context.members - 2)

    def heard(self, subject: str) -> None:
        """The suspect itself was heard: its time begins anew, and it is told what to refute."""
        context = self._context
        suspicion = context.suspicions.get(subject)
        if suspicion is None:
            return
        suspicion.mine = suspicion.called = suspicion.waived = False
        suspicion.since = context.now
        suspicion.deadline = context.now + context.profile.suspicion_s * context.profile.suspicion_max
        self._due = None
        if context.now - suspicion.told_at > context.profile.timeout_s:
            suspicion.told_at = context.now
            context.send(subject, Gossip((suspicion.accusation.wire,)))

    def refuted(self, subject: str, incarnation: int) -> bool:
        """A newer record of a member came; whether that ended a suspicion."""
        suspicion = self._context.suspicions.get(subject)
        if suspicion is None or incarnation <= suspicion.incarnation:
            return False
        del self._context.suspicions[subject]
        self._due = None
        return True

    # --- verdicts ------------------------------------------------------------------------------------------------

    def _convict(self, subject: str, suspicion: Suspicion) -> None:
        context, profile = self._context, self._context.profile
        alone = self._last_answer() < suspicion.since and context.members > 2
        if alone and Evidence.REFUSED not in suspicion.accusers.values():
            # Nobody answers us: the fault may be our own link, so we take all the time there is.
            suspicion.deadline = suspicion.since + profile.suspicion_s * profile.suspicion_max
            if context.now < suspicion.deadline:
                return
        refused = suspicion.accusers.get(context.me) is Evidence.REFUSED
        evidence = Evidence.REFUSED if refused else Evidence.SILENT
        verdict = context.notary.accusation(subject, suspicion.incarnation, Verdict.DEAD, evidence, context.me)
        self.bury(verdict)

    def bury(self, verdict: Accusation) -> None:
        """A member is dead, by our own or somebody else's verdict."""
        context, subject = self._context, verdict.subject
        record = context.table.records[subject]
        gone = context.table.gone.get(subject)
        if gone is not None and gone.accusation is not None and gone.incarnation == verdict.incarnation:
            context.broadcasts.heard(subject)
        if verdict.incarnation < record.incarnation:
            context.refused["stale"] += 1
            return
        if not context.table.is_live(subject):
            return
        context.table.bury(subject, Gone(context.now, verdict.incarnation, verdict))
        self._end(subject, verdict.wire)
        context.changed(subject, "dead")
        why = "its machine refuses connections" if verdict.evidence is Evidence.REFUSED else "it is silent"
        judge = "we" if verdict.accuser == context.me else context.named(verdict.accuser)
        context.note(
            "dead", subject, f"{record.name} is dead: {why} ({judge} judged, incarnation {verdict.incarnation})"
        )

    def left(self, subject: str, wire: bytes, incarnation: int) -> None:
        """A member said goodbye."""
        context = self._context
        context.table.bury(subject, Gone(context.now, incarnation, None))
        self._end(subject, wire)
        context.changed(subject, "left")
        context.note("left", subject, f"{context.named(subject)} left")

    def _end(self, subject: str, wire: bytes) -> None:
        self._context.suspicions.pop(subject, None)
        self._due = None
        self._context.broadcasts.add(subject, wire)
        self._buried(subject)
