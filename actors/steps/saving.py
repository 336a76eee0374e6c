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

from actors.steps import events
from actors.steps.ballots import Decision
from actors.steps.context import Context
from actors.steps.messages import Saved, Sealed, Stored

EARLY = 256
LONGEST = 400
"""Characters of a reason that others are told."""


class Saver:
    """One checkpoint after the other, at one participant."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._id: tuple[int, int] | None = None
        """History and commit of the checkpoint under way."""
        self._everybody: tuple[str, ...] = ()
        """Who held the commit, in order."""
        self._writers: tuple[str, ...] = ()
        """Those of the own stage: part n is the n-th one's."""
        self._holders: dict[str, int] = {}
        """All of them -> their stages."""
        self._unable: set[str] = set()
        """Writers that have lost what they should write."""
        self._asked: set[int] = set()
        self._parts: dict[int, bytes] = {}
        self._mine: dict[int, bytes] = {}
        self._stages: dict[int, bytes] = {}
        self._sealing = self._committing = False
        self._turn = 0
        """How often those in front of us have kept everybody waiting."""
        self._due: tuple[tuple[int, int], dict[str, int]] | None = None
        """Place of the checkpoint of the commit that was decided last -> who held it, and of which stage."""
        self._early: deque[tuple[str, Saved | Sealed]] = deque(maxlen=EARLY)
        """About a checkpoint that has not begun here yet."""

    def decided(self, decision: Decision) -> None:
        """A step is decided: what has to be saved follows from that, whatever changes before it is applied."""
        setup, commit = self._context.setup, decision.step
        due = setup.save_every > 0 and decision.record is not None and commit > setup.first
        due = due and (commit % setup.save_every == 0 or commit == setup.steps)
        place = (setup.history + len(decision.returns), commit)
        stages = {member.peer_id: member.stage for member in decision.members}
        self._due = (place, {peer: stages.get(peer, -1) for peer in sorted(decision.holders)}) if due else None
        if due and self._context.applying is None:
            self.lost()  # what was averaged here is gone already

    def consider(self) -> None:
        """The own shards hold the step's parameters: begin, if it is time."""
        context = self._context
        if self._due is None or self._due[0][1] != context.held:
            return
        (place, holders), self._due = self._due, None
        mine = holders.get(context.me.peer_id, -1)
        if place <= context.stored or mine != context.me.stage:
            return
        self._give_up()
        self._id, self._everybody, self._holders = place, tuple(holders), holders
        self._writers = tuple(peer for peer, stage in holders.items() if stage == mine)
        self._await("parts")
        self._write(self._writers.index(context.me.peer_id))
        self._take_over()
        early, self._early = self._early, deque(maxlen=EARLY)
        for peer, message in early:
            self.receive(peer, message)

    def _await(self, what: str) -> None:
        """Patience for the own stage's parts, and then for the rest."""
        context = self._context
        text = f"not all {what} of the checkpoint of commit {context.step} are there (stage {context.me.stage})"
        context.waits.start(context.now, ("saving parts",), what, text)

    def overdue(self, text: str) -> None:
        """Somebody is there and does not get on: somebody else does the same, too."""
        if self._id is None:
            return
        self._context.note("checkpoint", text)
        if len(self._parts) < len(self._writers):
            self._take_over(late=True)
            self._await("parts")
            return
        self._turn += 1
        self._sealing = self._committing = False
        self._await("stages")
        self._advance()

    def lost(self) -> None:
        """The own shards are gone, with what was asked of them: others, who still hold the commit, should know."""
        context, place, holders = self._context, self._id, self._holders
        if self._due is not None:
            (place, holders), self._due = self._due, None
        self._asked = set(self._mine)
        self._sealing = self._committing = False
        me = context.me.peer_id
        writers = [peer for peer, stage in holders.items() if stage == holders.get(me, -1)]
        if place is None or me not in holders or writers.index(me) in self._mine:
            return
        for peer in holders:
            if peer in context.usable and peer != me:
                context.send(peer, Saved(*place, holders[me], writers.index(me), b""))

    def _give_up(self) -> None:
        """The last one did not get complete."""
        if self._id is not None:
            lacking = [str(stage) for stage in range(self._context.setup.stages) if stage not in self._stages]
            what = f"stage {', '.join(lacking)}" if lacking else "its manifest"
            self._context.note("checkpoint", f"that of commit {self._id[1]} is given up: {what} was not written")
        self.forget()

    def forget(self) -> None:
        """What is under way is of no use any more."""
        self._id, self._everybody, self._writers = None, (), ()
        self._holders = {}
        self._unable.clear()
        self._asked.clear()
        for kept in (self._parts, self._mine, self._stages):
            kept.clear()
        self._sealing = self._committing = False
        self._turn = 0
        self._context.waits.cancel(("saving parts",))

    def _write(self, part: int) -> None:
        assert self._id is not None
        self._asked.add(part)
        self._context.out.append(events.SavePart(*self._id, part, len(self._writers)))

    def _take_over(self, *, late: bool = False) -> None:
        """Parts of those who are gone, or late, are written by the first other one who still holds the commit."""
        context = self._context
        if self._id is None or context.held != self._id[1] or context.applying is not None:
            return
        here = [peer for peer in self._writers if self._serves(peer)]
        for part, peer in enumerate(self._writers):
            missing = part not in self._parts and part not in self._asked
            others = [one for one in here if one != peer]
            if missing and (late or peer not in here) and others[:1] == [context.me.peer_id]:
                why = "late" if peer in here else "gone"
                context.note("checkpoint", f"{context.me.name} writes the part of {context.name(peer)}, who is {why}")
                self._write(part)

    def _serves(self, peer: str) -> bool:
        """Whether it is still there, and has not moved to another stage."""
        context, member = self._context, self._context.view.member(peer)
        there = peer in context.usable and peer not in context.gone and peer not in self._unable
        return there and member is not None and member.stage == context.me.stage

    # What is done

    def part_saved(self, event: events.PartSaved) -> None:
        """A part that was asked of the own shards is in the store."""
        if (event.history, event.commit) != self._id:
            return
        self._mine[event.part] = event.receipt
        self._tell_part(event.part)

    def _tell_part(self, part: int) -> None:
        context = self._context
        assert self._id is not None
        message = Saved(*self._id, context.me.stage, part, self._mine[part])
        for peer in self._writers:
            if peer in context.usable:
                context.send(peer, message)

    def receive(self, peer: str, message: Saved | Sealed | Stored) -> None:
        """Somebody else has got on."""
        match message:
            case Saved():
                self.saved(peer, message)
            case Sealed():
                self.sealed(peer, message)
            case Stored():
                self.stored(message)

    def saved(self, peer: str, message: Saved) -> None:
        """A replica of the own stage has written a part, or somebody has lost what it should write."""
        current = self._current(peer, message)
        if current and not message.receipt:
            self._unable.add(peer)
            self._take_over()
            self._advance()
        elif not current or message.stage != self._context.me.stage:
            self._context.ignore("a part of another checkpoint")
        elif 0 <= message.part < len(self._writers) and message.part not in self._parts:
            self._parts.setdefault(message.part, message.receipt)
            if len(self._parts) == len(self._writers):
                self._context.waits.done(self._context.now, ("saving parts",))
                self._await("stages")
            self._advance()

    def _current(self, peer: str, message: Saved | Sealed) -> bool:
        """Whether it is about the checkpoint under way; what comes too early is kept."""
        place = (message.history, message.commit)
        if place != self._id and place > max(self._id or (-1, -1), self._context.stored):
            self._early.append((peer, message))
        return place == self._id

    def stage_sealed(self, event: events.StageSealed) -> None:
        """The own stage is whole in the store."""
        if (event.history, event.commit) == self._id:
            self._sealing = False
            self._context.send_all(Sealed(*self._id, self._context.me.stage, event.receipt))

    def sealed(self, peer: str, message: Sealed) -> None:
        """A stage is whole in the store."""
        if self._current(peer, message) and 0 <= message.stage < self._context.setup.stages:
            self._stages[message.stage] = message.receipt
            self._advance()

    def committed(self, event: events.CheckpointCommitted) -> None:
        """The manifest is in the store."""
        self._context.send_all(Stored(event.history, event.commit))

    def stored(self, message: Stored) -> None:
        """A checkpoint exists."""
        context, place = self._context, (message.history, message.commit)
        if not context.may_exist(place) or place <= context.stored:
            context.ignore("a checkpoint that cannot be, or is known")
            return
        if message.lost:
            context.unsaved = max(context.unsaved, place)
            return
        context.stored = place
        if self._id is not None and place >= self._id:
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
        place = (context.setup.history + len(context.decision.returns), context.step)
        return context.setup.save_every == 0 or place <= max(context.stored, context.unsaved)

    def failed(self, event: events.SaveFailed) -> None:
        """The store, or somebody's disk, does not take it: a person should know. The next checkpoint is tried again."""
        self._context.note("checkpoint", f"that of commit {event.commit} fails here: {event.reason}")
        if (event.history, event.commit) == self._id:
            self._sealing = self._committing = False
            self._context.send_all(Stored(*self._id, event.reason[:LONGEST]))

    def greet(self, peer: str) -> None:
        """Somebody is back who may have missed what there is."""
        if self._context.stored[1] >= 0:
            self._context.send(peer, Stored(*self._context.stored))

    def peers_changed(self) -> None:
        """Somebody came, went or moved: do what was theirs, and say again what they may have missed."""
        if self._id is None:
            return
        for part in sorted(self._mine):
            self._tell_part(part)
        if (mine := self._stages.get(self._context.me.stage)) is not None and self._first(self._writers):
            self._context.send_all(Sealed(*self._id, self._context.me.stage, mine))
        self._take_over()
        self._advance()

    def _first(self, peers: tuple[str, ...]) -> bool:
        """Whether it is our turn: we are the first of them that can be reached, or those before us were waited for."""
        context = self._context
        here = [peer for peer in peers if peer in context.usable and context.view.member(peer) is not None]
        able = [peer for peer in here if peer not in self._unable]
        return bool(able) and able[self._turn % len(able)] == context.me.peer_id

    def _advance(self) -> None:
        """Seal, or commit, if it is ours to do."""
        context, stage = self._context, self._context.me.stage
        if self._id is None:
            return
        if len(self._parts) == len(self._writers) and stage not in self._stages and not self._sealing:
            if self._first(tuple(peer for peer in self._writers if self._serves(peer))):
                self._sealing = True
                receipts = tuple(self._parts[part] for part in sorted(self._parts))
                context.out.append(events.SealStage(*self._id, receipts))
        elif len(self._stages) == context.setup.stages and not self._committing and self._first(self._everybody):
            self._committing = True
            receipts = tuple(self._stages[number] for number in sorted(self._stages))
            context.out.append(events.CommitCheckpoint(*self._id, receipts))
