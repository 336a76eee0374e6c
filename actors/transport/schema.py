"""Wire messages: frozen dataclasses under a kind, checked field by field. Nothing is ever unpickled or evaluated."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, is_dataclass
from typing import Any, TypeVar

import msgpack

from actors.transport.errors import WireError
from actors.transport.fields import MAX_ENTRIES, MAX_TEXT, Budget, Converter, converter_for

MAX_HEADER = 1 << 20
"""Bytes of an encoded message."""

Message = TypeVar("Message")


class Lane(enum.Enum):
    """Which of a link's two connections a message takes. Control never waits behind bulk."""

    CONTROL = 0
    BULK = 1


class TrafficClass(enum.Enum):
    """What bytes are counted as."""

    BOUNDARY = "boundary"
    """Activations and their gradients between stages."""
    AVERAGING = "averaging"
    """Gradient slices between replicas of a stage."""
    CONTROL = "control"
    """All else."""


@dataclass(frozen=True)
class MessageKind:
    """What is known about all messages of one kind."""

    kind: str
    cls: type[Any]
    lane: Lane
    traffic: TrafficClass
    tensors: int
    """Exactly so many tensors travel with each."""
    background: bool
    """Begins only while no ordinary message waits in its lane, and so may be overtaken by later ones; for about a
    second it gives way to those for other peers too."""
    converter: Converter


class MessageRegistry:
    """The kinds of messages that a run speaks."""

    def __init__(self) -> None:
        self._by_kind: dict[str, MessageKind] = {}
        self._by_cls: dict[type[Any], MessageKind] = {}

    def message(
        self,
        *,
        kind: str,
        lane: Lane = Lane.CONTROL,
        traffic: TrafficClass = TrafficClass.CONTROL,
        tensors: int = 0,
        background: bool = False,
    ) -> Callable[[type[Message]], type[Message]]:
        """Class decorator that registers a frozen dataclass; raises TypeError when it cannot travel."""

        def register(cls: type[Message]) -> type[Message]:
            if kind in self._by_kind or cls in self._by_cls:
                raise TypeError(f"{kind!r} or {cls.__name__} is registered already")
            if not is_dataclass(cls):
                raise TypeError(f"{cls.__name__} is no dataclass")
            if background and lane is not Lane.BULK:
                raise TypeError(f"{cls.__name__} is background, which only the bulk lane has")
            self._add(MessageKind(kind, cls, lane, traffic, tensors, background, converter_for(cls)))
            return cls

        return register

    def _add(self, entry: MessageKind) -> None:
        self._by_kind[entry.kind] = entry
        self._by_cls[entry.cls] = entry

    def merged(self, other: MessageRegistry) -> MessageRegistry:
        """A new registry with the kinds of both; raises TypeError when they share one."""
        if shared := self._by_kind.keys() & other._by_kind.keys():
            raise TypeError(f"kinds in both registries: {sorted(shared)}")
        both = MessageRegistry()
        for entry in (*self._by_kind.values(), *other._by_kind.values()):
            both._add(entry)
        return both

    def kind_of(self, message: object) -> MessageKind:
        """The kind of a message; raises WireError("unknown-kind")."""
        entry = self._by_cls.get(type(message))
        if entry is None:
            raise WireError("unknown-kind", f"{type(message).__name__} is not registered")
        return entry

    def encode(self, message: object) -> bytes:
        """Bytes of a message without tensors; raises WireError when a field does not fit its annotation."""
        return pack(self.to_plain(message))

    def decode(self, data: bytes) -> object:
        """The message of `encode`; raises WireError for anything else."""
        plain = unpack(data)
        if plain.keys() != {"kind", "body"}:
            raise WireError("bad-header", "a message is a map of kind and body")
        return self.from_plain(plain)[1]

    def to_plain(self, message: object) -> dict[str, Any]:
        """A checked message as plain values, {kind, body}."""
        entry = self.kind_of(message)
        try:
            return {"kind": entry.kind, "body": entry.converter.pack(message, Budget())}
        except WireError as error:
            raise WireError(error.reason, f"{entry.kind}.{error.detail}") from None

    def from_plain(self, plain: dict[Any, Any]) -> tuple[MessageKind, object]:
        """Kind and message of plain values that a peer sent; raises WireError."""
        kind = plain.get("kind")
        entry = self._by_kind.get(kind) if isinstance(kind, str) else None
        if entry is None:
            raise WireError("unknown-kind", f"no message kind {str(kind)[:40]!r}")
        try:
            return entry, entry.converter.unpack(plain.get("body"), Budget())
        except WireError as error:
            raise WireError(error.reason, f"{entry.kind}.{error.detail}") from None


def pack(plain: dict[str, Any]) -> bytes:
    """msgpack bytes; raises WireError("oversized-header") beyond a mebibyte."""
    try:
        data: bytes = msgpack.packb(plain, use_bin_type=True)
    except (UnicodeEncodeError, ValueError, TypeError) as error:
        raise WireError("bad-field", str(error)) from None
    if len(data) > MAX_HEADER:
        raise WireError("oversized-header", f"{len(data)} bytes of header, at most {MAX_HEADER}")
    return data


def unpack(data: bytes | bytearray | memoryview) -> dict[Any, Any]:
    """The map in msgpack bytes, with every length bounded beforehand; raises WireError."""
    size = len(data)
    if size > MAX_HEADER:
        raise WireError("oversized-header", f"{size} bytes of header, at most {MAX_HEADER}")
    try:
        plain = msgpack.unpackb(
            data,
            raw=False,
            strict_map_key=False,
            max_str_len=min(size, 4 * MAX_TEXT),
            max_bin_len=size,
            max_array_len=min(size, MAX_ENTRIES),
            max_map_len=min(size, MAX_ENTRIES),
            max_ext_len=0,
        )
    except (ValueError, TypeError, RecursionError, msgpack.exceptions.UnpackException) as error:
        raise WireError("bad-msgpack", f"{type(error).__name__}: {str(error)[:100]}") from None
    if not isinstance(plain, dict):
        raise WireError("bad-header", f"a header is a map, not {type(plain).__name__}")
    return plain
