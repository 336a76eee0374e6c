"""What the rest of a participant sees of the network: a transport, the events it calls, and values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from actors.transport.deadline import Deadline
from actors.transport.schema import TrafficClass

Array = npt.NDArray[Any]
"""A tensor as the wire knows it: numpy, C order, one of the allowed dtypes."""


@dataclass(frozen=True)
class TensorSpec:
    """Shape and type of a tensor, known before its bytes are."""

    dtype: str
    """numpy name: float32, float16, uint16 (the bits of bfloat16), int8, uint8, int32 or int64."""
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of its values."""
        total = np.dtype(self.dtype).itemsize
        for dim in self.shape:
            total *= dim
        return total


@dataclass(frozen=True)
class Peer:
    """A member as a transport needs to know it."""

    peer_id: str
    """Hex of its raw Ed25519 public key."""
    name: str
    address: str
    """Where it listens, `host:port`."""


@dataclass(frozen=True)
class LinkInfo:
    """The state of one link now."""

    peer_id: str
    name: str
    up: bool
    """Both lanes are connected and their hellos agreed."""
    rtt_s: float | None
    """Smoothed round trip of pings in seconds; None before the first answer."""
    sent_bytes: int
    """Frame bytes handed to the network, pings and repeats after a break included."""
    received_bytes: int
    queued_bytes: int
    """Frame bytes accepted by `send` that the peer has not yet acknowledged."""


@dataclass(frozen=True)
class SentBytes:
    """Frame bytes (headers and tensors) accepted for sending since the transport began; a snapshot."""

    by_class: dict[TrafficClass, int] = field(default_factory=dict)
    boundary: dict[int, int] = field(default_factory=dict)
    """Boundary number -> bytes, for messages that have a `boundary` attribute."""

    @property
    def averaging(self) -> int:
        """Bytes of averaging between replicas."""
        return self.by_class.get(TrafficClass.AVERAGING, 0)

    @property
    def control(self) -> int:
        """Bytes of everything else, pings and acknowledgements included."""
        return self.by_class.get(TrafficClass.CONTROL, 0)


class TransportEvents(Protocol):
    """What a transport tells its owner. Called in the event loop; each must return quickly and must not raise."""

    def on_message(self, peer_id: str, message: object, tensors: tuple[Array, ...]) -> None:
        """A message of a member, once, in order within its lane; the tensors belong to the receiver.

        Background messages are in order among themselves, later ordinary ones of the bulk lane may come before them.
        """

    def on_peer_up(self, peer_id: str) -> None:
        """Both lanes to the member work, for the first time or again after a loss."""

    def on_peer_down(self, peer_id: str, reason: str) -> None:
        """The member is lost; what was queued for it is dropped. Dialling goes on until it is no member any more."""

    def admit(self, peer_id: str, message: object, specs: tuple[TensorSpec, ...]) -> str | None:
        """Why these tensors are not expected, or None. Asked before they are allocated."""

    def on_refused(self, reason: str, detail: str) -> None:
        """Something was refused and changed nothing."""


class Transport(Protocol):
    """Links to all members. One in memory, one over TCP; nothing above may care which."""

    @property
    def peer_id(self) -> str:
        """Hex of the own public key."""

    async def listen(self, host: str, port: int) -> str:
        """Listen; port 0 lets the system choose. Returns the bound `host:port`."""

    def set_members(self, members: Mapping[str, Peer]) -> None:
        """Keep links to exactly these (the own id is skipped); everyone else is refused."""

    async def send(self, peer_id: str, message: object, tensors: Sequence[Array] = (), *, deadline: Deadline) -> int:
        """Queue a message and return its bytes on the wire; waits while the queue is full.

        The tensors must not be written to afterwards: they are read when their turn comes, and again if the
        connection breaks before they were acknowledged. Raises LinkError, naming the peer, when it is lost, no
        member, or the deadline passed; WireError when the message does not fit its own schema.
        """

    def links(self) -> tuple[LinkInfo, ...]:
        """One entry a member, the own one not included."""

    @property
    def sent(self) -> SentBytes:
        """Cumulative bytes by purpose."""

    @property
    def refused(self) -> dict[str, int]:
        """Reason -> how many handshakes, frames or messages were refused for it."""

    async def close(self) -> None:
        """Send what is queued (for a second at most), say goodbye and release every socket."""
