"""What happened last, in short lines: kept as tuples, written out only when somebody wants to read them."""

from __future__ import annotations

from collections import deque
from typing import Any


class Trace:
    """A bounded ring of (seconds, node, what)."""

    def __init__(self, lines: int = 400) -> None:
        self._lines: deque[tuple[float, str, Any]] = deque(maxlen=lines)

    def add(self, now: float, node: str, what: Any) -> None:
        """Keep a line; `what` is turned into text only when it is read."""
        self._lines.append((now, node, what))

    def text(self) -> str:
        """All lines, oldest first."""
        return "\n".join(f"{now:9.3f} {node:6} {_short(what)}" for now, node, what in self._lines)


def _short(what: Any) -> str:
    if isinstance(what, tuple):
        return " ".join(map(str, what))
    return str(what)


class Violation(AssertionError):  # noqa: N818  (it is what the field calls it)
    """An invariant broke. The message has the seed, what broke, and the trace before it."""

    def __init__(self, seed: int, what: str, trace: Trace) -> None:
        super().__init__(f"seed {seed}: {what}\n{trace.text()}\nseed {seed}: {what}")
        self.seed = seed
        self.what = what
