"""The mesh as a picture: stages as columns, participants as nodes, boundaries and averaging as links."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.telemetry.markup import Markup, join, svg, tag, text, tip
from orchestrator.telemetry.text import count, layers, share, shorten, size, split

NODE_W, NODE_H, GAP_Y, GAP_X = 128.0, 46.0, 14.0, 12.0
BETWEEN = 140.0
"""Width between two stages, where the boundary's label sits."""
HEAD = 50.0
MARGIN = 24.0
BELOW = 28.0
MAX_WIDTH = 1480.0
ROWS = 8
"""Nodes that stand above each other before a stage gets another column."""
PALETTE = 8
"""Stage colours; further stages begin again at the first."""


Stages = dict[int, list[Mapping[str, Any]]]


def stage_css(stage: int) -> str:
    """Class of a stage's colour."""
    return f"s{stage % PALETTE}"


def mesh_picture(
    participants: Sequence[Mapping[str, Any]], speed: Mapping[str, float], boundaries: Mapping[int, float]
) -> Markup:
    """Draw participants (entries of report.json) with their tokens/s and the mean bytes a step over each boundary."""
    stages: Stages = defaultdict(list)
    for participant in participants:
        stages[participant["stage"]].append(participant)
    if not stages:
        return tag("p", "No participants: the whole model was trained in one process.", class_="empty")
    bands = [_band(row, stages, speed, boundaries) for row in _rows(stages)]
    width = max(band_width for _, band_width, _ in bands)
    drawn, top = [], -BELOW
    for content, _, height in bands:
        top += BELOW
        drawn.append(tag("g", content, transform=f"translate(0 {top:.0f})"))
        top += height
    style = f"min-width:{width * 0.72:.0f}px;max-width:{width * 1.25:.0f}px"
    return svg(width, top, "The mesh: stages, participants and links", *drawn, style=style)


def _rows(stages: Stages) -> list[Sequence[int]]:
    """Stages in order, in as many rows as MAX_WIDTH asks for, of nearly equal length."""
    rows, used = 0, MAX_WIDTH
    for stage in sorted(stages):
        needed = math.ceil(len(stages[stage]) / ROWS) * (NODE_W + GAP_X) - GAP_X + BETWEEN
        if used + needed > MAX_WIDTH:
            rows, used = rows + 1, 0.0
        used += needed
    return split(sorted(stages), rows)


def _band(
    row: Sequence[int], stages: Stages, speed: Mapping[str, float], boundaries: Mapping[int, float]
) -> tuple[Markup, float, float]:
    """One row of stages, its width and its height. Boundaries at its ends lead out of the picture."""
    most = max(len(stages[stage]) for stage in row)
    height = HEAD + min(ROWS, most) * (NODE_H + GAP_Y) - GAP_Y + 8
    middle = HEAD + (height - 8 - HEAD) / 2
    x, parts, links = MARGIN, [], []
    before: list[tuple[float, float]] = []
    for stage in row:
        if before or stage > min(stages):
            x += BETWEEN
        places = _places(len(stages[stage]), x, middle)
        if before or stage > min(stages):
            outer = [place for place in places if place[0] == x]
            pill = (x - BETWEEN / 2, middle)
            links.append(_boundary(before, outer, pill, stage - 1, boundaries.get(stage - 1)))
        right = max(place[0] for place in places)
        before = [(px + NODE_W, py) for px, py in places if px == right]
        parts.append(_stage(stage, stages[stage], places, speed))
        x = right + NODE_W
    if row[-1] < max(stages):
        links += [tag("g", _curve((px, py + NODE_H / 2), (x + 40, middle)), class_="boundary") for px, py in before]
        x += 40
    return join([*links, *parts]), x + MARGIN, height


def _places(number: int, x: float, middle: float) -> list[tuple[float, float]]:
    """Upper left corners of a stage's nodes, in columns of at most ROWS, centred on `middle`."""
    columns = math.ceil(number / ROWS)
    rows = math.ceil(number / columns)
    top = middle - (rows * (NODE_H + GAP_Y) - GAP_Y) / 2
    return [(x + (i // rows) * (NODE_W + GAP_X), top + (i % rows) * (NODE_H + GAP_Y)) for i in range(number)]


def _stage(
    stage: int, members: Sequence[Mapping[str, Any]], places: Sequence[tuple[float, float]], speed: Mapping[str, float]
) -> Markup:
    first = members[0]
    left, right = places[0][0], max(x for x, _ in places) + NODE_W
    what = layers(first["first_layer"], first["last_layer"], first["embedding"], first["head"])
    centre = (left + right) / 2
    heading = tag(
        "g",
        tip(f"stage {stage}: {what}"),
        tag("text", f"stage {stage}", x=centre, y=16, class_="stage-name mid"),
        tag("text", what.replace("embedding", "embed"), x=centre, y=33, class_="tick mid"),
    )
    rings = [_averaging(a, b) for a, b in itertools.pairwise(places) if a[0] == b[0]]
    nodes = [_node(member, place, speed) for member, place in zip(members, places, strict=True)]
    return join([heading, *rings, *nodes])


def _averaging(above: tuple[float, float], below: tuple[float, float]) -> Markup:
    x = above[0] + NODE_W / 2
    return tag(
        "g",
        tip("replicas of a stage average their gradients"),
        *(tag("line", x1=x + d, x2=x + d, y1=above[1] + NODE_H, y2=below[1], class_="averaging") for d in (-5, 5)),
    )


def _node(member: Mapping[str, Any], place: tuple[float, float], speed: Mapping[str, float]) -> Markup:
    x, y = place
    name, state = str(member["name"]), str(member.get("state", "active"))
    rate = speed.get(name) or member.get("tokens_per_s")
    css = f"node {stage_css(member['stage'])} {state if state in ('dead', 'joining') else ''}".strip()
    held = f"{count(member['parameters'])} parameters, {share(member['share'])} of the model"
    second = f"{count(rate)} tokens/s" if state == "active" and rate else state
    lines = [name, f"stage {member['stage']}, {state}", held, f"{count(rate)} tokens/s"]
    return tag(
        "g",
        tip("\n".join(lines)),
        tag("rect", x=x, y=y, width=NODE_W, height=NODE_H, rx=9, class_="box"),
        tag("rect", x=x, y=y + 9, width=4, height=NODE_H - 18, rx=2, class_="mark"),
        tag("text", shorten(name, 16), x=x + 14, y=y + 20, class_="name"),
        tag("text", second, x=x + 14, y=y + 36, class_="tick"),
        class_=css,
    )


def _boundary(
    before: Sequence[tuple[float, float]],
    after: Sequence[tuple[float, float]],
    pill: tuple[float, float],
    boundary: int,
    sent: float | None,
) -> Markup:
    """Links from every node of one stage through the boundary's label to every node of the next."""
    px, py = pill
    half = NODE_H / 2
    curves = [_curve((x, y + half), (px, py)) for x, y in before] + [_curve((px, py), (x, y + half)) for x, y in after]
    label = f"{size(sent)}/step" if sent is not None else f"boundary {boundary}"
    return tag(
        "g",
        tip(f"boundary {boundary}, between stages {boundary} and {boundary + 1}\nboth directions: {label}"),
        *curves,
        tag("rect", x=px - 49, y=py - 20, width=98, height=40, rx=20, class_="pill"),
        tag("text", f"boundary {boundary}", x=px, y=py - 3, class_="tick mid"),
        tag("text", text(label), x=px, y=py + 12, class_="pill-text mid"),
        class_="boundary",
    )


def _curve(start: tuple[float, float], end: tuple[float, float]) -> Markup:
    (x1, y1), (x2, y2) = start, end
    bend = (x2 - x1) / 2
    return tag("path", d=f"M{x1:.1f} {y1:.1f}C{x1 + bend:.1f} {y1:.1f} {x2 - bend:.1f} {y2:.1f} {x2:.1f} {y2:.1f}")
