"""What two transports say to each other, below the messages of a run.

Hello and Refusal never change their fields, so that any two versions can at least tell each other their versions.
"""

from __future__ import annotations

from dataclasses import dataclass

from actors.transport.schema import Lane, MessageRegistry

PROTOCOL = 1
"""Raised when frames or link messages change incompatibly."""
SOFTWARE = "0.1.0"
"""Version of the package; named in refusals, never compared."""

LINK_MESSAGES = MessageRegistry()


@dataclass(frozen=True)
class Hello:
    """The first frame of each side after TLS."""

    protocol: int
    software: str
    run_id: str
    lane: Lane
    name: str
    session: str
    """Random; new whenever the sender begins the link from nothing, so that a restart is noticed."""
    received: int
    """Messages of `peer_session` received over this lane: sending goes on after them."""
    peer_session: str
    """The session of the other side that the sender knows; empty for none."""


@dataclass(frozen=True)
class Refusal:
    """The last frame of a side that will not talk."""

    reason: str
    detail: str


@dataclass(frozen=True)
class Ping:
    """Asks for a Pong, over the control lane."""

    sent_at: float
    """The sender's monotonic clock in seconds; only the sender uses it."""
    control: int
    """Messages received over the control lane in this session; they need not be kept for repeating."""
    bulk: int
    """The same for the bulk lane."""


@dataclass(frozen=True)
class Pong:
    """Answers a Ping with its own time stamp."""

    sent_at: float
    control: int
    bulk: int


@dataclass(frozen=True)
class Ack:
    """Frees what a sender keeps, between pings."""

    control: int
    bulk: int


@dataclass(frozen=True)
class Bye:
    """The sender closes on purpose."""


# Until its lane is open, a connection speaks control frames, whichever lane it is going to carry.
LINK_MESSAGES.message(kind="link.hello", lane=Lane.CONTROL)(Hello)
LINK_MESSAGES.message(kind="link.refusal", lane=Lane.CONTROL)(Refusal)
LINK_MESSAGES.message(kind="link.ping", lane=Lane.CONTROL)(Ping)
LINK_MESSAGES.message(kind="link.pong", lane=Lane.CONTROL)(Pong)
LINK_MESSAGES.message(kind="link.ack", lane=Lane.CONTROL)(Ack)
LINK_MESSAGES.message(kind="link.bye", lane=Lane.CONTROL)(Bye)
