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

from actors.steps.averaging_round import Round
from actors.steps.ballots import (
    Decision,
    Depart,
    Enlist,
    Holding,
    Join,
    Prepared,
    Promise,
    Stuck,
    Vouch,
)
from actors.steps.broadcast import Broadcast
from actors.steps.change import next_view
from actors.steps.context import Context
from actors.steps.messages import Differs, Done
from actors.steps.planner import Left, Planner
from actors.steps.saving import Saver
from actors.steps.survey import Survey
from actors.steps.vacancy import Vacancy
from actors.steps.waiting_room import WaitingRoom

RESIGN_BEATS = 4
"""A leader who cannot reach somebody who is needed gives up after so many beats."""
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
        self._survey = Survey(context)
        self._planner = Planner(context, self._survey)
        self._round = Round(context, self._survey)
        self._broadcast = Broadcast(context)
        self.paused = ""
        self._paused_beats = 0
        self._vacancy = Vacancy(context)
        self.resigned_at = -math.inf
        """When it gave up leading, so that another one has the time to begin."""

    # Beginning and ending

    def begin_slot(self, ballot: int | None) -> None:
        """A new slot: lead it when `ballot` is ours."""
        context = self._context
        self.stop()
        self._waiting.begin_slot()
        if ballot is None or not context.agreement.votes:
            return
        fresh = ballot == 0 and context.decision.record is not None
        lead = context.agreement.run(ballot)
        self._broadcast = Broadcast(context)
        self._survey = Survey(context)
        self._planner, self._round = Planner(context, self._survey), Round(context, self._survey)
        self._beat_later()
        if fresh:
            self._survey.assume()
            self.at = Stage.WORK
            self.consider()
            return
        self.at = Stage.GATHER
        if ballot > 0:
            context.note("leader", f"{context.me.name} leads step {context.step} from now on (ballot {ballot})")
        text = f"step {context.step}: not enough members answered {context.me.name}, who wants to lead"
        context.waits.after(context.now, ("gather",), 2 * context.setup.beat_s, text)
        self._broadcast.say(lead)

    def stop(self) -> None:
        """Lead no more."""
        self.at, self._paused_beats, self._broadcast.order = Stage.IDLE, 0, None
        self._planner.planned = False
        self._round.stop()
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
        self.at, self._broadcast.order = Stage.WORK, None
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
        if self.at is Stage.AVERAGE:
            averaging = self._round.members
            fits = report.held == context.step and set(report.counted) == self._round.expected(sender)
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
        self._planner.planned = False
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

    def asked(self, sender: str, message: Join | Enlist | Depart | Vouch) -> None:
        """Somebody wants a vote, a stage, or to go; or a joiner holds the parameters of its stage."""
        if self._waiting.receive(sender, message) and self.at is Stage.WORK:
            self.consider()

    def done(self, sender: str, message: Done) -> None:
        """A microbatch is through."""
        if self.at is not Stage.WORK or message.stamp != self._context.stamp:
            return
        self._context.waits.restart(self._context.now, ("done",))
        self._planner.done(message)
        self._advance()

    def stuck(self, sender: str, message: Stuck) -> None:
        """Averaging does not get on: once more, and the second time without those who are missing."""
        context = self._context
        if self.at is not Stage.AVERAGE or not self._round.concerns(sender, message):
            return
        if worst := self._round.stuck(sender, message):
            self._exclude(worst, "it does not send its part of the average")
        self._break_off(f"{context.name(sender)} waits for {context.names(message.missing)}")
        self.consider()

    def peer_up(self, peer: str) -> None:
        """Somebody came: it may have missed the last order."""
        if self.at is not Stage.IDLE:
            self._broadcast.welcome(peer)

    def peers_changed(self) -> None:
        """Somebody came, or went."""
        context = self._context
        for peer in [peer for peer in self._survey.reports if peer not in context.usable]:
            del self._survey.reports[peer]
            self._survey.ledger.forget(peer)
            self._survey.resetting.pop(peer, None)
            self._planner.planned = False
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
        idle, spent = self.at is Stage.WORK, self._planner.planned or bool(self._survey.ledger.touched)
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
            self._planner.planned = False
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
            self.paused, self._planner.planned = "", False

    def _advance(self) -> None:
        """Plan what is missing; average when nothing is."""
        if self.paused or self.at is not Stage.WORK:
            return
        self._planner.reset_doubles(self._broadcast.number + 1)
        left = self._planner.left()
        if not left and not self._survey.resetting:
            if self.closing and not self._last_is_saved():
                return
            self._begin_average()
        elif not self._planner.planned:
            self._plan(left)

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
        return self._planner.closing

    def _plan(self, left: Left) -> None:
        """Tell all who drives what."""
        context = self._context
        self._broadcast.say(self._planner.plan(self._broadcast.next(), left))
        text = f"step {context.step}: no microbatch came through"
        context.waits.start(context.now, ("done",), "done", text, 4, times=self._planner.patience)

    def _begin_average(self) -> None:
        context = self._context
        context.waits.done(context.now, ("done",), 4)
        self.at = Stage.AVERAGE
        self._broadcast.say(self._round.begin(self._broadcast.next()))
        text = f"step {context.step}: not all members reported their stage's average"
        context.waits.start(context.now, ("prepared",), "prepared", text, 3)

    def prepared(self, sender: str, message: Prepared) -> None:
        """A participant has its stage's average; propose when all have."""
        context = self._context
        if self.at is not Stage.AVERAGE or not self._round.concerns(sender, message):
            return
        if message.sum_of_squares < 0:
            context.ignore("a sum of squares that is none")
            return
        context.waits.restart(context.now, ("prepared",))
        if not self._round.take(sender, message):
            return
        context.waits.done(context.now, ("prepared",), 3)
        outcome = self._round.outcome(self._planner.validated, closing=self.closing)
        if outcome.decision is not None:
            self._vote(outcome.decision)
        elif outcome.odd:
            self._send_away(outcome.odd)
        elif outcome.fatal:
            context.fail(f"step {context.step} was not committed: {outcome.wrong}")
        else:
            self._break_off(outcome.wrong)
            self.consider()

    def _vote(self, decision: Decision) -> None:
        context = self._context
        if not context.agreement.leading:
            return
        self.at = Stage.VOTE
        context.waits.cancel(("done",))
        context.waits.cancel(("prepared",))
        self._broadcast.next()
        self._broadcast.say(context.agreement.put(decision))

    # What does not go well

    def _break_off(self, why: str) -> None:
        self._context.note("averaging", f"step {self._context.step}: averaging begins anew: {why}")
        self._context.waits.cancel(("prepared",))
        self._round.stop()
        self.at, self._planner.planned = Stage.WORK, False

    def _send_away(self, odd: dict[str, str]) -> None:
        """These hold other parameters than their peers: the step goes on without them; they fetch the right ones."""
        for peer, parameter_hash in odd.items():
            self._exclude(peer, "it holds other parameters than the rest of its stage")
            self._context.send(peer, Differs(self._context.step, parameter_hash))
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
            self._planner.stalled()
            for peer in list(self._survey.resetting):
                self._exclude(peer, "it does not say that it has forgotten what it had counted")
            self._advance()
        elif key == "prepared" and self.at is Stage.AVERAGE:
            late = self._round.late()
            for peer in late:
                if self._round.hopeless(peer):
                    self._exclude(peer, "it does not report the average")
            self._break_off(f"{context.names(late)} did not report in time")
            self.consider()
        elif key in ("start", "lost", "saving"):
            self.consider()
        elif key == "beat":
            self._beat()

    def _beat(self) -> None:
        """Say that we are there; say again what did not get through."""
        context = self._context
        self._beat_later()
        if not self._broadcast.repeat() and (self._broadcast.order or self.paused or self.at is Stage.WORK):
            resigns = self._resigns()
            self._broadcast.beat(asks=bool(self.paused), resigns=resigns)
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
        self._broadcast.again(sender)

    def announce(self, decision: Decision) -> None:
        """A majority has accepted: tell all, the new members too."""
        self._broadcast.announce(decision)
