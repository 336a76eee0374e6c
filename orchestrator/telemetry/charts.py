"""Charts over steps: lines with points, and stacked bars."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from orchestrator.telemetry.markup import Markup, join, svg, tag, tip
from orchestrator.telemetry.scale import Scale, padded, ticks, whole_ticks
from orchestrator.telemetry.text import split, trimmed

WIDTH, HEIGHT = 600.0, 250.0
LEFT, RIGHT, TOP, BOTTOM = 62.0, 12.0, 12.0, 34.0
MAX_BANDS = 200
MAX_BARS = 120
MANY_DOTS = 40
NOISY = 60
"""From this many points on a line is drawn faintly, under its moving average."""


@dataclass(frozen=True)
class Series:
    """One quantity over steps. `css` is the class that colours it; `dots` marks each point."""

    name: str
    css: str
    points: Sequence[tuple[int, float]]
    dots: bool = False


def line_chart(series: Sequence[Series], label: str, write: Callable[[float], str], *, zero: bool = False) -> Markup:
    """Series as lines on common axes; an empty chart says so. Values must be finite."""
    values = [y for s in series for _, y in s.points]
    if not values:
        return tag("p", "No data.", class_="empty")
    across, up = _scales(series, padded(min(values), max(values), zero=zero))
    return svg(
        WIDTH,
        HEIGHT,
        label,
        _axes(across, up, write),
        *(_line(s, across, up) for s in series),
        _bands(series, across, write),
    )


def _scales(series: Sequence[Series], height: tuple[float, float]) -> tuple[Scale, Scale]:
    steps = [x for s in series for x, _ in s.points]
    across = Scale(min(steps), max(steps), LEFT, WIDTH - RIGHT)
    return across, Scale(*height, HEIGHT - BOTTOM, TOP)


def _axes(across: Scale, up: Scale, write: Callable[[float], str]) -> Markup:
    parts: list[str] = []
    for value in ticks(up.low, up.high):
        y = up(value)
        parts.append(tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, class_="grid"))
        parts.append(tag("text", trimmed(write(value)), x=LEFT - 8, y=y + 4, class_="tick end"))
    parts += [
        tag("text", str(step), x=across(step), y=HEIGHT - BOTTOM + 17, class_=f"tick {_anchor(across(step))}")
        for step in whole_ticks(int(across.low), int(across.high))
    ]
    parts.append(tag("text", "step", x=WIDTH - RIGHT, y=HEIGHT - 3, class_="tick end unit"))
    return join(parts)


def _anchor(x: float) -> str:
    """Centred, unless the text would leave the picture."""
    return "end" if x > WIDTH - RIGHT - 14 else "mid"


def _line(series: Series, across: Scale, up: Scale) -> Markup:
    places = [(across(x), up(y)) for x, y in series.points]
    parts: list[str] = []
    if len(places) > 1:
        noisy = len(places) >= NOISY and not series.dots
        parts.append(_polyline(places, f"curve {series.css}{' faint' if noisy else ' thin' if series.dots else ''}"))
        if noisy:
            parts.append(_polyline(_smooth(places), f"curve {series.css}"))
    if series.dots or len(places) == 1:
        radius = 3.2 if len(places) <= MANY_DOTS else 2.0
        parts += [tag("circle", cx=x, cy=y, r=radius, class_=f"dot {series.css}") for x, y in places]
    return join(parts)


def _polyline(places: Sequence[tuple[float, float]], css: str) -> Markup:
    return tag("polyline", points=" ".join(f"{x:.1f},{y:.1f}" for x, y in places), class_=css)


def _smooth(places: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Centred moving average over about a thirtieth of the line; shorter at its ends, so that they stay in place."""
    reach = max(1, len(places) // 60)
    smooth = []
    for i, (x, _) in enumerate(places):
        near = min(reach, i, len(places) - 1 - i)
        window = places[i - near : i + near + 1]
        smooth.append((x, sum(y for _, y in window) / len(window)))
    return smooth


def _bands(series: Sequence[Series], across: Scale, write: Callable[[float], str]) -> Markup:
    """Invisible columns that show the values under the pointer."""
    lines: dict[int, list[str]] = {}
    for s in series:
        for x, y in s.points:
            lines.setdefault(x, []).append(f"{s.name} {write(y)}")
    every = math.ceil(len(lines) / MAX_BANDS)
    steps = [x for i, x in enumerate(sorted(lines)) if i % every == 0 or len(lines[x]) > 1]
    middles = [LEFT, *(across((a + b) / 2) for a, b in itertools.pairwise(steps)), WIDTH - RIGHT]
    return join(
        tag(
            "rect",
            tip("\n".join([f"step {step}", *lines[step]])),
            x=left,
            y=TOP,
            width=max(right - left, 0.1),
            height=HEIGHT - TOP - BOTTOM,
            class_="band",
        )
        for step, left, right in zip(steps, middles, middles[1:], strict=False)
    )


def stacked_bars(
    steps: Sequence[int], layers: Sequence[tuple[str, str, Sequence[float]]], label: str, write: Callable[[float], str]
) -> Markup:
    """One bar a step, made of (name, css class, one value a step); many steps share a bar, which shows their mean."""
    if not steps:
        return tag("p", "No data.", class_="empty")
    bins = split(range(len(steps)), MAX_BARS)
    means = [[sum(values[i] for i in part) / len(part) for part in bins] for _, _, values in layers]
    tallest = max(sum(column) for column in zip(*means, strict=True))
    up = Scale(*padded(0, tallest, zero=True), HEIGHT - BOTTOM, TOP)
    across = Scale(min(steps) - 0.5, max(steps) + 0.5, LEFT, WIDTH - RIGHT)
    bars = []
    for n, part in enumerate(bins):
        left, right = across(steps[part[0]] - 0.5), across(steps[part[-1]] + 0.5)
        first, last = steps[part[0]], steps[part[-1]]
        head = f"step {first}" if first == last else f"steps {first}–{last}, mean"
        rows = [(name, css, means[k][n]) for k, (name, css, _) in enumerate(layers)]
        bars.append(_bar(rows, left, right, up, head, write))
    return svg(WIDTH, HEIGHT, label, _axes(across, up, write), *bars)


def _bar(
    rows: Sequence[tuple[str, str, float]],
    left: float,
    right: float,
    up: Scale,
    head: str,
    write: Callable[[float], str],
) -> Markup:
    width = min(right - left, 48.0)
    gap = 1.5 if width > 6 else 0.0
    x = (left + right - width) / 2 + gap / 2
    parts: list[str] = [tip("\n".join([head, *(f"{name} {write(value)}" for name, _, value in rows)]))]
    base = 0.0
    for _, css, value in rows:
        top, bottom = up(base + value), up(base)
        parts.append(tag("rect", x=x, y=top, width=width - gap, height=max(bottom - top, 0.0), class_=f"fill {css}"))
        base += value
    parts.append(tag("rect", x=left, y=TOP, width=right - left, height=HEIGHT - TOP - BOTTOM, class_="band"))
    return tag("g", *parts)
