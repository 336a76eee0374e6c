"""The step protocol at one participant: `handle(now, event) -> effects`. See docs/step_protocol.md.

This class puts the parts together and gives them what comes in:

| | |
|---|---|
| deciding | `Agreement` (votes), `Quorum`, `Council`, `Leader`, `Succession`, `Orders`, `Standing`, `Tenure` |
| working | `Work`, `Origin`, `Hop`, `Averaging` |
| holding parameters | `Holdings`, `Archive`, `Saver`, `Donor`, `Follower` |
| going on | `Transition` (a decision was made), `Slots` (the next one begins), `Peers` (one came or went), `Alarms` |
"""

from __future__ import annotations

from collections.abc import Callable

from actors.records import Traffic
from actors.steps import ballots, events
from actors.steps.agreement import Agreement
from actors.steps.alarms import Alarms
from actors.steps.archive import Archive
from actors.steps.assignment import first_log
from actors.steps.averaging import Averaging
from actors.steps.ballots import Decision
from actors.steps.context import Context, StepSetup
from actors.steps.council import Council
from actors.steps.donor import Donor
from actors.steps.early import Early
from actors.steps.effects import Effect, Failed, KeepVote
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
from actors.steps.peers import Peers
from actors.steps.quorum import Quorum
from actors.steps.saving import Saver
from actors.steps.slots import Slots
from actors.steps.standing import Standing
from actors.steps.succession import Succession
from actors.steps.tenure import Tenure
from actors.steps.transition import Transition
from actors.steps.view import CommittedView, Voter
from actors.steps.vote import Vote
from actors.steps.waits import Waits
from actors.steps.work import Work

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
        self._context = context = _begin(setup, me, members, vote, now)
        context.memory, context.spare = memory, spare
        self._kept_vote: object = None
        self._early = early = Early()

        self._quorum = quorum = Quorum(context, owner_signed)
        self._hop = hop = Hop(context)
        self._saver = saver = Saver(context)
        self._donor = donor = Donor(context)
        self._leader = leader = Leader(context, saver)
        self._succession = succession = Succession(context, leader)
        origin, averaging, follower = Origin(context), Averaging(context), Follower(context)
        self._standing = standing = Standing(context, hop, origin)
        self._orders = orders = Orders(
            context, hop, origin, averaging, standing, traffic, early.keep, succession.overdue
        )
        self._holdings = holdings = Holdings(
            context, hop, averaging, Archive(context), saver, donor, follower, standing, self._replay
        )
        self._tenure = tenure = Tenure(context, holdings, standing)

        slots = Slots(context, quorum, leader, succession, holdings, standing, tenure, self._replay)
        self._transition = Transition(context, slots, quorum, hop, origin, averaging, holdings, saver, donor, tenure)
        self._council = Council(context, early, quorum, leader, succession, orders, standing, self._transition.take)
        self._work = Work(context, early, hop, origin, averaging, orders, leader)
        self._peers = Peers(context, quorum, leader, succession, standing, hop, origin, saver, donor, follower)
        self._alarms = Alarms(
            context, origin, hop, averaging, donor, follower, saver, standing, tenure, succession, leader
        )
        if context.decision.finished:
            slots.close()
        else:
            slots.begin(again=vote is not None)

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
        failed = next((place for place, effect in enumerate(effects, 1) if isinstance(effect, Failed)), None)
        if failed is not None:  # what the rest of this event has led to is of no use any more
            del effects[failed:]
            context.waits.clear()
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
                self._peers.up(peer)
            case events.PeerLost():
                self._peers.lost(event)
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
                self._tenure.heard(peer, decision)
                self._transition.take(decision)
            case ballots.Fetch(slot):
                self._council.inform(peer, slot)
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
                self._work.receive(peer, message, payload)
            case _:
                self._council.receive(peer, message)

    def _replay(self) -> None:
        for peer, message, payload in self._early.take():
            self._receive(peer, message, payload)


def _begin(setup: StepSetup, me: Voter, members: tuple[Voter, ...], vote: Vote | None, now: float) -> Context:
    """What a process begins with: what an earlier one had on disk, or view 0, or nothing."""
    first = Decision(0, 0, CommittedView.first(members).members, setup.first, assigned=first_log(members))
    decision = first if members else UNKNOWN
    decision = vote.decision if vote is not None else decision
    context = Context(setup, me, Agreement(me.peer_id, me.life, decision), Waits(setup.floor_s), now=now)
    if vote is not None:
        context.starts = vote.starts + 1
        context.agreement.restore(vote)
    context.usable.add(me.peer_id)
    context.decided_at = now
    return context
