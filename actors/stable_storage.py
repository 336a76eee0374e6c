"""Stable storage of one participant: its vote, and that its run has begun, outlive its process.

The term is that of Paxos: an acceptor answers only after what it promised is written where a crash does not reach it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from actors.steps.vote import Vote
from actors.vote_file import StaleVoteError, VoteFile

VOTE = "vote"
"""File in the participant's folder: what it has promised and accepted."""
BEGAN = "began"
"""File in the participant's folder: the run has begun, so a new process must join it and not begin another."""


class StableStorage:
    """Two files in the participant's folder.

    Args:
        folder: the participant's; None where nothing is kept.
        run_id: a vote of another run is none.
        name: of the participant.
        note: takes (kind, detail) for a person.
    """

    def __init__(self, folder: Path | None, run_id: str, name: str, note: Callable[[str, str], None]) -> None:
        self._name, self._note = name, note
        self._vote = VoteFile(folder / VOTE, run_id) if folder is not None else None
        self._began = folder / BEGAN if folder is not None else None
        self._begun = self._said = False
        self.stale = False
        """Nothing that follows on a vote may be said: it is not on disk, and an older one is."""

    @property
    def began(self) -> bool:
        """Whether the run has begun, in this process or in an earlier one."""
        return self._began is not None and self._began.exists()

    def begin(self) -> None:
        """The run has begun: write that down, once. On a disk that takes nothing it is tried again with every call."""
        if self._began is None or self._begun:
            return
        try:
            self._began.touch(mode=0o600)
            self._begun = True
        except OSError as error:
            if not self._said:
                self._note("disk", f"{self._name} cannot write down that the run has begun: {error}. Free the disk")
            self._said = True

    def vote(self) -> Vote | None:
        """What an earlier process of this participant had promised and accepted in this run."""
        return self._vote.read() if self._vote is not None and self.began else None

    def keep(self, vote: Vote) -> None:
        """Before anybody hears of it. On a disk that takes nothing the vote is in memory only, and dies with it."""
        try:
            if self._vote is not None:
                self._vote.write(vote)
        except OSError as error:
            self._note("disk", f"the vote of {self._name} cannot be kept: {error}")
        except StaleVoteError as error:  # whoever comes after us would give this vote again
            self.stale = True
            self._note("disk", f"{self._name} says nothing any more: {error}. Free the disk and start it again")

    def forget(self) -> None:
        """Whoever has left has no vote any more. A file that stays is of no use: others know that its vote is gone."""
        try:
            if self._vote is not None:
                self._vote.forget()
        except OSError as error:
            self._note("disk", f"the vote of {self._name} cannot be deleted: {error}")
