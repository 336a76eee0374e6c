"""What the membership core is told, and what it wants done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from actors.membership.messages import Message

# Events


@dataclass(slots=True)
class Received:
    """A message from a peer that the link has authenticated."""

    peer: str
    message: Message


@dataclass(slots=True)
class Broken:
    """A standing link to a peer broke, not on purpose: a hint."""

    peer: str


@dataclass(slots=True)
class Unreachable:
    """A message could not be sent: no connection formed."""

    peer: str
    """Empty when only an address was known."""
    refused: bool
    """The machine answered that nobody listens there."""


@dataclass(slots=True)
class Hint:
    """Something else says that a peer may be gone: a deadline of the pipeline, a dead shard."""

    peer: str
    reason: str


@dataclass(slots=True)
class Join:
    """Find the mesh through these addresses (each `kind:rest`); they are kept and tried again whenever the members
    behind them are not in the view."""

    addresses: tuple[str, ...]


@dataclass(slots=True)
class Update:
    """The own record changes: any of stage, addresses, capacity, throughput, state."""

    changes: dict[str, Any]


@dataclass(slots=True)
class Leave:
    """Say goodbye; the member is gone `leave_s` later, and `left` is then true."""


@dataclass(slots=True)
class Tick:
    """A deadline may have passed."""


Event = Received | Broken | Unreachable | Hint | Join | Update | Leave | Tick

# Effects


@dataclass(slots=True)
class Send:
    """Bring a message to a peer, over a link that stands or through one of the addresses. Nothing waits for it."""

    peer: str
    addresses: tuple[str, ...]
    message: Message


@dataclass(slots=True)
class Contact:
    """Bring a message to whoever of this run answers at an address."""

    address: str
    message: Message


@dataclass(slots=True)
class Changed:
    """The view changed: routing has to look again."""

    peer: str
    what: str
    """joined, updated, suspect, refuted, dead, left, back."""


@dataclass(slots=True)
class Note:
    """Something a person should know."""

    kind: str
    peer: str
    detail: str


Effect = Send | Contact | Changed | Note
