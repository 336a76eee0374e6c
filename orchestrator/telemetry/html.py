"""`report.html`: a report as one page that needs nothing else, not even a network."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.telemetry.charts import Series, line_chart, stacked_bars
from orchestrator.telemetry.markup import Markup, join, svg, tag
from orchestrator.telemetry.mesh_picture import mesh_picture, stage_css
from orchestrator.telemetry.page_style import SCRIPT, STYLE
from orchestrator.telemetry.text import count, layers, loss, loss_unit, share, size
from orchestrator.telemetry.tiles import tiles
from orchestrator.telemetry.timeline import GLYPHS, moment, timeline, tone

TONES = {"finished": "good", "failed": "bad", "stopped": "note"}
PURPOSES = (("boundary", "boundary-bytes"), ("averaging", "averaging-bytes"), ("control", "control-bytes"))
MAX_EVENTS = 500


def render_page(report: Mapping[str, Any]) -> str:
    """The page of a report as read from report.json."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", f"{report['run_id']} · Tessera"),
        tag("style", Markup(STYLE)),
    )
    body = tag("body", tag("main", *_sections(report)), tag("script", Markup(SCRIPT)))
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def _sections(report: Mapping[str, Any]) -> list[Markup]:
    failure = report["totals"]["failure"]
    parts = [_header(report), tag("div", failure, class_="failure") if failure else Markup(), tiles(report)]
    if report["participants"]:
        parts.append(_mesh(report))
    parts.append(tag("div", _loss(report), _throughput(report), class_="pair"))
    if report["participants"] or any(report["totals"]["boundary_bytes_by_boundary"].values()):
        parts.append(tag("div", _bytes(report), _counted(report), class_="pair"))
    if report["participants"]:
        hint = "Colour is the stage; paler while joining, dotted after it was lost. ✕ trouble, ▲ arrival, ◆ note."
        parts.append(_section("Participants over time", hint, timeline(report)))
    return [*parts, _events(report), _details(report), _footer(report)]


def _section(title: str, hint: str, *content: str) -> Markup:
    return tag("section", tag("h2", title), tag("p", hint, class_="hint") if hint else "", *content)


def _header(report: Mapping[str, Any]) -> Markup:
    outcome = report["totals"]["outcome"] or "running"
    squares = [
        tag("rect", x=x * 11 + 1, y=y * 11 + 1, width=9, height=9, rx=2, class_=f"logo {stage_css(x + y)}",
            style="fill:var(--stage)")
        for x in range(3) for y in range(3)
    ]  # fmt: skip
    began = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(report["started"])) if report["started"] > 1e8 else ""
    sub = " · ".join(part for part in (report["command"], began) if part)
    title = tag("div", tag("h1", report["run_id"]), tag("div", sub, class_="sub"), class_="title")
    chip = tag("span", outcome, class_=f"chip {TONES.get(outcome, 'note')}")
    return tag("header", svg(34, 34, "Tessera", *squares), title, chip)


def _legend(entries: Sequence[tuple[str, str]]) -> Markup:
    return tag("div", *(tag("span", tag("i", class_=css), name) for name, css in entries), class_="legend")


def _mesh(report: Mapping[str, Any]) -> Markup:
    steps = report["steps"]
    speed = steps[-1]["throughput"] if steps else {}
    sums = report["totals"]["boundary_bytes_by_boundary"]
    mean = {int(boundary): sent / len(steps) for boundary, sent in sums.items()} if steps else {}
    average = report["totals"]["averaging_bytes"] / len(steps) if steps else 0
    entries = [("activations and their gradients", "boundary-bytes")]
    entries += [(f"gradient averaging, {size(average)} a step in all", "averaging-bytes")] if average else []
    picture = tag("div", mesh_picture(report["participants"], speed, mean), class_="scroll")
    return _section("The mesh", "", _legend(entries), picture)


def _loss(report: Mapping[str, Any]) -> Markup:
    training = [(step["step"], step["loss"]) for step in report["steps"] if step["loss"] is not None]
    held_out = [(point["step"], point["loss"]) for point in report["validation"] if point["loss"] is not None]
    series = [Series("training", "loss", training), Series("validation", "held", held_out, dots=True)]
    write = "{:.3g}".format
    precise = [s for s in series if s.points]
    chart = line_chart(precise, "Loss over steps", lambda y: write(y) if y == round(y, 3) else loss(y))
    legend = _legend([("training", "loss"), ("validation, held-out text", "held")])
    return _section(f"Loss, {loss_unit(dict(report['config']))}", "", legend, tag("div", chart, class_="chart"))


def _throughput(report: Mapping[str, Any]) -> Markup:
    points = [
        (step["step"], step["tokens"] / step["seconds"])
        for step in report["steps"]
        if step["seconds"] is not None and step["seconds"] > 0
    ]
    series = [Series("tokens/s", "speed", points)] if points else []
    chart = line_chart(series, "Tokens a second over steps", count, zero=True)
    legend = _legend([("trained tokens over a step's duration, plan to decision", "speed")])
    return _section("Throughput, tokens/s", "", legend, tag("div", chart, class_="chart"))


def _bytes(report: Mapping[str, Any]) -> Markup:
    steps = report["steps"]
    stack = [(name, css, [step[f"{name}_bytes"] for step in steps]) for name, css in PURPOSES]
    chart = stacked_bars([step["step"] for step in steps], stack, "Bytes a step by purpose", size)
    return _section("Bytes a step", "", _legend(PURPOSES), tag("div", chart, class_="chart"))


def _counted(report: Mapping[str, Any]) -> Markup:
    sums: Counter[str] = Counter({member["name"]: 0 for member in report["participants"]})
    for step in report["steps"]:
        sums.update({name: len(indices) for name, indices in step["counted"].items()})
    stage = {member["name"]: member["stage"] for member in report["participants"]}
    most = max(sums.values(), default=0) or 1
    rows = [
        tag(
            "div",
            tag("b", name),
            tag("div", tag("div", class_="full", style=f"width:{sums[name] / most * 100:.1f}%")),
            tag("span", f"{sums[name]:,}"),
            class_=f"tally {stage_css(stage.get(name, 0))}",
            title=f"{name}\nstage {stage.get(name, '–')}\n{sums[name]:,} microbatches counted",
        )
        for name in sorted(sums, key=lambda name: (stage.get(name, -1), name))
    ]
    hint = "Whose gradient went into the average, over all steps; colour is the stage."
    content = tag("div", *rows, class_="tallies") if rows else tag("p", "No data yet.", class_="empty")
    return _section("Microbatches counted", hint, content)


def _events(report: Mapping[str, Any]) -> Markup:
    events = report["events"]
    if not events:
        return _section("Events", "", tag("p", "Nothing happened that a person should know.", class_="empty"))
    rows = [
        tag(
            "tr",
            tag("td", moment(event["time"])),
            tag("td", tag("span", GLYPHS[tone(event["kind"])], class_=tone(event["kind"])), f" {event['kind']}"),
            tag("td", event["participant"]),
            tag("td", event["detail"]),
        )
        for event in reversed(events[-MAX_EVENTS:])
    ]
    names = ("time (UTC)", "event", "participant", "detail")
    table = tag("table", tag("thead", tag("tr", *(tag("th", name) for name in names))), tag("tbody", *rows))
    hint = f"Newest first; the last {MAX_EVENTS} of {len(events)}." if len(events) > MAX_EVENTS else "Newest first."
    return _section("Events", hint, tag("div", table, class_="rows"))


def _details(report: Mapping[str, Any]) -> Markup:
    def block(title: str, content: str) -> Markup:
        return tag("details", tag("summary", title), tag("pre", content))

    held = "\n".join(
        f"{m['name']:<20} stage {m['stage']:<3} {count(m['parameters']):>7} parameters  {share(m['share']):>7}  "
        f"{layers(m['first_layer'], m['last_layer'], m['embedding'], m['head'])}"
        for m in report["participants"]
    )
    blocks = [
        block("Configuration", json.dumps(report["config"], indent=2, ensure_ascii=False)),
        block("Versions", "\n".join(f"{name:<14} {value or '–'}" for name, value in report["versions"].items())),
    ]
    if held:
        blocks.insert(0, block("What each participant held", held))
    return tag("section", join(blocks))


def _footer(report: Mapping[str, Any]) -> Markup:
    version = report["versions"].get("tessera") or ""
    return tag("footer", f"Tessera {version} · {report['schema']} · the numbers are in report.json beside this page")
