"""Numbers for people."""

from __future__ import annotations

import math

import pytest

from orchestrator.telemetry import text


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0, "0"),
        (7, "7"),
        (999, "999"),
        (1234, "1.23k"),
        (12345, "12.3k"),
        (999_999, "1.00M"),
        (0.5, "0.50"),
        (None, "–"),
    ],
)
def test_count(value: float | None, written: str) -> None:
    assert text.count(value) == written


@pytest.mark.parametrize(("value", "written"), [(0, "0 B"), (1500, "1.50 kB"), (2_500_000, "2.50 MB"), (math.inf, "–")])
def test_size(value: float, written: str) -> None:
    assert text.size(value) == written


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0.25, "250 ms"),
        (12.34, "12.3 s"),
        (59.97, "1 min 00 s"),
        (3725, "1 h 02 min"),
        (200_000, "2 d 07 h"),
        (None, "–"),
    ],
)
def test_duration(value: float | None, written: str) -> None:
    assert text.duration(value) == written


@pytest.mark.parametrize(
    ("arguments", "written"),
    [
        ((0, 2, True, False), "embedding + layers 0–1"),
        ((3, 4, False, True), "layer 3 + head"),
        ((0, 0, False, False), "nothing"),
    ],
)
def test_layers(arguments: tuple[int, int, bool, bool], written: str) -> None:
    assert text.layers(*arguments) == written


@pytest.mark.parametrize(("long", "short"), [("7.50k", "7.5k"), ("10.0 MB", "10 MB"), ("100", "100"), ("0.05", "0.05")])
def test_trimmed(long: str, short: str) -> None:
    assert text.trimmed(long) == short


def test_sparkline_is_bounded_and_ignores_nan() -> None:
    assert text.sparkline([], 5) == ""
    assert text.sparkline([math.nan, 3.0], 5) == "▄"
    line = text.sparkline([float(v) for v in range(100)], 10)
    assert (len(line), line[0], line[-1]) == (10, "▁", "█")


def test_shorten_takes_control_characters_away() -> None:
    assert text.shorten("a\x1b[31m\nb", 20) == "a [31m b"
    assert text.shorten("abcdef", 4) == "abc…"
