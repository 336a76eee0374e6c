"""Getting the committed state from replicas: the state of one commit, and the average of each later one, replayed.

Replaying averages gives the same bits as applying them in time did. Whoever holds what the step needs can work, and be
let in where it has no vote.
"""

from __future__ import annotations

from actors.averaging.reduce import Float32
from actors.steps.chunks import Cutting, average_digest
from actors.steps.context import Context
from actors.steps.effects import ApplyUpdate, LoadState
from actors.steps.eras import origin
from actors.steps.fetch import Fetch
from actors.steps.messages import Chunk, Differs, Get, Gone, Offer, Part, Want

MOST_AHEAD = 16
"""Averages kept while the state they belong to is not here; with more a newer state is asked for."""
ASK_BEATS = 5
"""Nothing was offered for so many beats: the request is made again; each time after twice as long."""


class Follower:
    """The taking side."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.state_length = 0
        self.gradient_length = 0
        self.built = False
        """Whether there are shards to put a state into."""
        self._asking = False
        self._asked = 0
        """How often, since something was lacking."""
        self._bad: set[str] = set()
        """Donors of something damaged, until the state is here."""
        self._state: Fetch | None = None
        self._averages: dict[int, Fetch] = {}
        self._busy: Fetch | None = None
        """On its way into the shards."""

    # Asking

    def seek(self) -> None:
        """Ask the replicas for what is missing, unless nothing is or they were asked."""
        context = self._context
        if self._here() or not self.built or self._busy is not None or self._asking or context.step < 0:
            return
        self._ask()

    def _here(self) -> bool:
        context = self._context
        return context.ready or context.restoring or context.applying is not None

    def _ask(self) -> None:
        """Everybody of the own stage."""
        context = self._context
        able = self._able()
        if not able:
            context.waits.after(context.now, ("catchup",), context.setup.beat_s, "")
            return
        self._asking = True
        seconds = min(context.waits.patience("catchup"), ASK_BEATS * context.setup.beat_s * 2.0**self._asked)
        self._asked += 1
        text = f"{context.me.name} asked {context.names(able)} for commit {context.step} and got nothing"
        context.waits.after(context.now, ("catchup",), seconds, text)
        for peer in able:
            context.send(peer, Want(context.held, -1))

    def _able(self) -> list[str]:
        """Replicas to ask, without those that gave something damaged as long as there are others."""
        context = self._context
        replicas = [member.peer_id for member in context.view.replicas(context.me.stage)]
        able = [peer for peer in replicas if peer in context.usable and peer != context.me.peer_id]
        return [peer for peer in able if peer not in self._bad] or able

    @property
    def still(self) -> bool:
        """Whether there are shards, and nothing is on its way into them."""
        return self.built and self._busy is None

    def overdue(self) -> None:
        """Nothing comes: ask once more, for all that is not here."""
        self._asking = False
        self._context.waits.cancel(("catchup",))
        for fetch in self._fetches():
            for peer in fetch.outstanding:
                fetch.without(peer)
        self.seek()
        self._next()

    def peer_lost(self, peer: str) -> None:
        """A donor may be gone."""
        for fetch in self._fetches():
            fetch.without(peer)
        if self._asking and not any(fetch.donors for fetch in self._fetches()):
            self._asking = False
            self.seek()
        self._next()

    def _fetches(self) -> list[Fetch]:
        """What is on its way, the averages first: donors keep them for a while only."""
        averages = [self._averages[commit] for commit in sorted(self._averages)]
        return averages + ([self._state] if self._state is not None else [])

    # What is offered

    def offer(self, peer: str, offer: Offer) -> None:
        """A replica has something that may be needed."""
        context = self._context
        cutting = self._cutting(offer.part)
        of_old = offer.era != origin(context.decision.returns, offer.commit)
        needed = not self._here() and offer.commit > context.held and not of_old
        if not needed or not cutting.fits(offer.chunks) or peer not in self._able():
            context.ignore("an offer that is not needed, or does not fit")
            return
        if offer.part is Part.STATE:
            self._offer_state(peer, offer, cutting)
        elif self._state is None or offer.commit > self._state.offer.commit:
            fetch = self._averages.setdefault(offer.commit, Fetch(offer, cutting, context.now))
            self._join_in(fetch, peer, offer)
        self._next()

    def _offer_state(self, peer: str, offer: Offer, cutting: Cutting) -> None:
        current = self._state
        if self._busy is not None or self._replays():
            return
        if current is None or (offer.commit > current.offer.commit and not (current.begun and current.donors)):
            others = [] if current is None else current.donors
            self._state = Fetch(offer, cutting, self._context.now)
            self._averages = {commit: fetch for commit, fetch in self._averages.items() if commit > offer.commit}
            self._join_in(self._state, peer, offer)
            for other in others:  # they offered an earlier commit, and will hold this one in a moment
                self._context.send(other, Want(-1, offer.commit))
        elif offer.commit == current.offer.commit:
            self._join_in(current, peer, offer)
        elif offer.commit < current.offer.commit:
            self._context.send(peer, Want(-1, current.offer.commit))

    def _replays(self) -> bool:
        """Whether the averages that follow on what is held here can be had, so that no state is needed."""
        fetch = self._averages.get(self._context.held + 1)
        return self._context.held >= 0 and fetch is not None and bool(fetch.donors)

    def _join_in(self, fetch: Fetch, peer: str, offer: Offer) -> None:
        """One more donor of the same."""
        if not fetch.same(offer):
            named = self._context.named(peer)
            self._context.note("damaged", f"{named} offers another {offer.part} of commit {offer.commit} than others")
        elif peer not in fetch.donors:
            fetch.donors.append(peer)

    def gone(self, peer: str, message: Gone) -> None:
        """A donor has it no more."""
        for fetch in self._fetches():
            if (fetch.offer.part, fetch.offer.commit) == (message.part, message.commit):
                fetch.without(peer)
        if not any(fetch.donors for fetch in self._fetches()):
            self._restart()
        self._next()

    def chunk(self, peer: str, message: Chunk, values: Float32) -> None:
        """Part of something that was asked for."""
        context = self._context
        found = [f for f in self._fetches() if (f.offer.part, f.offer.commit) == (message.part, message.commit)]
        if not found:
            context.ignore("a chunk that nobody asked for")
            return
        if found[0].take(message.chunk, values):
            context.waits.restart(context.now, ("catchup",))
        else:
            what = f"chunk {message.chunk} of the {message.part} of commit {message.commit}"
            context.note("damaged", f"{what} from {context.named(peer)} was damaged: it is fetched from others")
            self._refuse(peer)
        self._next()

    def _refuse(self, peer: str) -> None:
        self._bad.add(peer)
        for fetch in self._fetches():
            fetch.without(peer)
        if not any(fetch.donors for fetch in self._fetches()):
            self._restart()

    def _restart(self) -> None:
        """What is here is of no use: everything anew."""
        self._state = None
        self._averages.clear()
        self._asking = False
        self._context.waits.cancel(("catchup",))
        self.seek()

    # What follows

    def _next(self) -> None:
        """Ask for more, and put into the shards what is here whole."""
        context = self._context
        load: dict[str, int] = {}
        for fetch in self._fetches():
            fetch.owed(load)
        for fetch in self._fetches():
            for donor, chunk in fetch.ask(context.usable, load):
                context.send(donor, Get(fetch.offer.part, fetch.offer.commit, chunk))
        if self._busy is not None or context.applying is not None:
            return
        if self._state is not None and self._state.complete:
            self._load(self._state)
        elif context.held >= 0 and (average := self._averages.get(context.held + 1)) is not None and average.complete:
            self._replay(average)
        elif len(self._averages) > MOST_AHEAD:
            self._restart()

    def _load(self, state: Fetch) -> None:
        context = self._context
        self._busy, self._state = state, None
        size, seconds = state.nbytes / 1e6, context.now - state.began
        what = f"the state of commit {state.offer.commit}, {size:.1f} MB, from {context.names(state.donors)}"
        context.note("fetched", f"{context.me.name} has {what} in {seconds:.2f} s")
        context.held = -1
        context.waits.start(context.now, ("load",), "load", f"the shards of {context.me.name} took no state")
        context.out.append(LoadState(state.offer.commit, state.whole()))

    def loaded(self, commit: int, parameter_hash: str) -> None:
        """The state is in the shards."""
        context, state = self._context, self._busy
        self._busy = None
        context.waits.done(context.now, ("load",))
        if state is None or parameter_hash != state.offer.proof:
            donors = context.names(state.donors) if state is not None else "nobody"
            context.note("damaged", f"the state of commit {commit} from {donors} has other parameters than they said")
            self._restart()
            return
        context.held, context.parameter_hash = commit, parameter_hash
        self._next()

    def _replay(self, fetch: Fetch) -> None:
        """Apply the next average."""
        context, offer = self._context, fetch.offer
        average, decided = fetch.whole(), context.decision
        del self._averages[offer.commit]
        named = decided.averages.get(context.me.stage, offer.proof) if decided.step == offer.commit else offer.proof
        if average_digest(average, offer.replicas) != offer.proof or offer.proof != named:
            context.note("damaged", f"the average of commit {offer.commit} is not the one that was decided")
            self._bad |= set(fetch.donors)
            self._restart()
            return
        self._busy = fetch
        context.waits.start(context.now, ("apply",), "apply", f"the shards of {context.me.name} did not apply")
        context.out.append(ApplyUpdate(context.held, average, offer.clip_factor))

    def applied(self, step: int, parameter_hash: str) -> bool:
        """A replayed average is in the shards; False when it was not ours."""
        if self._busy is None:
            return False
        self._busy = None
        context = self._context
        context.waits.done(context.now, ("apply",))
        context.held, context.parameter_hash = step + 1, parameter_hash
        self._next()
        return True

    def differs(self, peer: str, message: Differs) -> bool:
        """A replica holds other parameters than we do. Returns whether ours were given up."""
        context = self._context
        mine = message.commit == context.held and message.parameter_hash == context.parameter_hash
        to_be_believed = not context.agreement.votes or peer == context.leader.peer_id
        if not mine or not to_be_believed or self._busy is not None:
            context.ignore("a difference that is none")
            return False
        name = context.named(peer)
        context.note("damaged", f"{context.me.name} holds other parameters of commit {context.held} than {name}")
        context.held = -1
        self._restart()
        return True

    def caught_up(self) -> None:
        """We hold what the step needs, or a decision gave it to us."""
        self._context.waits.cancel(("catchup",))
        self._asking, self._asked = False, 0
        self._bad.clear()
        self._state = None
        self._averages.clear()

    def lost(self) -> None:
        """The own shards are gone."""
        self.caught_up()
        self.built, self._busy = False, None

    def _cutting(self, part: Part) -> Cutting:
        length = self.state_length if part is Part.STATE else self.gradient_length
        return Cutting(length, self._context.setup.smallest_chunk)
