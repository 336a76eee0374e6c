"""States on the own disk, one every so many commits, and in the checkpoint store: for whoever holds none."""

from __future__ import annotations

from actors.steps.context import Context
from actors.steps.effects import DropState, FetchCheckpoint, KeepState, RestoreState
from actors.steps.eras import origin
from actors.steps.events import FetchFailed

FETCH_FLOORS = 180.0
"""So many floors of patience a stage may take to come from the checkpoint store: an hour at twenty seconds."""
LONGEST = 400
"""Characters of a reason that others are told."""


class Archive:
    """Writes and restores states of the own stage."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._asked = -1
        """Commit that was last asked to be written."""
        self._dropped: set[tuple[int, int]] = set()

    def kept(self, states: frozenset[tuple[int, int]]) -> None:
        """These are on disk now. What was to be restored and is not among them could not be read."""
        context = self._context
        context.kept = states
        self.tidy()
        if context.waits.waiting(("load",)) and context.restoring and not self._can_restore():
            context.restoring = False
            context.waits.cancel(("load",))

    def tidy(self) -> None:
        """What is kept of eras that were given up goes: the newest that count should stay."""
        context = self._context
        returns = context.decision.returns
        for era, commit in sorted(context.kept - self._dropped):
            if era <= len(returns) and era != origin(returns, commit):
                self._dropped.add((era, commit))
                context.out.append(DropState(era, commit))

    def keep(self) -> None:
        """Write the state down, if it is time."""
        context = self._context
        every, commit = context.setup.keep_every, context.held
        due = every > 0 and (commit % every == 0 or commit == context.setup.first)
        if not due or commit in (self._asked, *context.returnable):
            return
        self._asked = commit
        context.out.append(KeepState(origin(context.decision.returns, commit), commit))

    def restore(self) -> bool:
        """Read the very state that the step needs, if disk or store has it; returns whether it is on its way."""
        context = self._context
        if context.restoring:
            return True
        if self._can_restore():
            context.out.append(RestoreState(origin(context.decision.returns, context.step), context.step))
            context.waits.start(context.now, ("load",), "load", f"the shards of {context.me.name} took no state")
        elif (source := self._source()) is not None and source not in context.unusable:
            context.out.append(FetchCheckpoint(*source, context.step == context.setup.first))
            text = f"{context.me.name} did not get commit {context.step} from the checkpoint store"
            context.waits.after(context.now, ("fetch",), FETCH_FLOORS * context.setup.floor_s, text)
        else:
            return False
        context.restoring = True
        return True

    def _can_restore(self) -> bool:
        context = self._context
        return context.step > 0 and context.step in context.returnable

    def _source(self) -> tuple[int, int] | None:
        """The checkpoint that the step under way was taken up from, where it was."""
        context = self._context
        if context.step == context.setup.first and context.setup.resumed >= 0:
            return context.setup.resumed, context.step
        return context.decision.source if context.decision.source[1] == context.step >= 0 else None

    def fetch_failed(self, event: FetchFailed) -> None:
        """A checkpoint cannot be used here; the state may come from a replica that could."""
        context = self._context
        context.unusable[event.history, event.commit] = event.reason[:LONGEST]
        context.restoring = False
        context.waits.cancel(("fetch",))
        what = f"{context.me.name} (stage {context.me.stage}) cannot use the checkpoint of commit {event.commit}"
        context.note("damaged", f"{what}: {event.reason}")

    def restored(self, commit: int, parameter_hash: str) -> None:
        """The state is in the shards."""
        context = self._context
        if not context.restoring:
            return
        context.restoring = False
        context.waits.done(context.now, ("load",))
        context.waits.cancel(("fetch",))
        context.held, context.parameter_hash = commit, parameter_hash
        context.note("restored", f"{context.me.name} has restored commit {commit} of its stage")

    def lost(self) -> None:
        """The shards are gone, with what was asked of them."""
        self._asked, self._context.restoring = -1, False
        self._context.waits.cancel(("fetch",))

    def moved(self) -> None:
        """Another stage is ours: what is kept of the one before is of no use."""
        self._context.kept = frozenset()
        self.lost()
