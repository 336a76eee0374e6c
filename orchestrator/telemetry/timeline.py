"""Who was there when: a lane for each participant, with events as marks."""

from __future__ import annotations

import time as clock
from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.telemetry.markup import Markup, tag
from orchestrator.telemetry.mesh_picture import stage_css
from orchestrator.telemetry.text import duration, shorten

TROUBLE = (
    *("lost", "dead", "fail", "fault", "refus", "kill", "crash", "error", "switched off", "left", "drop"),
    *("partition", "split", "pause", "overdue", "dismiss", "excluded", "shards"),
)
ARRIVAL = ("join", "active", "recover", "ready", "back", "start", "finish", "heal", "resum")
MAX_MARKS = 400
DENSE = 20
"""From this many lanes on they are drawn closer together."""


def tone(kind: str) -> str:
    """`bad`, `good` or `note`, by the words in an event's kind."""
    lowered = kind.lower()
    if any(word in lowered for word in TROUBLE):
        return "bad"
    return "good" if any(word in lowered for word in ARRIVAL) else "note"


GLYPHS = {"bad": "✕", "good": "▲", "note": "◆"}
"""Shapes as well as colours, for those who do not tell the colours apart."""


def moment(unix: float) -> str:
    """A time of day in UTC; seconds since the start for clocks that did not begin in 1970, as simulated ones."""
    if unix < 1e8:
        return f"+{unix:.1f} s"
    return clock.strftime("%H:%M:%S", clock.gmtime(unix))


def span_of(report: Mapping[str, Any]) -> tuple[float, float]:
    """From the first thing known of a run to the last; never empty."""
    times = [event["time"] for event in report["events"]]
    for lane in report["participants"]:
        times += [lane["first_seen"], lane["last_seen"]]
    times += [step["time"] for step in report["steps"]]
    times += [t for t in (report.get("ended"),) if t is not None]
    start, end = (min(times), max(times)) if times else (0.0, 1.0)
    return start, max(end, start + 1e-3)


def timeline(report: Mapping[str, Any]) -> Markup:
    """Lanes of a report's participants, in percent of the run's duration, with an axis below."""
    if not report["participants"]:
        return tag("p", "No participants.", class_="empty")
    span = span_of(report)
    names = {lane["name"] for lane in report["participants"]}
    marks: dict[str, list[Mapping[str, Any]]] = {}
    for event in report["events"][-MAX_MARKS:]:
        marks.setdefault(event["participant"] if event["participant"] in names else "", []).append(event)
    rows = [_lane(lane, span, marks.get(lane["name"], [])) for lane in report["participants"]]
    if "" in marks:
        rows.insert(0, _row("run", "", [_mark(event, span) for event in marks[""]]))
    return tag("div", *rows, _axis(span), class_="lanes dense" if len(rows) > DENSE else "lanes")


def _lane(lane: Mapping[str, Any], span: tuple[float, float], events: Sequence[Mapping[str, Any]]) -> Markup:
    bars = []
    for segment in lane["segments"]:
        left, right = _percent(segment["start"], span), _percent(segment["end"], span)
        lasted = duration(segment["end"] - segment["start"])
        bars.append(
            tag(
                "i",
                class_=f"bar {stage_css(segment['stage'])} {_state_css(segment['state'])}",
                style=f"left:{left:.2f}%;width:max(3px,{right - left:.2f}%)",
                title=f"{lane['name']}\nstage {segment['stage']}, {segment['state']}\n"
                f"from {moment(segment['start'])}, for {lasted}",
            )
        )
    return _row(lane["name"], f"stage {lane['stage']}", [*bars, *(_mark(event, span) for event in events)])


def _row(name: str, note: str, content: Sequence[str]) -> Markup:
    label = tag("div", tag("b", shorten(name, 24)), tag("span", note), class_="who", title=name)
    return tag("div", label, tag("div", *content, class_="track"), class_="lane")


def _mark(event: Mapping[str, Any], span: tuple[float, float]) -> Markup:
    look = tone(event["kind"])
    lines = [f"{moment(event['time'])}  {event['kind']}", event["participant"], shorten(event["detail"], 300)]
    return tag(
        "i",
        GLYPHS[look],
        class_=f"event {look}",
        style=f"left:{_percent(event['time'], span):.2f}%",
        title="\n".join(line for line in lines if line),
    )


def _axis(span: tuple[float, float]) -> Markup:
    start, end = span
    ticks = [
        tag("span", "0" if part == 0 else duration((end - start) * part), style=f"left:{part * 100:g}%")
        for part in (0, 0.25, 0.5, 0.75, 1)
    ]
    return tag("div", tag("div", class_="who"), tag("div", *ticks, class_="scale"), class_="lane axis")


def _percent(moment: float, span: tuple[float, float]) -> float:
    start, end = span
    return min(max((moment - start) / (end - start), 0.0), 1.0) * 100


def _state_css(state: str) -> str:
    return state if state in ("joining", "dead") else "active"
