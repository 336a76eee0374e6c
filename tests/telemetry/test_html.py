"""The page: well formed, complete in itself, and deaf to hostile names."""

from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser

import pytest

from actors.records import Event
from orchestrator.telemetry.html import render_page
from orchestrator.telemetry.markup import Markup, tag
from orchestrator.telemetry.report import Report
from orchestrator.telemetry.scale import Scale, padded, ticks, whole_ticks
from tests.telemetry import runs

VOID = {"meta", "br"}
HOSTILE = "\"><script>alert(1)</script><img src=x onerror='x'>&\x00\x1b[2J"


class Reader(HTMLParser):
    """Checks that elements nest, and keeps them, their attributes and the text."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert reader.open == []
    return reader


@pytest.mark.parametrize(
    ("number", "stages", "steps"),
    [
        (0, 1, 0),
        (0, 1, 30),
        (1, 1, 0),
        (1, 1, 1),
        (2, 1, 2),
        (3, 3, 5),
        (8, 4, 60),
        (64, 8, 1000),
        (64, 1, 20),
        (16, 16, 3),
    ],
)
def test_pages_of_all_sizes(number: int, stages: int, steps: int) -> None:
    page = render_page(runs.report(number, stages, steps).to_dict())
    reader = read(page)
    assert not re.search(r"\b(nan|inf)\b", re.sub(r"<script>.*?</script>", "", page, flags=re.S), re.I)
    assert len(page) < 700_000
    for kind, attributes in reader.seen:
        if kind == "rect":
            assert float(attributes["width"] or 0) >= 0
            assert float(attributes["height"] or 0) >= 0
    for member in runs.participants(number, stages):
        assert member.name in reader.text


def test_nothing_comes_from_elsewhere() -> None:
    page = render_page(runs.report(8, 4, 60).to_dict())
    for _, attributes in read(page).seen:
        assert not {"src", "href", "xlink:href", "action", "data"} & set(attributes)
    assert not re.search(r"https?:|url\(|@import|fetch\(|XMLHttp", page)


def test_hostile_names_stay_text() -> None:
    report = Report(HOSTILE, HOSTILE, {HOSTILE: HOSTILE, "data": {"tokenizer": HOSTILE}})
    members = [dataclasses.replace(m, name=m.name + HOSTILE, state=HOSTILE) for m in runs.participants(4, 2)]
    report.set_participants(members)
    for record in runs.commits(3, members):
        report.add_commit(record)
    report.add_event(Event(runs.START, HOSTILE, members[0].name, HOSTILE))
    report.add_event(Event(runs.START, HOSTILE, HOSTILE, HOSTILE))
    report.finish("failed", HOSTILE)
    page = render_page(report.to_dict())
    reader = read(page)
    kinds = [kind for kind, _ in reader.seen]
    assert kinds.count("script") == 1
    assert "img" not in kinds
    assert not any(name.startswith("on") for _, attributes in reader.seen for name in attributes)
    assert "\x00" not in page
    assert "\x1b" not in page


def test_page_tells_outcome_failure_and_unit() -> None:
    text = read(render_page(runs.report(3, 3, 5, outcome="failed", failure="stage 2 is gone").to_dict())).text
    assert "stage 2 is gone" in text
    assert "nats/byte" in text
    config = {"data": {"tokenizer": "bpe"}}
    assert "nats/token" in read(render_page(Report("r", config=config).to_dict())).text


def test_unfinished_run_is_running() -> None:
    assert "running" in read(render_page(Report("r").to_dict())).text


def test_markup_escapes_what_is_not_markup() -> None:
    assert tag("b", "<i>", Markup("<u></u>"), title='"') == '<b title="&quot;">&lt;i&gt;<u></u></b>'


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 0.003), (5.1, 5.4), (0, 1e12), (-3, 7), (2, 2)])
def test_ticks_lie_within_and_are_few(low: float, high: float) -> None:
    found = ticks(low, high)
    assert len(found) <= 12
    assert all(low - 1e-9 <= tick <= high + 1e-9 for tick in found)


def test_scales_of_one_value_do_not_divide_by_zero() -> None:
    assert Scale(3, 3, 0, 10)(3) == 5
    assert whole_ticks(4, 4) == [4]
    low, high = padded(0.0, 0.0, zero=False)
    assert low < high
