"""JSON from a store: bounded, in one spelling only, and read field by field.

One value has one spelling (sorted keys, no spaces, no repeated keys), so a changed byte is either another value or
not ours. Depth is bounded before anything is parsed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, TypeVar

JsonObject = dict[str, Any]
One = TypeVar("One")
MAX_DEPTH = 64
_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]')
_HEX = re.compile(r"[0-9a-f]+")


class Malformed(ValueError):  # noqa: N818 - it is raised as a sentence's end: "... is malformed: <what>"
    """What is wrong, without the name of the file."""


def encode(value: JsonObject) -> bytes:
    """Return the only spelling of a JSON object. Raises Malformed for what JSON cannot hold."""
    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise Malformed(f"it holds what JSON cannot: {error}") from None
    return text.encode()


def decode(data: bytes, limit: int) -> JsonObject:
    """Return the object that `data` spells. Raises Malformed when it is longer than `limit`, nested too deeply, not
    JSON, no object, or not in the spelling of `encode`."""
    if len(data) > limit:
        raise Malformed(f"it is longer than {limit} bytes")
    try:
        text = data.decode("ascii")
    except UnicodeDecodeError:
        raise Malformed("it is not JSON") from None
    depth = 0
    for found in _BRACKETS.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(found[0], 0)
        if depth > MAX_DEPTH:
            raise Malformed(f"it is nested more than {MAX_DEPTH} deep")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise Malformed("it is not JSON") from None
    if not isinstance(value, dict):
        raise Malformed("it is not a JSON object")
    if encode(value) != data:
        raise Malformed("it is not in the spelling that is written")
    return value


class Fields:
    """Reads an object field by field; what is missing, of another type, out of range or left over is Malformed."""

    def __init__(self, value: Any, where: str) -> None:
        if not isinstance(value, dict):
            raise Malformed(f"{where} is not an object")
        self._left, self._where = dict(value), where

    def take(self, key: str) -> Any:
        """Return a field of any type."""
        if key not in self._left:
            raise Malformed(f"{self._where} lacks {key!r}")
        return self._left.pop(key)

    def integer(self, key: str, low: int, high: int) -> int:
        """Return an integer of low .. high."""
        value = self.take(key)
        if type(value) is not int or not low <= value <= high:
            raise Malformed(f"{self._where}: {key!r} is not an integer of {low} to {high}")
        return value

    def text(self, key: str, limit: int) -> str:
        """Return a string of at most `limit` characters."""
        value = self.take(key)
        if not isinstance(value, str) or len(value) > limit:
            raise Malformed(f"{self._where}: {key!r} is not a text of at most {limit} characters")
        return value

    def name(self, key: str, pattern: re.Pattern[str]) -> str:
        """Return a string that matches a pattern as a whole."""
        value = self.text(key, 256)
        if not pattern.fullmatch(value):
            raise Malformed(f"{self._where}: {key!r} is {value!r}, which is no such name")
        return value

    def digest(self, key: str, digits: int) -> str:
        """Return a hexadecimal string of so many digits."""
        value = self.text(key, digits)
        if len(value) != digits or not _HEX.fullmatch(value):
            raise Malformed(f"{self._where}: {key!r} is no hash")
        return value

    def integers(self, key: str, most: int, high: int) -> tuple[int, ...]:
        """Return a list of at most `most` integers of 0 .. high."""
        value = self.take(key)
        if not isinstance(value, list) or len(value) > most:
            raise Malformed(f"{self._where}: {key!r} is not a list of at most {most}")
        if any(type(one) is not int or not 0 <= one <= high for one in value):
            raise Malformed(f"{self._where}: {key!r} holds something else than integers of 0 to {high}")
        return tuple(value)

    def items(self, key: str, most: int, read: Callable[[Any, str], One]) -> tuple[One, ...]:
        """Return a list of at most `most`, each read by `read(value, where)`."""
        value = self.take(key)
        if not isinstance(value, list) or len(value) > most:
            raise Malformed(f"{self._where}: {key!r} is not a list of at most {most}")
        return tuple(read(one, f"{self._where}, {key}[{i}]") for i, one in enumerate(value))

    def object(self, key: str) -> JsonObject:
        """Return an object as it is."""
        value = self.take(key)
        if not isinstance(value, dict):
            raise Malformed(f"{self._where}: {key!r} is not an object")
        return value

    def done(self) -> None:
        """Nothing may be left over."""
        if self._left:
            raise Malformed(f"{self._where} has the unknown field {sorted(self._left)[0]!r}")
