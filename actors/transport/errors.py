"""What can go wrong on a link.

TransportError
├── IdentityError   a key or certificate cannot be used: its file is readable by others, or of another run
├── WireError       bytes or values that are not a message of this run: an unknown kind, a field of the wrong type
└── LinkError       a peer cannot be sent to now: it is lost, it is no member, or its queue stayed full
"""

from __future__ import annotations


class TransportError(Exception):
    """Base of everything that this package raises on purpose."""


class IdentityError(TransportError):
    """A key or certificate is missing, unsafe or does not fit; the sentence says what to do."""


class WireError(TransportError):
    """Something is not a message. `reason` is a short slug that is counted, `detail` a sentence for the log."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class LinkError(TransportError):
    """A message was not taken. `peer` is the name of the one that it was for."""

    def __init__(self, peer: str, detail: str) -> None:
        super().__init__(f"link to {peer}: {detail}")
        self.peer = peer
        self.detail = detail
