"""How numbers and names are written for people: short, with units, and never longer than they were meant to be."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

BARS = "▁▂▃▄▅▆▇█"
"""Levels of a sparkline, lowest first."""


def finite(value: float | None) -> float | None:
    """The value, or None where it is missing, NaN or infinite."""
    return value if value is not None and math.isfinite(value) else None


def scaled(value: float, base: float, suffixes: Sequence[str]) -> str:
    """Three significant digits with the largest suffix that keeps the number at least 1."""
    if not math.isfinite(value):
        return "–"
    index = 0
    while abs(value) >= base * 0.9995 and index < len(suffixes) - 1:
        value /= base
        index += 1
    magnitude = abs(value)
    whole = magnitude >= 100 or (index == 0 and value == int(value))
    digits = 0 if whole else 1 if magnitude >= 10 else 2
    return f"{value:.{digits}f}{suffixes[index]}"


def count(value: float | None) -> str:
    """1234567 -> `1.23M`."""
    return "–" if value is None else scaled(value, 1000, ("", "k", "M", "G", "T"))


def trimmed(written: str) -> str:
    """Without zeros that only fill up decimals, for ticks: `7.50k` -> `7.5k`, `10.0 MB` -> `10 MB`."""
    return re.sub(r"(\.\d*?)0+(?!\d)", lambda match: match[1].rstrip("."), written)


def size(value: float | None) -> str:
    """Bytes in decimal units, as links are sold: 1234567 -> `1.23 MB`."""
    return "–" if value is None else scaled(value, 1000, (" B", " kB", " MB", " GB", " TB", " PB"))


def duration(seconds: float | None) -> str:
    """3725 -> `1 h 02 min`; below a minute `12.3 s`; below a second `340 ms`."""
    if seconds is None or not math.isfinite(seconds):
        return "–"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes:02d} min"
    return f"{hours // 24} d {hours % 24:02d} h"


def loss(value: float | None) -> str:
    """Losses carry four decimals; runs are compared by them."""
    return "–" if value is None else f"{value:.4f}"


def share(value: float | None) -> str:
    """0.1234 -> `12.3 %`."""
    value = finite(value)
    return "–" if value is None else f"{value * 100:.1f} %"


def layers(first: int, last: int, embedding: bool, head: bool) -> str:
    """A stage's part of the model: `embedding + layers 0–3`. `last` is one past the last layer."""
    blocks = "" if last <= first else f"layer {first}" if last == first + 1 else f"layers {first}–{last - 1}"
    parts = ["embedding" if embedding else "", blocks, "head" if head else ""]
    return " + ".join(part for part in parts if part) or "nothing"


def shorten(text: str, width: int) -> str:
    """The text on one line, cut with an ellipsis to at most `width` characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= width else line[: max(width - 1, 0)] + "…"


def sparkline(values: Sequence[float], width: int) -> str:
    """The values as a row of block characters, averaged into at most `width` cells; non-finite ones are left out."""
    numbers = [v for v in values if math.isfinite(v)]
    if not numbers or width < 1:
        return ""
    cells = [sum(part) / len(part) for part in split(numbers, width)]
    low, span = min(cells), max(cells) - min(cells)
    top = len(BARS) - 1
    return "".join(BARS[round((v - low) / span * top) if span > 0 else top // 2] for v in cells)


def split(values: Sequence[T], parts: int) -> list[Sequence[T]]:
    """Consecutive runs of nearly equal length: at most `parts`, none empty."""
    parts = min(parts, len(values))
    return [values[i * len(values) // parts : (i + 1) * len(values) // parts] for i in range(parts)]


def loss_unit(config: dict[str, object]) -> str:
    """`nats/byte` for the byte tokenizer, whose tokens are bytes; `nats/token` for every other."""
    data = config.get("data")
    tokenizer = data.get("tokenizer", "") if isinstance(data, dict) else ""
    return "nats/byte" if tokenizer == "bytes" else "nats/token"
