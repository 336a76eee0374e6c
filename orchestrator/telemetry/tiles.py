"""The key figures on top of the page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from orchestrator.telemetry.markup import Markup, tag
from orchestrator.telemetry.text import count, duration, loss, loss_unit, share, size


def tiles(report: Mapping[str, Any]) -> Markup:
    """Loss, speed and size of a run; figures that a run does not have are left out."""
    found = [_loss(report), _speed(report), _tokens(report), _participants(report), _share(report), _bytes(report)]
    return tag("div", *(tile for tile in found if tile), class_="tiles")


def _tile(label: str, value: str, unit: str = "", more: str = "") -> Markup:
    return tag(
        "div",
        tag("div", label, class_="label"),
        tag("div", value, tag("small", unit), class_="value"),
        tag("div", more, class_="more"),
        class_="tile",
    )


def _loss(report: Mapping[str, Any]) -> Markup:
    totals, unit = report["totals"], loss_unit(report["config"])
    more = f"training {loss(totals['final_loss'])}"
    if report["validation"]:
        more += f"; began at {loss(report['validation'][0]['loss'])}"
    return _tile("Final validation loss", loss(totals["final_validation_loss"]), unit, more)


def _speed(report: Mapping[str, Any]) -> Markup:
    totals = report["totals"]
    more = f"over {duration(totals['seconds'])}" if totals["steps"] else ""
    return _tile("Throughput", count(totals["tokens_per_s"]), "tokens/s", more)


def _tokens(report: Mapping[str, Any]) -> Markup:
    steps = report["totals"]["steps"]
    lost = report["totals"].get("steps_lost", 0)
    more = f"; {lost} more were lost" if lost else ""
    in_steps = f"in {steps} step{'' if steps == 1 else 's'}{more}"
    return _tile("Trained", count(report["totals"]["tokens"]), "tokens", in_steps)


def _participants(report: Mapping[str, Any]) -> Markup | None:
    members = report["participants"]
    if not members:
        return None
    alive = sum(member["state"] != "dead" for member in members)
    stages = Counter(member["stage"] for member in members)
    lost = f", {len(members) - alive} lost" if alive < len(members) else ""
    plural = "s" if len(stages) > 1 else ""
    return _tile("Participants", str(len(members)), "", f"serving {len(stages)} stage{plural}{lost}")


def _share(report: Mapping[str, Any]) -> Markup | None:
    largest = report["max_model_share"]
    if largest is None:
        return None
    whole = max((m["parameters"] / m["share"] for m in report["participants"] if m["share"]), default=0)
    return _tile("Largest model share", share(largest), "", f"of {count(whole)} parameters" if whole else "")


def _bytes(report: Mapping[str, Any]) -> Markup | None:
    totals = report["totals"]
    boundaries = totals["boundary_bytes_by_boundary"]
    if not boundaries or not totals["steps"]:
        return None
    each = totals["boundary_bytes"] / len(boundaries) / totals["steps"]
    plural = "boundary" if len(boundaries) == 1 else "boundaries"
    more = f"over {len(boundaries)} {plural}; {size(totals['boundary_bytes'])} in all"
    return _tile("Traffic of a boundary", size(each), "/step", more)
