"""What one participant does with whole checkpoints of the run: lists those in the store, and completes a new one.

Their parts are the shards' work; see `Workshop`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from actors.manifest import commit_checkpoint, whole_checkpoints
from actors.spec import ParticipantSpec
from actors.steps import effects, events
from actors.steps.participant import Participant


class Checkpointing:
    """Calls of the store run in threads, beside the event loop.

    Args:
        spec: the participant, with the run's store.
        participant: its protocol, for where it is.
        tell: takes events for the protocol.
        note: takes (kind, detail) for a person.
    """

    def __init__(
        self,
        spec: ParticipantSpec,
        participant: Participant,
        tell: Callable[[events.Event], None],
        note: Callable[[str, str], None],
    ) -> None:
        self._spec, self._participant, self._tell, self._note = spec, participant, tell, note

    async def list_whole(self) -> None:
        """Look which checkpoints have all their files; answers `CheckpointsListed`, or nothing when that fails."""
        try:
            found = await asyncio.to_thread(whole_checkpoints, self._spec.checkpoint.url)
        except Exception as error:
            self._note("checkpoint", str(error) or type(error).__name__)
            return
        self._tell(events.CheckpointsListed(found))

    async def commit(self, effect: effects.CommitCheckpoint) -> None:
        """Write the manifest, and clear away what is not kept; answers `CheckpointCommitted` or `SaveFailed`."""
        place = (effect.history, effect.commit)
        context = self._participant.context
        about = {"slot": context.decision.slot, "view": context.view.number}
        try:
            said = await asyncio.to_thread(commit_checkpoint, self._spec, *place, effect.receipts, about)
        except Exception as error:  # whatever a store's library raises costs this checkpoint, and nothing else
            self._tell(events.SaveFailed(*place, str(error) or type(error).__name__))
            return
        self._note("checkpoint", said)
        self._tell(events.CheckpointCommitted(*place))
