"""Getting a commit into the checkpoint store: each replica of a stage writes its part, and the manifest comes last.

    SavePart ─> Saved (part's receipt, to the own stage) ─> all parts: SealStage ─> Sealed (stage's receipt, to all)
        ─> all stages: CommitCheckpoint ─> Stored (to all)

Who seals is the first replica that can be reached, who commits the first of all who held the commit; when one dies the
next one does it again, which does no harm. The part of a replica that dies is written by another one, as long as it
still holds the commit. What is not complete when the next checkpoint is due is given up: the one before stands.
Receipts are opaque here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from actors.steps import effects, events
from actors.steps.ballots import Decision
from actors.steps.context import Context
from actors.steps.messages import Saved, Sealed, Stored

EARLY = 256
LONGEST = 400
"""Characters of a reason that others are told."""


@dataclass
class Underway:
    """One checkpoint, as far as it is known here."""

    place: tuple[int, int]
    """History and commit."""
    holders: dict[str, int]
    """Who held the commit, in order -> stage."""
    stage: int
    """The own one."""
    asked: set[int] = field(default_factory=set)
    """Parts that the own shards write."""
    mine: dict[int, bytes] = field(default_factory=dict)
    """Parts that they have written -> receipt."""
    parts: dict[int, bytes] = field(default_factory=dict)
    """Of the own stage, whoever has written them."""
    stages: dict[int, bytes] = field(default_factory=dict)
    """Stages that are sealed."""
    unable: set[str] = field(default_factory=set)
    """Holders that have lost what they should write."""
    turn: int = 0
    """How often those in front of us have kept everybody waiting."""
    sealing: bool = False
    committing: bool = False

    @property
    def writers(self) -> list[str]:
        """Of the own stage: part n is the n-th one's."""
        return [peer for peer, stage in self.holders.items() if stage == self.stage]

    @property
    def written(self) -> bool:
        """Whether all parts of the own stage are in the store."""
        return len(self.parts) == len(self.writers)


class Saver:
    """One checkpoint after the other, at one participant."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._due: Underway | None = None
        """The checkpoint of the commit that was decided last, until that is in the own shards."""
        self._now: Underway | None = None
        self._early: deque[tuple[str, Saved | Sealed]] = deque(maxlen=EARLY)
        """About a checkpoint that has not begun here yet."""

    # Beginning and ending

    def decided(self, decision: Decision) -> None:
        """A step is decided: what has to be saved follows from that, whatever changes before it is applied."""
        context, setup, commit = self._context, self._context.setup, decision.step
        due = setup.save_every > 0 and decision.record is not None and commit > setup.first
        due = due and (commit % setup.save_every == 0 or commit == setup.steps)
        stages = {member.peer_id: member.stage for member in decision.members}
        holders = {peer: stages.get(peer, -1) for peer in sorted(decision.holders)}
        self._due = Underway(self._place(commit), holders, holders.get(context.me.peer_id, -1)) if due else None
        if due and context.applying is None:
            self.lost()  # what was averaged here is gone already

    def _place(self, commit: int) -> tuple[int, int]:
        return self._context.setup.history + len(self._context.decision.returns), commit

    def consider(self) -> None:
        """The own shards hold the step's parameters: begin, if it is time."""
        context, due = self._context, self._due
        if due is None or due.place[1] != context.held:
            return
        self._due = None
        if due.place <= context.stored or due.stage != context.me.stage:
            return
        self._give_up()
        self._now = due
        self._await("parts")
        self._write(due, due.writers.index(context.me.peer_id))
        self._take_over()
        early, self._early = self._early, deque(maxlen=EARLY)
        for peer, message in early:
            self.receive(peer, message)

    def _await(self, what: str) -> None:
        """Patience for the own stage's parts, and then for the rest."""
        context = self._context
        text = f"not all {what} of the checkpoint of commit {context.step} are there (stage {context.me.stage})"
        context.waits.start(context.now, ("save",), what, text)

    def overdue(self, text: str) -> None:
        """Somebody is there and does not get on: somebody else does the same, too."""
        now = self._now
        if now is None:
            return
        self._context.note("checkpoint", text)
        if not now.written:
            self._take_over(late=True)
            self._await("parts")
            return
        now.turn += 1
        now.sealing = now.committing = False
        self._await("stages")
        self._advance()

    def lost(self) -> None:
        """The own shards are gone, with what was asked of them: others, who still hold the commit, should know."""
        context, lost, me = self._context, self._due or self._now, self._context.me.peer_id
        self._due = None
        if self._now is not None:
            self._now.asked = set(self._now.mine)
            self._now.sealing = self._now.committing = False
        if lost is None or me not in lost.holders or lost.writers.index(me) in lost.mine:
            return
        word = Saved(*lost.place, lost.stage, lost.writers.index(me), b"")
        for peer in lost.holders:
            if peer in context.usable and peer != me:
                context.send(peer, word)

    def _give_up(self) -> None:
        """The last one did not get complete."""
        if self._now is not None:
            lacking = [str(stage) for stage in range(self._context.setup.stages) if stage not in self._now.stages]
            what = f"stage {', '.join(lacking)}" if lacking else "its manifest"
            self._context.note("checkpoint", f"that of commit {self._now.place[1]} is given up: {what} was not written")
        self.forget()

    def forget(self) -> None:
        """What is under way is of no use any more."""
        self._now = None
        self._context.waits.cancel(("save",))

    # Writing

    def _write(self, now: Underway, part: int) -> None:
        now.asked.add(part)
        self._context.out.append(effects.SavePart(*now.place, part, len(now.writers)))

    def _take_over(self, *, late: bool = False) -> None:
        """Parts of those who are gone, or late, are written by the first other one who still holds the commit."""
        context, now = self._context, self._now
        if now is None or context.held != now.place[1] or context.applying is not None:
            return
        here = self._able(now.writers)
        for part, peer in enumerate(now.writers):
            missing = part not in now.parts and part not in now.asked
            others = [one for one in here if one != peer]
            if missing and (late or peer not in here) and others[:1] == [context.me.peer_id]:
                why = "late" if peer in here else "gone"
                context.note("checkpoint", f"{context.me.name} writes the part of {context.name(peer)}, who is {why}")
                self._write(now, part)

    def _able(self, peers: Iterable[str]) -> list[str]:
        """Of holders, those who are there, serve the stage that they had, and have lost nothing."""
        context, now = self._context, self._now
        if now is None:
            return []
        serving = {member.peer_id: member.stage for member in context.view.members if member.peer_id in context.usable}
        lost = {*context.gone, *now.unable}
        return [peer for peer in peers if peer not in lost and serving.get(peer) == now.holders[peer]]

    def _our_turn(self, peers: Iterable[str]) -> bool:
        """Whether we are the first of them, or those before us were waited for."""
        able, now = self._able(peers), self._now
        return bool(able) and now is not None and able[now.turn % len(able)] == self._context.me.peer_id

    def _advance(self) -> None:
        """Seal, or commit, if it is ours to do."""
        context, now = self._context, self._now
        if now is None:
            return
        if now.written and now.stage not in now.stages:
            if not now.sealing and self._our_turn(now.writers):
                now.sealing = True
                context.out.append(effects.SealStage(*now.place, _in_order(now.parts)))
        elif len(now.stages) == context.setup.stages and not now.committing and self._our_turn(now.holders):
            now.committing = True
            context.out.append(effects.CommitCheckpoint(*now.place, _in_order(now.stages)))

    # What is done here

    def part_saved(self, event: events.PartSaved) -> None:
        """A part that was asked of the own shards is in the store."""
        if self._now is not None and (event.history, event.commit) == self._now.place:
            self._now.mine[event.part] = event.receipt
            self._tell_part(self._now, event.part)

    def _tell_part(self, now: Underway, part: int) -> None:
        for peer in now.writers:
            if peer in self._context.usable:
                self._context.send(peer, Saved(*now.place, now.stage, part, now.mine[part]))

    def stage_sealed(self, event: events.StageSealed) -> None:
        """The own stage is whole in the store."""
        if self._now is not None and (event.history, event.commit) == self._now.place:
            self._now.sealing = False
            self._context.send_all(Sealed(*self._now.place, self._now.stage, event.receipt))

    def committed(self, event: events.CheckpointCommitted) -> None:
        """The manifest is in the store."""
        self._context.send_all(Stored(event.history, event.commit))

    def failed(self, event: events.SaveFailed) -> None:
        """The store, or somebody's disk, does not take it: a person should know. The next checkpoint is tried again."""
        place = (event.history, event.commit)
        self._context.note("checkpoint", f"that of commit {event.commit} fails here: {event.reason}")
        if self._now is not None and place == self._now.place:
            self._now.sealing = self._now.committing = False
            self._context.send_all(Stored(*place, event.reason[:LONGEST]))

    # What others say

    def receive(self, peer: str, message: Saved | Sealed | Stored) -> None:
        """Somebody else has got on."""
        if isinstance(message, Stored):
            self._stored(message)
            return
        now, place = self._now, (message.history, message.commit)
        if now is None or place != now.place:
            if place > max(now.place if now is not None else (-1, -1), self._context.stored):
                self._early.append((peer, message))
            self._context.ignore("a word about another checkpoint")
        elif isinstance(message, Saved):
            self._saved(now, peer, message)
        elif 0 <= message.stage < self._context.setup.stages:
            now.stages[message.stage] = message.receipt
        self._advance()

    def _saved(self, now: Underway, peer: str, message: Saved) -> None:
        """A replica of the own stage has written a part, or somebody has lost what it should write."""
        if not message.receipt:
            now.unable.add(peer)
            self._take_over()
        elif message.stage == now.stage and 0 <= message.part < len(now.writers) and message.part not in now.parts:
            now.parts[message.part] = message.receipt
            if now.written:
                self._context.waits.done(self._context.now, ("save",))
                self._await("stages")

    def _stored(self, message: Stored) -> None:
        """A checkpoint exists, or somebody cannot write his part of it."""
        context, place = self._context, (message.history, message.commit)
        if not context.may_exist(place) or place <= context.stored:
            context.ignore("a checkpoint that cannot be, or is known")
        elif message.lost:
            context.unsaved = max(context.unsaved, place)
        else:
            context.stored = place
            if self._now is not None and place >= self._now.place:
                self.forget()

    def listed(self, found: tuple[tuple[int, int], ...]) -> None:
        """What is in the store: those of eras that were given up, or of earlier runs, do not count."""
        context = self._context
        context.listed = tuple(place for place in found if context.may_exist(place))
        context.stored = max([context.stored, *context.listed])

    @property
    def settled(self) -> bool:
        """Whether the checkpoint that is due now exists, or somebody could not write his part of it."""
        context = self._context
        return context.setup.save_every == 0 or self._place(context.step) <= max(context.stored, context.unsaved)

    def greet(self, peer: str) -> None:
        """Somebody is back who may have missed what there is."""
        if self._context.stored[1] >= 0:
            self._context.send(peer, Stored(*self._context.stored))

    def peers_changed(self) -> None:
        """Somebody came, went or moved: do what was theirs, and say again what they may have missed."""
        now = self._now
        if now is None:
            return
        for part in sorted(now.mine):
            self._tell_part(now, part)
        if (mine := now.stages.get(now.stage)) is not None and self._our_turn(now.writers):
            self._context.send_all(Sealed(*now.place, now.stage, mine))
        self._take_over()
        self._advance()


def _in_order(receipts: dict[int, bytes]) -> tuple[bytes, ...]:
    return tuple(receipts[number] for number in sorted(receipts))
