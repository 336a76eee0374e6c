"""`orchestrator drop`: let a run go on that has lost the majority of its votes; only its owner can.

A majority is what keeps two halves of a mesh from going on separately. The owner's word replaces it for one view: who
is named has no vote any more, and the rest decide among themselves.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from actors.keepsakes import owner_folder
from actors.records import MeshStatus
from actors.steps.ballots import dismissal
from actors.transport.errors import IdentityError
from actors.transport.identity import Owner
from orchestrator.config import ConfigError
from orchestrator.status import attached

RISK = (
    "If any of them still runs where it cannot be seen from here, with a majority of the votes, the run goes on there, "
    "too: there will be two models, and only one can be kept. A step that only they had agreed on is trained again."
)


def drop_votes(run: str, address: str, names: Sequence[str], owner: str, *, sure: bool, console: Console) -> int:
    """Declare the votes of `names` lost (of nobody: show which are); return the exit code.

    Args:
        run: id of the run; empty for the newest.
        address: of its Ray cluster; empty for the one that the run's note names.
        names: of participants whose votes are lost for good.
        owner: folder with the owner's key; empty for where this machine keeps it.
        sure: do not ask.
        console: where people read.

    Raises ConfigError.
    """
    with attached(run, address) as window:
        import ray

        from actors.spec import NAMESPACE

        status = window.ask()
        _show(status, console)
        if not names:
            return 0
        voters = chosen(status, names)
        console.print(RISK, highlight=False)
        if not sure and not _confirmed(console):
            return 1
        signature = _owner(window.run, owner).sign(dismissal(run, status.committed_view, voters)).hex()
        for name in window.names():
            with contextlib.suppress(ray.exceptions.RayError, ValueError):
                actor = ray.get_actor(name, namespace=NAMESPACE)
                actor.dismiss.remote(status.committed_view, voters, signature)
        console.print(f"Told the participants here to go on without {', '.join(names)}.", highlight=False)
    return 0


def chosen(status: MeshStatus, names: Sequence[str]) -> dict[str, int]:
    """Peer id -> life of the votes to be dropped. Raises ConfigError for those that are unknown or here."""
    votes = {vote.name: vote for vote in status.votes}
    for name in names:
        if name not in votes:
            raise ConfigError(f"{name} has no vote in view {status.committed_view}; these have: {', '.join(votes)}.")
        if not votes[name].lost:
            raise ConfigError(f"{name} is here and keeps its vote: drop only those that are lost for good.")
    return {votes[name].peer_id: votes[name].life for name in names}


def _show(status: MeshStatus, console: Console) -> None:
    lost = [vote for vote in status.votes if vote.lost]
    total, quorum = len(status.votes), len(status.votes) // 2 + 1
    console.print(
        f"view {status.committed_view}: {total - len(lost)} of {total} votes can be had, {quorum} must agree",
        highlight=False,
    )
    for vote in lost:
        console.print(f"  {vote.name} {vote.lost}", highlight=False)


def _confirmed(console: Console) -> bool:
    if not sys.stdin.isatty():
        raise ConfigError("nobody can be asked here: say --yes if you are sure.")
    return console.input("Go on without them (y/N)? ").strip().lower().startswith("y")


def _owner(run: str, folder: str) -> Owner:
    place = Path(folder) if folder else owner_folder(run)
    try:
        return Owner.load(place)
    except IdentityError as error:
        raise ConfigError(
            f"only the run's owner can drop votes: {error} (--owner FOLDER says where the key is)."
        ) from None
