"""Leading a slot: find out what members hold, see that every microbatch is counted once a stage, average, decide.

    gather ──a majority promised, the rest answered or is late──> work ──all counted──> average ──all prepared──> vote
       │                                                          ^  │                     │
       └── a vote was given already: vote for the same            └──┴─ a loss, a mismatch ┘

Whatever is lost, the way back is the same: ask what is held, plan what is missing. The leader proposes a change of view
as soon as a member is gone, or somebody who holds the step's parameters wants to join.
"""

from __future__ import annotations

import enum
import math
from collections import Counter

from actors.steps.ballots import (
    Average,
    Beat,
    Decided,
    Decision,
    Depart,
    Enlist,
    Holding,
    Join,
    Lead,
    Plan,
    Prepared,
    Promise,
    Propose,
    Stuck,
    Vouch,
)
from actors.steps.change import next_view
from actors.steps.context import Context
from actors.steps.deal import Deal
from actors.steps.decide import commit_record, disagreement, dissenters, step_decision
from actors.steps.messages import Differs, Done, Purpose
from actors.steps.saving import Saver
from actors.steps.survey import Survey
from actors.steps.vacancy import Vacancy
from actors.steps.waiting_room import WaitingRoom

RESIGN_BEATS = 4
"""A leader who cannot reach somebody who is needed gives up after so many beats."""
MOST_ORDERS = 1 << 32
"""In one slot, of one process."""
MOST_WRONG = 2
"""So often a step is averaged anew when the replicas' reports do not fit together, before the run ends."""
LAST_SAVE_FLOORS = 30.0
"""So many floors of patience the run's last checkpoint may take."""
START_FLOORS = 6.0
"""So many floors of patience everybody has to build its stage before the first step begins without the rest."""


class Stage(enum.Enum):
    """Where the leader is."""

    IDLE = "idle"
    GATHER = "gather"
    WORK = "work"
    AVERAGE = "average"
    VOTE = "vote"


class Leader:
    """The slot that this participant leads."""

    def __init__(self, context: Context, saver: Saver) -> None:
        self._context, self._saver = context, saver
        self.at = Stage.IDLE
        self._waiting = WaitingRoom(context)
        self._deal = Deal(context.router)
        self._survey = Survey(context)
        self._validated: dict[int, float] = {}
        self._number = self._first
        self._order: Plan | Average | Propose | Lead | None = None
        self._planned = False
        """Whether the last plan still holds."""
        self._stuck: Counter[str] = Counter()
        self._wrong = 0
        """How often the replicas' reports did not fit together in this slot."""
        self._prepared: dict[str, Prepared] = {}
        self._counted_at = 0.0
        """When every stage had counted every microbatch."""
        self.paused = ""
        self._paused_beats = 0
        self._vacancy = Vacancy(context)
        self.resigned_at = -math.inf
        """When it gave up leading, so that another one has the time to begin."""

    # Beginning and ending

    @property
    def _first(self) -> int:
        """Orders have higher numbers: those of earlier processes of this life may have had the same ballot."""
        return self._context.starts * MOST_ORDERS

    def begin_slot(self, ballot: int | None) -> None:
        """A new slot: lead it when `ballot` is ours."""
        context = self._context
        self.stop()
        self._waiting.begin_slot()
        if ballot is None or not context.agreement.votes:
            return
        fresh = ballot == 0 and context.decision.record is not None
        lead = context.agreement.run(ballot)
        self._number = self._first
        self._validated, self._deal = {}, Deal(context.router)
        self._stuck, self._wrong = Counter(), 0
        self._survey = Survey(context)
        self._beat_later()
        if fresh:
            self._survey.assume()
            self.at = Stage.WORK
            self.consider()
            return
        self.at = Stage.GATHER
        if ballot > 0:
            context.note("leader", f"{context.me.name} leads step {context.step} from now on (ballot {ballot})")
        self._order = lead
        text = f"step {context.step}: not enough members answered {context.me.name}, who wants to lead"
        context.waits.after(context.now, ("gather",), 2 * context.setup.beat_s, text)
        context.send_all(lead)

    def stop(self) -> None:
        """Lead no more."""
        self.at, self._order, self._planned = Stage.IDLE, None, False
        self._prepared, self._paused_beats = {}, 0
        self._vacancy.reset()
        for key in ("gather", "done", "prepared", "beat", "start", "lost", "saving"):
            self._context.waits.cancel((key,))
        self.paused = ""

    # What comes in

    def promise(self, sender: str, message: Promise) -> None:
        """Somebody lets us lead, and says what it holds."""
        context = self._context
        made = context.agreement.promise(sender, message)
        if self.at is Stage.GATHER and context.view.votes(sender, message.report.life):
            self._survey.reports[sender] = message.report
        if made or self.at is Stage.GATHER:
            self._gathered(late=False)
        elif self.at is Stage.WORK and not made:
            self.holding(sender, Holding(message.slot, message.ballot, message.report))

    def _gathered(self, *, late: bool) -> None:
        context, agreement = self._context, self._context.agreement
        if self.at is not Stage.GATHER or not agreement.won or len(self._promises()) < context.view.quorum:
            return
        expected = {m.peer_id for m in context.view.members if m.peer_id in context.usable}
        if not late and not expected <= set(self._survey.reports):
            return
        context.waits.cancel(("gather",))
        adopted = agreement.adopted()
        if adopted is not None:
            context.note("adopted", f"{context.me.name} proposes again what was proposed for slot {adopted.slot}")
            self._vote(adopted)
            return
        for peer, report in self._survey.reports.items():
            self._survey.take(peer, report)
        self._separate()
        self.at, self._order = Stage.WORK, None
        self.consider()

    def _promises(self) -> dict[str, Promise]:
        candidacy = self._context.agreement.candidacy
        return candidacy.promises if candidacy is not None else {}

    def holding(self, sender: str, message: Holding) -> None:
        """A member tells what it holds, unasked or because our order did not fit."""
        context, report = self._context, message.report
        if self.at is Stage.IDLE or not context.view.votes(sender, report.life):
            return
        if self.at is Stage.GATHER:
            self._survey.reports[sender] = report
            return
        before = self._known_of(sender)
        self._survey.reports[sender] = report
        if self._survey.resetting.get(sender, -1) <= report.number:
            self._survey.resetting.pop(sender, None)
        if sender not in self._survey.resetting:
            self._survey.take(sender, report)
        apart = self._separate()
        if self.at is Stage.AVERAGE and isinstance(self._order, Average):
            averaging = {peer for group in self._order.groups.values() for peer in group}
            fits = report.held == context.step and set(report.counted) == set(self._order.counted.get(sender, ()))
            if apart & averaging:
                self._break_off(f"{context.names(apart)} cannot take part")
            elif sender in averaging and not fits:
                self._break_off(f"{context.name(sender)} had counted something else than the routes say")
            else:
                return
            self.consider()
            return
        if before == self._known_of(sender) and self.at is Stage.WORK and not self.paused:
            return
        self._planned = False
        self.consider()

    def _known_of(self, peer: str) -> tuple[object, ...]:
        survey = self._survey
        return survey.workers(), survey.ledger.counted.get(peer), peer in survey.resetting

    def _separate(self) -> set[str]:
        """Replicas that cannot reach each other do not both take part."""
        apart = self._survey.separate()
        for peer in apart:
            why = "another replica of its stage cannot reach it"
            self._context.note("excluded", f"step {self._context.step}: {self._context.named(peer)} is left out: {why}")
        return apart

    def join(self, sender: str, message: Join) -> None:
        """Somebody without a vote wants one."""
        if self._waiting.enter(sender, message) and self.at is Stage.WORK:
            self.consider()

    def enlist(self, sender: str, message: Enlist) -> None:
        """Somebody wants a stage."""
        if self._waiting.enlist(sender, message) and self.at is Stage.WORK:
            self.consider()

    def depart(self, sender: str, message: Depart) -> None:
        """Somebody wants to go."""
        self._waiting.depart(sender, message)
        if self.at is Stage.WORK:
            self.consider()

    def vouched(self, message: Vouch) -> None:
        """A joiner holds the parameters of its stage."""
        self._waiting.vouch(message)
        if self.at is Stage.WORK:
            self.consider()

    def done(self, sender: str, message: Done) -> None:
        """A microbatch is through."""
        if self.at is not Stage.WORK or message.stamp != self._context.stamp:
            return
        self._context.waits.restart(self._context.now, ("done",))
        self._deal.moves()
        if message.purpose is Purpose.VALIDATE:
            self._validated.setdefault(message.index, message.loss)
        elif not self._survey.resetting.keys() & set(message.route):
            self._survey.ledger.through(message.index, message.loss, message.route)
            if self._survey.ledger.missing([message.index]):
                self._planned = False  # who counted it cannot be worked with: nobody drives it any more
        self._advance()

    def stuck(self, sender: str, message: Stuck) -> None:
        """Averaging does not get on: once more, and the second time without those who are missing."""
        context = self._context
        if self.at is not Stage.AVERAGE or not self._mine(message):
            return
        self._stuck.update(sorted(set(message.missing)))  # whom it finds first must not depend on hashes of names
        worst, times = self._stuck.most_common(1)[0] if self._stuck else (sender, 1)
        if times >= 2:
            self._exclude(worst, "it does not send its part of the average")
        self._break_off(f"{context.name(sender)} waits for {context.names(message.missing)}")
        self.consider()

    def peer_up(self, peer: str) -> None:
        """Somebody came: it may have missed the last order."""
        if self.at is not Stage.IDLE and self._order is not None and self._context.view.member(peer) is not None:
            self._context.send(peer, self._order)

    def peers_changed(self) -> None:
        """Somebody came, or went."""
        context = self._context
        for peer in [peer for peer in self._survey.reports if peer not in context.usable]:
            del self._survey.reports[peer]
            self._survey.ledger.forget(peer)
            self._survey.resetting.pop(peer, None)
            self._planned = False
            if self.at is Stage.AVERAGE:
                self._break_off(f"{context.name(peer)} cannot be reached")
        if self.at is Stage.GATHER:
            self._gathered(late=False)
        elif self.at is not Stage.IDLE:
            self._separate()
            self.consider()

    # What follows

    def consider(self) -> None:
        """Do what is to be done next."""
        context = self._context
        if self.at not in (Stage.WORK, Stage.AVERAGE):
            return
        if not context.has_majority:
            self._pause(context.why_no_majority())
            return
        idle, spent = self.at is Stage.WORK, self._planned or bool(self._survey.ledger.touched)
        change = next_view(context, self._waiting, self._survey, idle=idle, spent=spent)
        for peer in change.denied:
            self._waiting.deny(peer, "no stage fits into your memory and the share of the model that you may hold")
        if change.decision is not None:
            for kind, detail in change.notes if context.agreement.leading else ():
                context.note(kind, detail)
            self._vote(change.decision)
            return
        if self.at is Stage.AVERAGE:
            return
        if back := self._survey.readmit():
            self._planned = False
            context.note("readmitted", f"step {context.step}: {context.names(back)} is needed after all")
        lacking = self._survey.lacking()
        wrong = self._survey.wrong_config() or self._vacancy.cannot_begin(lacking, self._survey)
        if wrong:
            context.fail(wrong)
        elif context.step == context.setup.first and self._awaited_at_start():
            self._pause("", quiet=True)
            context.waits.after(context.now, ("start",), context.setup.floor_s, "")
        elif lacking:
            self._lacking(lacking)
        elif not self._survey.origins():
            self._pause("nobody who can be reached has the run's corpus and tokenizer")
        else:
            self._resume()
            self._advance()

    def _lacking(self, lacking: list[int]) -> None:
        """Nobody can serve some stages: wait for whoever may hold them, and do what the policy says when nobody may."""
        decision, text = self._vacancy.look(lacking, self._survey, self._waiting)
        if decision is not None and self._context.agreement.leading:
            self._context.note("returning", text)
            self._vote(decision)
        elif not self._context.failed:
            self._pause(text)

    def _awaited_at_start(self) -> bool:
        """In the first step everybody gets the time to build its stage."""
        context = self._context
        building = [
            m for m in context.view.members if m.peer_id in context.usable and m.peer_id not in self._survey.workers()
        ]
        return bool(building) and context.now - context.decided_at < START_FLOORS * context.setup.floor_s

    def _pause(self, why: str, *, quiet: bool = False) -> None:
        context = self._context
        if why != self.paused and not quiet:
            context.note("paused", f"step {context.step} pauses: {why}")
        self.paused = why or "starting"
        context.waits.cancel(("done",))

    def _resume(self) -> None:
        if self.paused and self.paused != "starting":
            self._context.note("resumed", f"step {self._context.step} goes on")
        if self.paused:
            self.paused, self._planned = "", False

    def _advance(self) -> None:
        """Plan what is missing; average when nothing is."""
        context = self._context
        if self.paused or self.at is not Stage.WORK:
            return
        self._survey.ledger.among = frozenset(self._survey.workers())
        for peer in self._survey.ledger.to_reset():
            self._survey.resetting[peer] = self._number + 1
            self._survey.ledger.forget(peer)
            self._planned = False
            text = f"step {context.step}: {context.named(peer)} forgets what it counted; others counted some of it, too"
            context.note("reset", text)
        train = [] if self.closing else self._survey.ledger.missing(range(context.setup.microbatches))
        validate = [index for index in range(self._validations()) if index not in self._validated]
        if not train and not validate and not self._survey.resetting:
            if self.closing and not self._last_is_saved():
                return
            self._begin_average()
        elif not self._planned:
            self._plan(train, validate)

    def _last_is_saved(self) -> bool:
        """Whether the run's last checkpoint is there, or was waited for long enough: the end of the run ends it."""
        context = self._context
        left = context.decided_at + LAST_SAVE_FLOORS * context.setup.floor_s - context.now
        if self._saver.settled or left <= 0 or context.step <= context.setup.first:
            return True
        context.waits.after(context.now, ("saving",), left, "")
        return False

    @property
    def closing(self) -> bool:
        """Whether only the last validation is left."""
        return self._context.step >= self._context.setup.steps

    def _validations(self) -> int:
        setup, step = self._context.setup, self._context.step
        due = setup.validate_every > 0 and (self.closing or step % setup.validate_every == 0)
        return setup.validation_microbatches if due else 0

    def _plan(self, train: list[int], validate: list[int]) -> None:
        """Tell all who drives what; who drives it already goes on with it."""
        context, origins = self._context, self._survey.origins()
        context.router.learn({peer: report.tokens_per_s for peer, report in self._survey.reports.items()})
        driving = {index: peer for peer in origins for index in self._survey.reports[peer].driving}
        trains, validates = self._deal.give(train, validate, origins, driving)
        self._planned = True
        again = [index for index in train if index in self._survey.ledger.touched]
        if again:
            context.note("rerouted", f"step {context.step}: microbatches {again} go through again")
        self._say(
            Plan(
                context.agreement.slot,
                context.agreement.promised,
                self._next(),
                context.step,
                trains,
                validates,
                tuple(self._survey.able()),
                {index: self._survey.ledger.holders(index) for index in again},
                self._survey.routes(train),
                tuple(sorted(self._survey.resetting)),
            )
        )
        text = f"step {context.step}: no microbatch came through"
        context.waits.start(context.now, ("done",), "done", text, 4, times=self._deal.patience)

    def _begin_average(self) -> None:
        context = self._context
        context.waits.done(context.now, ("done",), 4)
        workers = self._survey.workers()
        groups = {
            stage: tuple(peer for peer in workers if self._survey.stage_of(peer) == stage)
            for stage in range(context.setup.stages)
        }
        counted = {peer: tuple(sorted(self._survey.ledger.counted.get(peer, {}))) for peer in workers}
        self.at, self._prepared, self._counted_at = Stage.AVERAGE, {}, context.now
        agreement = context.agreement
        self._say(Average(agreement.slot, agreement.promised, self._next(), context.step, groups, counted))
        text = f"step {context.step}: not all members reported their stage's average"
        context.waits.start(context.now, ("prepared",), "prepared", text, 3)

    def prepared(self, sender: str, message: Prepared) -> None:
        """A participant has its stage's average; propose when all have."""
        context, order = self._context, self._order
        if self.at is not Stage.AVERAGE or not isinstance(order, Average) or not self._mine(message):
            return
        if message.sum_of_squares < 0:
            context.ignore("a sum of squares that is none")
            return
        self._prepared[sender] = message
        context.waits.restart(context.now, ("prepared",))
        if any(peer not in self._prepared for group in order.groups.values() for peer in group):
            return
        context.waits.done(context.now, ("prepared",), 3)
        if odd := dissenters(order, self._prepared):
            self._send_away(odd)
            return
        wrong = disagreement(context, order, self._prepared, closing=self.closing)
        norm = math.sqrt(math.fsum(self._prepared[group[0]].sum_of_squares for group in order.groups.values()))
        if not wrong and not math.isfinite(norm):
            wrong = f"the gradient norm is {norm}; lower optimizer.lr"
        if wrong and self._wrong < MOST_WRONG:
            self._wrong += 1
            self._break_off(wrong)
            self.consider()
            return
        if wrong:
            context.fail(f"step {context.step} was not committed: {wrong}")
            return
        losses = [self._survey.ledger.loss(i) for i in range(context.setup.microbatches)] if not self.closing else []
        validated = [self._validated[index] for index in sorted(self._validated)]
        sources = [context.name(peer) for peer in self._survey.workers() if self._survey.reports[peer].data_ok]
        record = commit_record(context, self._prepared, norm, losses, validated, sources, self._counted_at)
        self._vote(step_decision(context, order, self._prepared, record, closing=self.closing))

    def _vote(self, decision: Decision) -> None:
        context = self._context
        if not context.agreement.leading:
            return
        self.at = Stage.VOTE
        context.waits.cancel(("done",))
        context.waits.cancel(("prepared",))
        self._number += 1
        self._say(context.agreement.put(decision))

    def _mine(self, message: Prepared | Stuck) -> bool:
        """Whether it is about the order that was given last; other ballots have the same numbers."""
        agreement = self._context.agreement
        wanted = (agreement.slot, agreement.promised, self._number)
        return (message.slot, message.ballot, message.number) == wanted

    # What does not go well

    def _break_off(self, why: str) -> None:
        self._context.note("averaging", f"step {self._context.step}: averaging begins anew: {why}")
        self._context.waits.cancel(("prepared",))
        self.at, self._planned, self._prepared = Stage.WORK, False, {}

    def _send_away(self, odd: set[str]) -> None:
        """These hold other parameters than their peers: the step goes on without them; they fetch the right ones."""
        for peer in sorted(odd):
            self._exclude(peer, "it holds other parameters than the rest of its stage")
            self._context.send(peer, Differs(self._context.step, self._prepared[peer].parameter_hash))
        self._break_off(f"{self._context.names(odd)} cannot take part")
        self.consider()

    def _exclude(self, peer: str, why: str) -> None:
        context = self._context
        self._survey.excluded.add(peer)
        self._survey.resetting.pop(peer, None)
        self._survey.ledger.forget(peer)
        context.note("excluded", f"step {context.step}: {context.named(peer)} is left out of this step: {why}")

    def overdue(self, key: str, text: str) -> None:
        """One of the leader's waits is over."""
        context = self._context
        if key == "gather" and self.at is Stage.GATHER:
            self._gathered(late=True)
            if self.at is Stage.GATHER:
                here = f"only {len(self._promises())} of {len(context.view.members)} members answer"
                self._pause(here, quiet=context.view.number == 0)
                context.waits.after(context.now, ("gather",), 2 * context.setup.beat_s, text)
        elif key == "done" and self.at is Stage.WORK:
            context.note("slow", text)
            self._planned = False
            self._deal.stalled()
            for peer in list(self._survey.resetting):
                self._exclude(peer, "it does not say that it has forgotten what it had counted")
            self._advance()
        elif key == "prepared" and self.at is Stage.AVERAGE:
            assert isinstance(self._order, Average)
            late = [peer for group in self._order.groups.values() for peer in group if peer not in self._prepared]
            self._stuck.update(late)
            for peer in late:
                if self._stuck[peer] >= 2:
                    self._exclude(peer, "it does not report the average")
            self._break_off(f"{context.names(late)} did not report in time")
            self.consider()
        elif key in ("start", "lost", "saving"):
            self.consider()
        elif key == "beat":
            self._beat()

    def _beat(self) -> None:
        """Say that we are there; say again what did not get through."""
        context, agreement = self._context, self._context.agreement
        self._beat_later()
        if isinstance(self._order, Lead | Propose):
            context.send_all(self._order)
        elif self._order is not None or self.paused or self.at is Stage.WORK:
            resigns = self._resigns()
            number = self._number if self._number > self._first else 0
            context.send_all(Beat(agreement.slot, agreement.promised, number, bool(self.paused), resigns))
            if resigns:
                context.note("resigned", f"step {context.step}: {context.me.name} lets another one lead: {self.paused}")
                self.stop()
                self.resigned_at = context.now

    def _resigns(self) -> bool:
        """Whether another one should try, who may reach those whom we do not: each a while."""
        self._paused_beats = self._paused_beats + 1 if self.paused and self.at is Stage.WORK else 0
        stages = self._survey.lacking() or range(self._context.setup.stages)
        return self._paused_beats >= RESIGN_BEATS and bool(self._survey.beyond(stages))

    def _beat_later(self) -> None:
        self._context.waits.after(self._context.now, ("beat",), self._context.setup.beat_s, "")

    def again(self, sender: str) -> None:
        """Somebody missed the last order."""
        if isinstance(self._order, Plan | Average):
            self._context.send(sender, self._order)

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _say(self, order: Plan | Average | Propose) -> None:
        self._order = order
        self._context.send_all(order)

    def announce(self, decision: Decision) -> None:
        """A majority has accepted: tell all, the new members too."""
        context = self._context
        peers = {member.peer_id for member in (*context.view.members, *decision.members)} & context.usable
        for peer in sorted(peers - {context.me.peer_id}):
            context.send(peer, Decided(decision))
