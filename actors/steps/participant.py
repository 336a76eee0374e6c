"""The step protocol at one participant: `handle(now, event) -> effects`. See docs/step_protocol.md.

This class gives events to the parts: `Agreement` (votes), `Quorum`, `Leader`, `Succession`, `Orders`, `Origin`, `Hop`,
`Averaging`, `Holdings`, `Donor`, `Follower`, `Standing`, `Tenure`. It owns what concerns them all: taking a decision,
and peers that come and go.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from actors.records import Traffic
from actors.steps import ballots, events
from actors.steps.agreement import Agreement
from actors.steps.alarms import Alarms
from actors.steps.archive import Archive
from actors.steps.assignment import first_log
from actors.steps.averaging import Averaging
from actors.steps.ballots import Decision
from actors.steps.change import describe_change
from actors.steps.context import Context, StepSetup
from actors.steps.council import Council
from actors.steps.donor import Donor
from actors.steps.effects import Committed, Effect, Finished, KeepVote
from actors.steps.eras import Returns
from actors.steps.events import Event
from actors.steps.follower import Follower
from actors.steps.holdings import Holdings
from actors.steps.hop import Hop
from actors.steps.jobs import Payload
from actors.steps.leader import Leader
from actors.steps.messages import (
    Abort,
    Backward,
    Chunk,
    Denied,
    Differs,
    Done,
    Dropped,
    Forward,
    Get,
    Gone,
    Offer,
    Purpose,
    Returned,
    Saved,
    Sealed,
    Slice,
    Stored,
    Taken,
    Want,
)
from actors.steps.orders import Orders
from actors.steps.origin import Origin
from actors.steps.quorum import Quorum
from actors.steps.saving import Saver
from actors.steps.standing import Standing
from actors.steps.succession import Succession
from actors.steps.tenure import Tenure
from actors.steps.view import CommittedView, Voter
from actors.steps.vote import Vote
from actors.steps.waits import Waits

EARLY = 8192
"""Messages of a decision that is not known or not applied here yet, kept at most."""
MOST_ROUNDS = 100_000
"""Messages to itself within one event: more are a fault of this program."""
UNKNOWN = Decision(-1, -1, (), -1)
"""What a process starts from that does not know the run's state: any decision is newer."""


class Participant:
    """One participant's protocol state.

    Args:
        setup: what the protocol needs of the run config.
        me: our own process.
        members: of view 0, when the run begins; empty for a process that joins a run under way.
        traffic: returns what was sent since it was last asked.
        owner_signed: whether the run's owner has signed a dismissal.
        memory: bytes that the own machine has for a stage, 0 where it is not known.
        vote: what an earlier process had on disk; `me` has to be of the same life then.
        spare: whether it should follow a stage without working, as long as others work.
    """

    def __init__(
        self,
        setup: StepSetup,
        me: Voter,
        members: tuple[Voter, ...],
        traffic: Callable[[], Traffic],
        now: float = 0.0,
        owner_signed: Callable[[ballots.Dismiss], bool] = lambda message: False,
        memory: int = 0,
        vote: Vote | None = None,
        spare: bool = False,
    ) -> None:
        first = CommittedView.first(members)
        begin = Decision(0, 0, first.members, setup.first, assigned=first_log(members))
        decision = begin if members else UNKNOWN
        decision = vote.decision if vote is not None else decision
        self._context = Context(setup, me, Agreement(me.peer_id, me.life, decision), Waits(setup.floor_s), now=now)
        self._context.memory, self._context.spare = memory, spare
        self._kept_vote: object = None
        if vote is not None:
            self._context.starts = vote.starts + 1
            self._context.agreement.restore(vote)
        self._context.usable.add(me.peer_id)
        self._context.decided_at = now
        self._origin = Origin(self._context)
        self._hop = Hop(self._context)
        self._saver = Saver(self._context)
        self._leader = Leader(self._context, self._saver)
        self._succession = Succession(self._context, self._leader)
        self._averaging = Averaging(self._context)
        self._standing = Standing(self._context, self._hop, self._origin)
        parts = (self._context, self._hop, self._origin, self._averaging, self._standing)
        self._orders = Orders(
            *parts, traffic, lambda peer, order: self._early.append((peer, order, ())), self._succession.overdue
        )
        self._donor = Donor(self._context)
        self._follower = Follower(self._context)
        self._early: deque[tuple[str, object, Payload]] = deque(maxlen=EARLY)
        self._quorum = Quorum(self._context, owner_signed)
        stores = (Archive(self._context), self._saver)
        kept = (self._averaging, *stores, self._donor, self._follower, self._standing)
        self._holdings = Holdings(self._context, self._hop, *kept, self._replay_early)
        self._tenure = Tenure(self._context, self._holdings, self._standing)
        leading = (self._context, self._leader, self._succession)
        self._council = Council(*leading, self._orders, self._standing, self._decide)
        self._alarms = Alarms(
            self._context,
            self._origin,
            self._hop,
            self._averaging,
            self._donor,
            self._follower,
            self._saver,
            self._standing,
            self._tenure,
            self._succession,
            self._leader,
        )
        if decision.finished:
            self._finish()
        else:
            self._begin_slot(again=vote is not None)

    # What the outside reads

    @property
    def context(self) -> Context:
        """State that more than one part reads."""
        return self._context

    @property
    def finished(self) -> bool:
        """Whether the closing decision is known here."""
        return self._context.finished

    @property
    def step(self) -> int:
        """The step under way."""
        return max(0, self._context.step)

    @property
    def commit(self) -> int:
        """Number of the parameters held; -1 for none."""
        return self._context.held

    @property
    def failed(self) -> str:
        """Why the run ended here; empty while it has not."""
        return self._context.failed

    @property
    def why_paused(self) -> str:
        """Why nothing is decided now, as far as this participant can tell; empty while steps go on."""
        if self._quorum.without:
            return self._quorum.without
        return self._leader.paused if self._leader.paused != "starting" else ""

    @property
    def paused(self) -> bool:
        """Whether nothing can be decided from here."""
        return bool(self.why_paused)

    @property
    def started(self) -> bool:
        """Whether the run's members have agreed that they are all there."""
        return self._context.view.number > 0

    @property
    def inside(self) -> bool:
        """Whether this process has a vote."""
        return self._context.agreement.votes

    @property
    def leads(self) -> bool:
        """Whether this process leads the step, as far as it knows."""
        return self.inside and self._context.leader.peer_id == self._context.me.peer_id

    @property
    def tokens_per_s(self) -> float:
        """Measured speed of the own shards."""
        return self._hop.tokens_per_s

    def next_deadline(self) -> float | None:
        """When the next `Tick` is due at the latest."""
        return self._context.waits.next_deadline()

    # Events

    def handle(self, now: float, event: Event) -> list[Effect]:
        """Take an event and return what is to be done, in order."""
        context = self._context
        context.now = now
        if not context.failed:
            self._dispatch(event)
            rounds = 0
            while context.inbox:
                rounds += 1
                assert rounds < MOST_ROUNDS, f"{context.me.name} talks to itself without end"
                message, payload = context.inbox.pop(0)
                self._receive(context.me.peer_id, message, payload)
        effects, context.out = context.out, []
        return [*self._vote_to_keep(), *effects]

    def _vote_to_keep(self) -> list[Effect]:
        """A promise or a vote that was given just now: it has to be on disk before anybody hears of it."""
        agreement = self._context.agreement
        given, first = agreement.given, self._kept_vote is None
        if given is None or not (agreement.unkept or (given != self._kept_vote and (first or agreement.bound))):
            return []
        self._kept_vote, agreement.unkept = given, False
        return [KeepVote(agreement.vote(self._context.starts))]

    def _dispatch(self, event: Event) -> None:
        context = self._context
        match event:
            case events.Received(peer, message, tensors):
                self._receive(peer, message, tensors)
            case events.Stop(reason):
                context.fail(reason, stopped=True)
            case events.PeerUp(peer):
                self._peer_up(peer)
            case events.PeerLost():
                self._peer_lost(event)
            case _ if self.finished:
                return
            case events.Computed():
                self._hop.computed(event)
            case events.GradientExported():
                self._orders.exported(event)
            case events.Applied(step, parameter_hash):
                self._holdings.applied(step, parameter_hash)
            case events.StateExported(commit, values, parameter_hash):
                self._donor.exported(commit, values, parameter_hash)
            case events.StateLoaded(commit, parameter_hash):
                self._holdings.loaded(commit, parameter_hash)
            case events.Restored(commit, parameter_hash):
                self._holdings.restored(commit, parameter_hash)
            case events.FetchFailed():
                self._holdings.fetch_failed(event)
            case events.CheckpointsListed(found):
                self._saver.listed(found)
                self._leader.consider()
            case events.PartSaved():
                self._saver.part_saved(event)
            case events.StageSealed():
                self._saver.stage_sealed(event)
            case events.CheckpointCommitted():
                self._saver.committed(event)
            case events.SaveFailed():
                self._saver.failed(event)
            case events.Kept(states):
                self._holdings.kept(states)
            case events.LocalReady():
                self._holdings.built(event)
            case events.Leave(reason):
                self._tenure.leave(reason)
            case events.ShardsLost(reason):
                self._holdings.lost(reason)
            case events.LocalFailure(reason):
                context.fail(reason)
            case events.Tick(stalled_s):
                if stalled_s:
                    context.waits.excuse(stalled_s)
                    context.send_all(ballots.Fetch(context.decision.slot))
                self._alarms.tick()

    # Messages

    def _receive(self, peer: str, message: object, payload: Payload) -> None:
        context = self._context
        match message:
            case Abort(reason, stopped):
                context.fail(reason, stopped=stopped, tell=False)
            case ballots.Decided(decision):
                self._decide(decision)
            case ballots.Fetch(slot):
                self._tell(peer, slot)
            case ballots.Dismiss():
                if self._quorum.dismiss(message):
                    self._leader.stop()
                    self._succession.overdue()
                    self._quorum.review()
            case Denied(reason):
                self._standing.denied(peer, reason)
            case Want() | Get() | Offer() | Gone() | Chunk() | Differs():
                if not self.finished:
                    self._holdings.receive(peer, message, payload)
            case Saved() | Sealed() | Stored():
                if context.view.member(peer) is not None and not self.finished:
                    self._saver.receive(peer, message)
                    self._leader.consider()
            case Forward() | Backward() | Dropped() | Taken() | Returned() | Done() | Slice():
                self._work(peer, message, payload)
            case _:
                self._slot_message(peer, message)

    def _tell(self, peer: str, slot: int) -> None:
        if slot < self._context.decision.slot:
            self._context.send(peer, ballots.Decided(self._context.decision))

    def _work(
        self, peer: str, message: Forward | Backward | Dropped | Taken | Returned | Done | Slice, payload: Payload
    ) -> None:
        context = self._context
        if message.stamp < context.stamp or self.finished:
            context.ignore(f"{type(message).__name__.lower()} of an earlier step")
            return
        if message.stamp > context.stamp or (isinstance(message, Forward) and not context.ready):
            self._early.append((peer, message, payload))
            return
        if context.view.member(peer) is None:
            context.ignore("work from somebody without a vote")
            return
        match message:
            case Forward():
                self._hop.forward(peer, message, payload)
            case Backward() if isinstance(payload, tuple):
                self._hop.backward(peer, message, payload)
            case Slice() if isinstance(payload, tuple):
                self._averaging.slice(peer, message, payload[0])
                self._orders.report_average()
            case Dropped():
                if message.stage == 0 or message.purpose is Purpose.VALIDATE:
                    self._origin.dropped(peer, message)
                else:
                    self._hop.dropped(peer, message)
            case Taken():
                self._hop.taken(peer, message)
            case Returned():
                self._origin.returned(message)
            case Done():
                self._leader.done(peer, message)

    def _slot_message(self, peer: str, message: Any) -> None:
        context, agreement = self._context, self._context.agreement
        if isinstance(message, ballots.Enlist | ballots.Depart):
            self._tell(peer, message.slot)
            if not self.finished and isinstance(message, ballots.Enlist):
                self._leader.enlist(peer, message)
            elif not self.finished and isinstance(message, ballots.Depart):
                self._leader.depart(peer, message)
            return
        if isinstance(message, ballots.Join):
            self._tell(peer, message.slot)
            if message.report.life > context.lives.get(peer, -1):
                context.lives[peer] = message.report.life
                self._quorum.review()
                if peer == context.leader.peer_id:
                    self._succession.watch()
            if not self.finished:
                self._leader.join(peer, message)
                self._standing.asked(peer, message)
            return
        if message.slot < agreement.slot:
            if not isinstance(message, ballots.Accepted | ballots.Promise | ballots.Prepared | ballots.Refused):
                self._tell(peer, message.slot - 1)
            context.ignore("about a slot that is decided")
            return
        if message.slot > agreement.slot:
            self._early.append((peer, message, ()))
            if isinstance(message, ballots.Beat | ballots.Lead):
                context.send(peer, ballots.Fetch(context.decision.slot))
            return
        if self.finished:
            return
        self._council.receive(peer, message)

    # Decisions

    def _decide(self, decision: Decision) -> None:
        context, agreement = self._context, self._context.agreement
        before, step, known = context.view, context.step, context.decision.assigned
        returns = context.decision.returns
        earlier = (len(decision.returns), decision.step) < (len(returns), step)
        if not decision.plausible(context.setup.stages) or earlier:
            context.ignore("a decision that cannot be")
            return
        if self.finished or not agreement.decided(decision):
            return
        if context.may_exist(decision.stored):
            context.stored = max(context.stored, decision.stored)
        self._quorum.decided(before)
        if decision.record is not None:
            context.decided_at = context.now
            by_name = {member.name: member.peer_id for member in decision.members}
            speeds = {by_name[name]: v for name, v in decision.record.throughput.items() if name in by_name}
            context.router.learn(speeds)
            context.out.append(Committed(decision.record))
        if decision.members != before.members or decision.assigned != known:
            context.changed_step, context.changed_at = decision.step, context.now
        if decision.view_number != before.number and before.number > 0:
            change = describe_change(before.members, decision.members)
            context.note("view", f"view {decision.view_number} of {len(decision.members)} members: {change}")
        if decision.finished:
            self._finish()
            return
        if decision.returns != returns and step >= 0:
            self._return(decision, returns)
        elif decision.step != step:
            self._next_step(decision, step)
        else:
            self._averaging.stop()
            self._hop.thaw()
        self._donor.drop(set(decision.holders) if decision.record is not None else set())
        self._tenure.decided(decision)
        self._begin_slot()
        if decision.members != before.members:
            self._saver.peers_changed()

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

    def _finish(self) -> None:
        context = self._context
        context.finished = True
        self._leader.stop()
        context.waits.clear()
        context.out.append(Finished())

    def _begin_slot(self, *, again: bool = False) -> None:
        """Vote, and lead when it is our turn; again: an earlier process of this life may have led already."""
        context, agreement = self._context, self._context.agreement
        context.order = (agreement.slot, 0, 0)
        self._succession.begin_slot()
        if self._tenure.go():
            return
        if not agreement.votes:
            self._leader.begin_slot(None)
            context.waits.cancel(("leader",))
            if not context.waits.waiting(("join",)):
                self._standing.ask_in()
        else:
            context.waits.cancel(("join",))
            mine = agreement.leader.peer_id == context.me.peer_id
            ballot = agreement.promised + len(agreement.view.members) if again else 0
            self._leader.begin_slot(ballot if mine else None)
            self._succession.watch()
            behind = not context.ready and context.applying is None
            if behind or self._standing.unreachable():
                self._standing.tell()
        self._quorum.review()
        self._holdings.changed()
        if not context.ready:
            self._replay_early()

    def _replay_early(self) -> None:
        early, self._early = self._early, deque(maxlen=EARLY)
        for peer, message, payload in early:
            self._receive(peer, message, payload)

    # Peers and shards

    def _peer_up(self, peer: str) -> None:
        context = self._context
        if peer in context.usable:
            return
        context.usable.add(peer)
        context.gone.pop(peer, None)
        if self.finished:
            return
        self._quorum.greet(peer)
        self._saver.greet(peer)
        context.send(peer, ballots.Fetch(context.decision.slot))  # much may have happened without us
        self._leader.peer_up(peer)
        self._leader.peers_changed()
        if not context.agreement.votes:
            self._standing.ask_in()
        elif context.view.member(peer) is not None:  # the leader, who missed what was told, or one who was apart
            self._standing.tell()
        self._donor.serve()
        self._follower.seek()
        self._saver.peers_changed()
        self._hop.redirect()
        self._quorum.review()

    def _peer_lost(self, lost: events.PeerLost) -> None:
        context, peer = self._context, lost.peer
        if lost.gone and peer not in context.gone:
            context.gone[peer] = lost.reason
            if not lost.polite:
                context.note("lost", f"{context.named(peer)}: {lost.reason}")
        context.usable.discard(peer)
        if self.finished:
            return
        self._donor.drop({peer})
        self._hop.redirect()
        self._origin.redirect()
        self._follower.peer_lost(peer)
        self._saver.peers_changed()
        self._leader.peers_changed()
        if context.leader.peer_id == peer:
            self._succession.watch()
        elif peer in self._standing.unreachable() and context.agreement.votes:
            self._standing.tell()
        self._quorum.review()
