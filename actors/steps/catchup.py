"""Getting the committed state from a replica, and giving it: whole once, then each commit's average as it is decided.

A donor sends the state of a commit and from then on pushes every average that it applies; the receiver replays them
and so holds the same bits. It works (and votes, if it had lost its vote) as soon as it holds what the step needs.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from actors.averaging.reduce import CHUNK, Float32
from actors.steps.ballots import Decided
from actors.steps.context import Context, Update
from actors.steps.events import ApplyUpdate, ExportState, LoadState
from actors.steps.messages import AverageChunk, StateChunk, Want

MOST_AHEAD = 8
"""Averages kept while the state they belong to is not here; with more the whole state is asked for again."""
MOST_FOLLOWERS = 8
ASK_BEATS = 5
"""Nothing came for so many beats: the request is made again, of another replica; each time after twice as long."""


def chunks(values: Float32) -> list[Float32]:
    """Cut a flat vector for the wire."""
    return [values[at : at + CHUNK] for at in range(0, len(values), CHUNK)]


def chunk_count(length: int) -> int:
    """How many chunks a vector of that length has."""
    return -(-length // CHUNK)


class Donor:
    """The giving side."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._last: Update | None = None
        self._followers: dict[str, int] = {}
        """Peer -> commit that it has got, or that is on its way to it."""
        self._asked: dict[str, int] = {}
        self._exporting = False

    def want(self, peer: str, message: Want) -> None:
        """A replica lacks something."""
        if len(self._followers) + len(self._asked) >= MOST_FOLLOWERS and peer not in self._followers:
            self._context.ignore("too many ask for the state")
            return
        self._followers.pop(peer, None)
        self._asked[peer] = message.held
        self.serve()

    def serve(self) -> None:
        """Answer whoever asked, as soon as there is something to give."""
        context = self._context
        if not context.ready or not self._asked:
            return
        for peer, held in list(self._asked.items()):
            if peer not in context.usable:
                continue  # what is sent now would be lost
            if held == context.held:
                del self._asked[peer]
                self._followers[peer] = held
            elif self._last is not None and self._last.commit == context.held == held + 1:
                del self._asked[peer]
                self._followers[peer] = context.held
                self._push(peer, self._last)
        if self._asked.keys() & context.usable and not self._exporting:
            self._exporting = True
            context.out.append(ExportState(context.held))

    def exported(self, commit: int, values: Float32, parameter_hash: str) -> None:
        """The own state is here: send it to all who asked."""
        self._exporting = False
        for peer in sorted(self._asked.keys() & self._context.usable):
            del self._asked[peer]
            self._followers[peer] = commit
            for number, part in enumerate(chunks(values)):
                self._context.send(peer, StateChunk(commit, number, parameter_hash), (part,))
            self._context.note("donates", f"{self._context.me.name} sends commit {commit} to {self._name(peer)}")
        if self._last is not None and self._last.commit == commit + 1:
            self._push_all()

    def applied(self, last: Update) -> None:
        """One more commit: push it to those who follow."""
        self._last = last
        self._push_all()
        self.serve()

    def _push_all(self) -> None:
        assert self._last is not None
        for peer, held in list(self._followers.items()):
            if held == self._last.commit - 1:
                self._followers[peer] = self._last.commit
                self._push(peer, self._last)
            elif held < self._last.commit:
                del self._followers[peer]  # it asks again

    def _push(self, peer: str, last: Update) -> None:
        self._context.send(peer, Decided(self._context.decision))
        for number, part in enumerate(chunks(last.average)):
            message = AverageChunk(last.commit, number, last.clip_factor, last.average_hash)
            self._context.send(peer, message, (part,))

    def drop(self, peers: set[str]) -> None:
        """These need nothing any more."""
        for peer in peers:
            self._followers.pop(peer, None)
            self._asked.pop(peer, None)

    def lost(self) -> None:
        """The own shards are gone: others ask somebody else."""
        self._exporting = False
        self._asked.clear()
        self._followers.clear()
        self._last = None

    def _name(self, peer: str) -> str:
        return self._context.name(peer)


class Follower:
    """The taking side."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.state_length = 0
        self.gradient_length = 0
        self._donor = ""
        self._tried: list[str] = []
        self._asked = 0
        """How often, since something was lacking."""
        self._fed = False
        """Whether anything has come from this donor."""
        self._state: dict[int, Any] = {}
        self._state_commit = -1
        self._expected_hash = ""
        self._averages: dict[int, dict[int, Any]] = {}
        self._about: dict[int, AverageChunk] = {}
        self._busy = False
        self.built = False
        """Whether there are shards to put a state into."""

    def seek(self) -> None:
        """Ask a replica for what is missing, unless nothing is or somebody is at it."""
        context = self._context
        here = context.ready or context.applying is not None
        if here or not self.built or self._busy or self._donor or context.step < 0:
            return
        able = [
            member.peer_id
            for member in context.view.replicas(context.me.stage)
            if member.peer_id in context.usable and member.peer_id != context.me.peer_id
        ]
        holding = [peer for peer in able if peer in context.decision.holders] or able
        fresh = [peer for peer in holding if peer not in self._tried]
        if not fresh:
            self._tried.clear()
            fresh = holding
        if not fresh:
            context.waits.after(context.now, ("catchup",), context.setup.beat_s, "")
            return
        self._donor = fresh[context.step % len(fresh)]
        self._state.clear()
        self._averages.clear()
        self._fed = False
        patience = context.waits.patience("catchup")
        seconds = min(patience, ASK_BEATS * context.setup.beat_s * 2.0**self._asked)
        self._asked += 1
        context.waits.after(context.now, ("catchup",), seconds, self._text(), self._donor)
        context.send(self._donor, Want(context.held))

    def _text(self) -> str:
        context = self._context
        return f"{context.me.name} asked {context.named(self._donor)} for commit {context.step} and got nothing"

    def _comes(self) -> None:
        """Something came: the donor has heard the request, and gets the time that it takes."""
        waits, now = self._context.waits, self._context.now
        if self._fed:
            waits.restart(now, ("catchup",))
        else:
            self._fed = True
            waits.start(now, ("catchup",), "catchup", self._text(), 1, self._donor)

    def overdue(self) -> None:
        """The donor gives nothing: try another."""
        if self._donor:
            self._tried.append(self._donor)
        self._donor = ""
        self.seek()

    def peer_lost(self, peer: str) -> None:
        """The donor may be gone."""
        if peer == self._donor and not self._context.ready:
            self.overdue()

    def caught_up(self) -> None:
        """We hold what the step needs, or a decision gave it to us."""
        self._context.waits.cancel(("catchup",))
        self._donor = ""
        self._asked = 0
        self._tried.clear()
        self._state.clear()
        self._averages.clear()

    def lost(self) -> None:
        """The own shards are gone."""
        self.caught_up()
        self.built, self._busy = False, False

    def state(self, peer: str, message: StateChunk, values: Any) -> None:
        """Part of a whole state."""
        context = self._context
        if peer != self._donor or self._busy or context.applying is not None or self.state_length == 0:
            context.ignore("a state that nobody asked for")
            return
        if message.commit != self._state_commit:
            self._state.clear()
            self._state_commit, self._expected_hash = message.commit, message.parameter_hash
        self._state[message.chunk] = values
        self._comes()
        if len(self._state) == chunk_count(self.state_length):
            whole = np.concatenate([self._state[number] for number in sorted(self._state)])
            self._state.clear()
            self._busy = True
            context.held = -1
            context.waits.start(context.now, ("load",), "load", f"the shards of {context.me.name} took no state")
            context.out.append(LoadState(message.commit, whole))

    def loaded(self, commit: int, parameter_hash: str) -> None:
        """The state is in the shards."""
        context = self._context
        self._busy = False
        context.waits.done(context.now, ("load",))
        if parameter_hash != self._expected_hash:
            context.note("damaged", f"the state of commit {commit} from {context.named(self._donor)} was damaged")
            self.overdue()
            return
        context.held, context.parameter_hash = commit, parameter_hash
        self._replay()

    def average(self, peer: str, message: AverageChunk, values: Any) -> None:
        """Part of an average that was decided."""
        context = self._context
        if peer != self._donor or message.commit <= context.held or self.gradient_length == 0:
            context.ignore("an average that nobody asked for")
            return
        self._about[message.commit] = message
        self._averages.setdefault(message.commit, {})[message.chunk] = values
        if message.commit == context.held + 1 or self._state or self._busy:
            self._comes()
        if len(self._averages) > MOST_AHEAD:
            self.overdue()
        else:
            self._replay()

    def _replay(self) -> None:
        """Apply the next average, if it is here whole."""
        context = self._context
        parts = self._averages.get(context.held + 1, {})
        if (
            self._busy
            or context.applying is not None
            or context.held < 0
            or len(parts) < chunk_count(self.gradient_length)
        ):
            return
        whole = np.concatenate([parts[number] for number in sorted(parts)])
        del self._averages[context.held + 1]
        about = self._about.pop(context.held + 1)
        self._busy = True
        context.waits.start(context.now, ("apply",), "apply", f"the shards of {context.me.name} did not apply")
        context.out.append(ApplyUpdate(context.held, whole, about.clip_factor))

    def applied(self, step: int, parameter_hash: str) -> bool:
        """A replayed average is in the shards; False when it was not ours."""
        if not self._busy:
            return False
        self._busy = False
        context = self._context
        context.waits.done(context.now, ("apply",))
        context.held, context.parameter_hash = step + 1, parameter_hash
        self._replay()
        return True
