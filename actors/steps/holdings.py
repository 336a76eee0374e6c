"""What the own shards hold, and how decisions get into them: applied where they fit, else fetched from a replica."""

from __future__ import annotations

from collections.abc import Callable

from actors.steps import effects, events
from actors.steps.archive import Archive
from actors.steps.averaging import Averaging
from actors.steps.ballots import Decision
from actors.steps.context import Context, Update
from actors.steps.donor import Donor
from actors.steps.eras import Returns, origin
from actors.steps.follower import Follower
from actors.steps.hop import Hop
from actors.steps.jobs import Payload
from actors.steps.messages import Chunk, Differs, Get, Gone, Offer, Want
from actors.steps.saving import Saver
from actors.steps.standing import Standing

Transfer = Want | Get | Offer | Gone | Chunk | Differs


class Holdings:
    """Parameters of one stage, from their building on.

    Args:
        context: shared state.
        hop: counts gradients in the shards.
        averaging: holds the newest average.
        archive: the own disk.
        saver: writes checkpoints.
        donor: gives what is held here.
        follower: gets what is not.
        standing: tells the leader.
        replay: handles what was waiting for the parameters of this step.
    """

    def __init__(
        self,
        context: Context,
        hop: Hop,
        averaging: Averaging,
        archive: Archive,
        saver: Saver,
        donor: Donor,
        follower: Follower,
        standing: Standing,
        replay: Callable[[], None],
    ) -> None:
        self._context, self._hop, self._averaging = context, hop, averaging
        self._archive, self._saver = archive, saver
        self._donor, self._follower, self._standing, self._replay = donor, follower, standing, replay

    def built(self, event: events.LocalReady) -> None:
        """The shards are there, with the values of commit 0."""
        context = self._context
        self._follower.built = True
        self._follower.state_length, self._follower.gradient_length = event.state_length, event.gradient_length
        context.data_ok = event.data_ok
        if not event.data_ok:
            text = f"{context.me.name} has another corpus or tokenizer: it originates nothing and computes no losses"
            context.note("data", text)
        if context.setup.resumed < 0:
            context.held, context.parameter_hash = 0, event.parameter_hash
        if context.ready:
            self._standing.tell()
        self.changed()

    def receive(self, peer: str, message: Transfer, payload: Payload) -> None:
        """A word about states and averages that are fetched."""
        match message:
            case Want():
                self._donor.want(peer, message)
            case Get():
                self._donor.get(peer, message)
            case Offer():
                self._follower.offer(peer, message)
            case Gone():
                self._follower.gone(peer, message)
            case Chunk() if isinstance(payload, tuple):
                self._follower.chunk(peer, message, payload[0])
            case Differs() if self._follower.differs(peer, message):
                self._hop.reset()
                self._standing.tell()

    def moved(self, stage: int) -> None:
        """Another stage is ours: what the shards held is of no use."""
        self._archive.moved()
        self._saver.forget()
        if self._context.held >= 0 or self._follower.built:
            self.lost(f"{self._context.me.name} serves stage {stage} from now on")

    def lost(self, reason: str) -> None:
        """What the shards held is gone; votes are not."""
        context = self._context
        context.note("shards", reason)
        context.held, context.applying = -1, None
        self._hop.lost()
        self._averaging.begin_step()
        for key in ("apply", "load", "export"):
            context.waits.cancel((key,))
        self._donor.lost()
        self._follower.lost()
        self._archive.lost()
        self._saver.lost()
        self._standing.tell()

    def kept(self, states: frozenset[tuple[int, int]]) -> None:
        """These states are on the own disk now."""
        self._archive.kept(states)
        if not self._context.ready:
            self._standing.tell()
            self.changed()

    def fetch_failed(self, event: events.FetchFailed) -> None:
        """A checkpoint cannot be used."""
        self._archive.fetch_failed(event)
        self._standing.tell()
        self.changed()

    def returned(self, before: Returns) -> None:
        """The run has returned to an earlier commit: what is held of later ones is of no use any more."""
        context, returns = self._context, self._context.decision.returns
        self._archive.tidy()
        self._saver.forget()
        if not context.may_exist(context.stored):
            context.stored = (-1, -1)  # it is of the era that is given up
        newest = max(context.held, context.applying.commit if context.applying is not None else -1)
        valid = newest <= context.step and origin(before, newest) == origin(returns, newest)
        if self._follower.built and not (
            valid and context.applying is None and self._follower.still and not context.restoring
        ):
            reason = f"{context.me.name} gives up commit {newest}: the run returned to commit {returns[-1][1]}"
            context.out.append(effects.RestartShards(reason))
            self._follower.built = False
            self.lost(reason)
        else:
            self._donor.lost()
            self._follower.caught_up()
            context.out.append(effects.Discard())

    def decided(self, decision: Decision, before: int) -> None:
        """A step is over: apply what was decided, if it is what is held here. Averages must still be there."""
        context, done = self._context, self._averaging.known(decision.averages.get(self._context.me.stage, ""))
        holds = context.held == before == decision.step - 1 and context.applying is None
        if holds and done is not None:
            factor = decision.clip_factor
            context.applying = Update(decision.step, done.average, factor, done.digest, done.replicas)
            text = f"step {before}: the shards of {context.me.name} did not apply the update"
            context.waits.start(context.now, ("apply",), "apply", text)
            context.out.append(effects.ApplyUpdate(before, done.average, factor))
        elif context.applying is None and self._follower.built:
            context.out.append(effects.Discard())

    def applied(self, step: int, parameter_hash: str) -> None:
        """An update is in the shards: the own one, or one that a replica gave."""
        context, applying = self._context, self._context.applying
        if applying is not None and applying.commit == step + 1:
            context.applying = None
            context.waits.done(context.now, ("apply",))
            context.held, context.parameter_hash = step + 1, parameter_hash
            self._donor.applied(applying)
        elif not self._follower.applied(step, parameter_hash):
            return
        self.changed()

    def loaded(self, commit: int, parameter_hash: str) -> None:
        """A state from elsewhere is in the shards."""
        self._follower.loaded(commit, parameter_hash)
        self.changed()

    def restored(self, commit: int, parameter_hash: str) -> None:
        """A state from the own disk is in the shards."""
        self._archive.restored(commit, parameter_hash)
        self.changed()

    def changed(self) -> None:
        """Go on where the shards hold what the step needs; get it where they do not."""
        context = self._context
        if context.ready:
            self._archive.keep()
            self._saver.consider()
            self._follower.caught_up()
            self._donor.serve()
            self._standing.vouch()
            if context.me.peer_id not in context.workers or not context.agreement.votes:
                self._standing.tell()
            self._replay()
        elif context.applying is None:
            if not context.agreement.votes:
                self._standing.ask_in()
            if not (self._follower.still and self._archive.restore()):
                self._follower.seek()
