"""What members' gossip cores say to each other, and how it is written.

On the wire a message is a msgpack array that begins with its number. Messages may be lost, repeated and reordered;
statements in them are signed, everything else is believed of the peer that the link has authenticated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgpack

from actors.membership.statements import MAX_STATEMENT, RefusedError, unpack_list

MAX_MESSAGE = 512 << 10
"""Bytes of one message; a digest of 16,384 members is the largest."""
MAX_UPDATES = 64
MAX_ITEMS_BYTES = 48 << 10
"""Statements are sent in messages of about this size."""
ENTRY = 17
"""Bytes of a digest's entry: 8 of the identity, 8 of the incarnation, 1 for gone."""
_WORD = 1 << 64


@dataclass(slots=True)
class Ping:
    """Are you there? Answered by an Ack with the same number."""

    seq: int
    view: int
    """The sender's view hash."""
    updates: tuple[bytes, ...] = ()
    """Statements: news, and what is said about the receiver."""


@dataclass(slots=True)
class Ack:
    """The answer to a Ping; also passed on by a member that pinged for another."""

    seq: int
    view: int
    updates: tuple[bytes, ...] = ()


@dataclass(slots=True)
class PingRequest:
    """Ping that member for me."""

    seq: int
    target: str
    updates: tuple[bytes, ...] = ()


@dataclass(slots=True)
class Nack:
    """It did not answer me either. Tells the asker that its own links work (Lifeguard)."""

    seq: int
    refused: bool
    """The target's machine refused the connection."""


@dataclass(slots=True)
class Gossip:
    """News."""

    updates: tuple[bytes, ...]


@dataclass(slots=True)
class Sync:
    """Push-pull begins: this is my view hash. Answered by a Digest, when the hashes differ, or by a Sync."""

    view: int
    answer: bool
    updates: tuple[bytes, ...] = ()


@dataclass(slots=True)
class Digest:
    """What I know, as numbers only. Answered by Items (what the sender lacks) and a Want (what it has beyond us)."""

    view: int
    entries: bytes


@dataclass(slots=True)
class Want:
    """Send me the statements about these: 8 bytes of each identity."""

    ids: bytes


@dataclass(slots=True)
class Items:
    """Statements that the receiver lacks."""

    updates: tuple[bytes, ...]


Message = Ping | Ack | PingRequest | Nack | Gossip | Sync | Digest | Want | Items
_KINDS: tuple[type[Any], ...] = (Ping, Ack, PingRequest, Nack, Gossip, Sync, Digest, Want, Items)
_NUMBERS: dict[type[Any], int] = {kind: number for number, kind in enumerate(_KINDS)}
_FIELDS: dict[type[Any], tuple[tuple[str, type], ...]] = {
    Ping: (("seq", int), ("view", int), ("updates", list)),
    Ack: (("seq", int), ("view", int), ("updates", list)),
    PingRequest: (("seq", int), ("target", bytes), ("updates", list)),
    Nack: (("seq", int), ("refused", bool)),
    Gossip: (("updates", list),),
    Sync: (("view", int), ("answer", bool), ("updates", list)),
    Digest: (("view", int), ("entries", bytes)),
    Want: (("ids", bytes),),
    Items: (("updates", list),),
}


def encode(message: Message) -> bytes:
    """Bytes of a message."""
    values: list[object] = [_NUMBERS[type(message)]]
    for name, kind in _FIELDS[type(message)]:
        value = getattr(message, name)
        if name == "target":
            value = bytes.fromhex(value)
        values.append(list(value) if kind is list else value)
    data: bytes = msgpack.packb(values)
    return data


def decode(data: bytes) -> Message:
    """The message in bytes from a peer. Raises RefusedError; allocates no more than the bytes that came."""
    if len(data) > MAX_MESSAGE:
        raise RefusedError("oversized", f"a message of {len(data)} bytes, at most {MAX_MESSAGE}")
    values = unpack_list(data)
    if not values or type(values[0]) is not int or not 0 <= values[0] < len(_KINDS):
        raise RefusedError("malformed", "no such kind of message")
    kind = _KINDS[values[0]]
    expected = _FIELDS[kind]
    if len(values) != len(expected) + 1:
        raise RefusedError("malformed", f"{kind.__name__} has {len(expected)} fields")
    fields = [_field(kind.__name__, name, of, value) for (name, of), value in zip(expected, values[1:], strict=True)]
    message: Message = kind(*fields)
    return message


def _field(kind: str, name: str, of: type, value: object) -> object:
    if type(value) is not of:
        raise RefusedError("malformed", f"{kind}.{name} is no {of.__name__}")
    if isinstance(value, list):
        return _updates(kind, value)
    if isinstance(value, int) and not 0 <= value < _WORD:
        raise RefusedError("malformed", f"{kind}.{name} is out of range")
    if name == "target":
        assert isinstance(value, bytes)
        if len(value) != 32:
            raise RefusedError("malformed", f"{kind}.target is no identity")
        return value.hex()
    if isinstance(value, bytes) and len(value) % (ENTRY if name == "entries" else 8):
        raise RefusedError("malformed", f"{kind}.{name} is cut off")
    return value


def _updates(kind: str, value: list[Any]) -> tuple[bytes, ...]:
    limit = MAX_UPDATES if kind != "Items" else 512
    if len(value) > limit:
        raise RefusedError("oversized", f"{kind} with {len(value)} statements, at most {limit}")
    for item in value:
        if type(item) is not bytes:
            raise RefusedError("malformed", f"a statement in {kind} is no byte string")
        if len(item) > MAX_STATEMENT:
            raise RefusedError("oversized", f"a statement of {len(item)} bytes in {kind}")
    return tuple(value)
