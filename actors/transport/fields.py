"""From type annotations to strict converters between Python values and plain msgpack values.

A converter is built once for every field when its message is registered; decoding then runs closures only. Types are
refused at registration when they are recursive, so the depth of a value is bounded by its annotation.
"""

from __future__ import annotations

import enum
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Union, get_args, get_origin

from actors.transport.errors import WireError

MAX_TEXT = 4096
"""Characters of one string."""
MAX_ENTRIES = 65536
"""Entries of all tuples, lists and dictionaries of a message together."""
INT_MIN, INT_MAX = -(2**63), 2**63 - 1


class Budget:
    """Counts container entries of one message down to nothing."""

    def __init__(self, entries: int = MAX_ENTRIES) -> None:
        self.left = entries

    def take(self, count: int) -> None:
        """Pay for that many entries; raises WireError when the message has too many."""
        self.left -= count
        if self.left < 0:
            raise WireError("too-many-entries", f"more than {MAX_ENTRIES} entries")


Convert = Callable[[Any, Budget], Any]


@dataclass(frozen=True)
class Converter:
    """Both directions for one type. Each checks its input and raises WireError("bad-field")."""

    pack: Convert
    unpack: Convert


def _bad(expected: str, value: object) -> WireError:
    return WireError("bad-field", f"expected {expected}, got {type(value).__name__}")


def _int(value: Any, _: Budget) -> int:
    if type(value) is not int:
        raise _bad("int", value)
    if not INT_MIN <= value <= INT_MAX:
        raise WireError("bad-field", "integer beyond 64 bits")
    return value


def _float(value: Any, _: Budget) -> float:
    if type(value) is not float:
        raise _bad("float", value)
    return value


def _pack_float(value: Any, _: Budget) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _bad("float", value)
    return float(value)


def _bool(value: Any, _: Budget) -> bool:
    if type(value) is not bool:
        raise _bad("bool", value)
    return value


def _str(value: Any, _: Budget) -> str:
    if type(value) is not str:
        raise _bad("str", value)
    if len(value) > MAX_TEXT:
        raise WireError("bad-field", f"string of {len(value)} characters, at most {MAX_TEXT}")
    return value


def _bytes(value: Any, _: Budget) -> bytes:
    if type(value) is not bytes:
        raise _bad("bytes", value)
    return value


_SCALARS: dict[Any, Converter] = {
    int: Converter(_int, _int),
    float: Converter(_pack_float, _float),
    bool: Converter(_bool, _bool),
    str: Converter(_str, _str),
    bytes: Converter(_bytes, _bytes),
}


def _optional(inner: Converter) -> Converter:
    return Converter(
        lambda value, budget: None if value is None else inner.pack(value, budget),
        lambda value, budget: None if value is None else inner.unpack(value, budget),
    )


def _sequence(inner: Converter, made: type[tuple[Any, ...]] | type[list[Any]]) -> Converter:
    def pack(value: Any, budget: Budget) -> list[Any]:
        if type(value) is not made:
            raise _bad(made.__name__, value)
        budget.take(len(value))
        return [inner.pack(item, budget) for item in value]

    def unpack(value: Any, budget: Budget) -> Any:
        if type(value) is not list:
            raise _bad("array", value)
        budget.take(len(value))
        return made([inner.unpack(item, budget) for item in value])

    return Converter(pack, unpack)


def _fixed_tuple(inners: list[Converter]) -> Converter:
    def check(value: Any, wanted: type[Any], budget: Budget) -> None:
        if not isinstance(value, wanted) or len(value) != len(inners):
            raise _bad(f"{len(inners)} values", value)
        budget.take(len(inners))

    def pack(value: Any, budget: Budget) -> list[Any]:
        check(value, tuple, budget)
        return [inner.pack(item, budget) for inner, item in zip(inners, value, strict=True)]

    def unpack(value: Any, budget: Budget) -> tuple[Any, ...]:
        check(value, list, budget)
        return tuple(inner.unpack(item, budget) for inner, item in zip(inners, value, strict=True))

    return Converter(pack, unpack)


def _mapping(key: Converter, item: Converter) -> Converter:
    def convert(keys: Convert, items: Convert) -> Convert:
        def run(value: Any, budget: Budget) -> dict[Any, Any]:
            if type(value) is not dict:
                raise _bad("map", value)
            budget.take(len(value))
            return {keys(k, budget): items(v, budget) for k, v in value.items()}

        return run

    return Converter(convert(key.pack, item.pack), convert(key.unpack, item.unpack))


def _enum(cls: type[enum.Enum]) -> Converter:
    kinds = {type(member.value) for member in cls}
    if not kinds <= {int, str}:
        raise TypeError(f"{cls.__name__}: enum values must be int or str")
    known = {(type(member.value), member.value): member for member in cls}

    def pack(value: Any, _: Budget) -> Any:
        if type(value) is not cls:
            raise _bad(cls.__name__, value)
        return value.value

    def unpack(value: Any, _: Budget) -> enum.Enum:
        if type(value) not in kinds or (type(value), value) not in known:
            raise WireError("bad-field", f"no {cls.__name__}")
        return known[type(value), value]

    return Converter(pack, unpack)


def _record(cls: type[Any], parents: tuple[type[Any], ...]) -> Converter:
    if cls in parents:
        raise TypeError(f"{cls.__name__} contains itself; messages have bounded depth")
    if not cls.__dataclass_params__.frozen:
        raise TypeError(f"{cls.__name__}: only frozen dataclasses travel")
    hints = typing.get_type_hints(cls)
    inners = {f.name: converter_for(hints[f.name], (*parents, cls)) for f in fields(cls)}

    def pack(value: Any, budget: Budget) -> dict[str, Any]:
        if type(value) is not cls:
            raise _bad(cls.__name__, value)
        return {name: _named(inner.pack, name, getattr(value, name), budget) for name, inner in inners.items()}

    def unpack(value: Any, budget: Budget) -> Any:
        if type(value) is not dict:
            raise _bad("map", value)
        if value.keys() != inners.keys():
            odd = sorted(str(key)[:40] for key in value.keys() ^ inners.keys())
            raise WireError("bad-field", f"{cls.__name__} has missing or unknown fields: {', '.join(odd[:5])}")
        return cls(**{name: _named(inner.unpack, name, value[name], budget) for name, inner in inners.items()})

    return Converter(pack, unpack)


def _named(convert: Convert, name: str, value: Any, budget: Budget) -> Any:
    try:
        return convert(value, budget)
    except WireError as error:
        raise WireError(error.reason, f"{name}: {error.detail}") from None


def converter_for(annotation: Any, parents: tuple[type[Any], ...] = ()) -> Converter:
    """Build the converter of a type. Raises TypeError for a type that must not travel."""
    if annotation in _SCALARS:
        return _SCALARS[annotation]
    origin, args = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        rest = [arg for arg in args if arg is not type(None)]
        if len(rest) != 1 or len(args) != 2:
            raise TypeError(f"{annotation}: a union is only X | None")
        return _optional(converter_for(rest[0], parents))
    if origin is tuple and len(args) == 2 and args[1] is Ellipsis:
        return _sequence(converter_for(args[0], parents), tuple)
    if origin is tuple:
        return _fixed_tuple([converter_for(arg, parents) for arg in args])
    if origin is list:
        return _sequence(converter_for(args[0], parents), list)
    if origin is dict and args[0] in (str, int):
        return _mapping(_SCALARS[args[0]], converter_for(args[1], parents))
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return _enum(annotation)
    if isinstance(annotation, type) and is_dataclass(annotation):
        return _record(annotation, parents)
    raise TypeError(f"{annotation!r} is not a type that may travel")
