"""The memory of a vote, on disk: what a participant has promised and accepted must outlive its process."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

from actors.steps.vote import Vote
from actors.transport.errors import WireError
from actors.transport.fields import Budget, converter_for
from actors.transport.schema import pack, unpack
from checkpoint.files import replacing, settle

log = logging.getLogger("tessera.vote")
_VOTE = converter_for(Vote)
_HASH = 16


class StaleVoteError(Exception):
    """An old vote stays on disk; the message says where, and why."""


class VoteFile:
    """One file in the participant's folder.

    Args:
        path: of the file.
        run_id: a vote of another run is none.
    """

    def __init__(self, path: Path, run_id: str) -> None:
        self._path, self._run_id = path, run_id

    def write(self, vote: Vote) -> None:
        """Replace the vote; it is on disk when this returns.

        Raises OSError when it cannot be written. Then the one before is deleted, too: a vote that is half remembered
        could be given twice, while one that is lost makes its owner another voter. Raises StaleVoteError when it cannot
        be deleted either: then nobody may hear of the new one.
        """
        try:
            data = pack({"run_id": self._run_id, "vote": _VOTE.pack(vote, Budget())})
            with replacing(self._path) as file:
                file.write(_digest(data) + data)
        except (OSError, WireError) as error:
            try:
                self.forget()
            except OSError as worse:
                raise StaleVoteError(f"{self._path} can be neither replaced ({error}) nor deleted ({worse})") from None
            raise OSError(str(error)) from None

    def read(self) -> Vote | None:
        """The vote of an earlier process; None where there is none, or it is damaged: then the vote is lost."""
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            log.error("%s cannot be read: %s", self._path, error)
            return None
        data = content[_HASH:]
        try:
            if _digest(data) != content[:_HASH]:
                raise WireError("bad-field", "its content is not what was written")
            plain = unpack(data)
            if plain.get("run_id") != self._run_id:
                return None
            vote: Vote = _VOTE.unpack(plain.get("vote"), Budget())
        except WireError as error:
            log.error("%s is damaged, so the vote in it is lost: %s", self._path, error.detail)
            return None
        return vote

    def forget(self) -> None:
        """Whoever has left has no vote any more."""
        self._path.unlink(missing_ok=True)
        settle(self._path.parent)


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=_HASH).digest()
