"""What a voter must not forget when its process dies: it is on disk before anybody hears of it."""

from __future__ import annotations

from dataclasses import dataclass

from actors.steps.ballots import Decision


@dataclass(frozen=True)
class Vote:
    """The memory of one life (Lamport 1998: an acceptor's ledger), handed from one process to the next."""

    life: int
    """Who has the vote: the same for all processes that have had this memory."""
    starts: int
    """How many processes have begun with it. Orders of each have higher numbers than those of the ones before."""
    slot: int
    """The slot that what follows is about."""
    promised: int
    """The ballot that is obeyed."""
    accepted_ballot: int
    """-1 where nothing was accepted."""
    accepted: Decision | None
    decision: Decision
    """The newest one known."""
    dismissed: tuple[str, ...] = ()
    """Whose votes the owner had declared lost."""
