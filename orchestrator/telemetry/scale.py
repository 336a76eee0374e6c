"""From numbers to places on a chart, with ticks at round numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """A linear map of [low, high] onto [start, end]; `low == high` maps to the middle."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        if self.high <= self.low:
            return (self.start + self.end) / 2
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def tick_step(span: float, wanted: int) -> float:
    """The round number (1, 2, 2.5 or 5 times a power of ten) that divides the span into about `wanted` parts."""
    if not (span > 0 and math.isfinite(span)):
        return 1.0
    raw = span / max(wanted, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    return next((m * power for m in (1, 2, 2.5, 5) if raw <= m * power * 1.0001), 10 * power)


def ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round numbers within [low, high], ascending."""
    step = tick_step(high - low, wanted)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [index * step for index in range(first, min(last, first + 50) + 1)]


def whole_ticks(low: int, high: int, wanted: int = 6) -> list[int]:
    """Round whole numbers within [low, high]."""
    step = max(1, math.ceil(tick_step(high - low, wanted)))
    return list(range(-(-low // step) * step, high + 1, step))


def padded(low: float, high: float, *, zero: bool) -> tuple[float, float]:
    """A range that shows the values with air around them; from zero where lengths are compared."""
    if zero:
        return 0.0, high * 1.08 if high > 0 else 1.0
    margin = (high - low) * 0.06 or max(abs(high) * 0.05, 1e-6)
    return low - margin, high + margin
