"""Refusals: all are counted and told, and the log gets a line of each reason every five seconds."""

from __future__ import annotations

import logging

import pytest

from actors.transport.refusals import Refusals


class Told:
    """Refusals on a clock that the test turns."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.told: list[tuple[str, str]] = []
        self.refusals = Refusals(lambda reason, detail: self.told.append((reason, detail)), lambda: self.now)

    def count(self, reason: str, at: float) -> None:
        self.now = 1000.0 + at
        self.refusals.count(reason, f"at {at}")


def test_every_case_is_counted_by_reason_and_told() -> None:
    one = Told()
    for at, reason in enumerate(["odd", "even", "odd", "odd"]):
        one.count(reason, at)
    assert one.refusals.counts == {"odd": 3, "even": 1}
    assert one.told == [("odd", "at 0"), ("even", "at 1"), ("odd", "at 2"), ("odd", "at 3")]


def test_the_counts_are_a_copy() -> None:
    one = Told()
    one.count("odd", 0)
    one.refusals.counts["odd"] = 99
    assert one.refusals.counts == {"odd": 1}


def test_a_reason_is_logged_at_once_and_then_every_five_seconds_with_what_was_left_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    one = Told()
    with caplog.at_level(logging.WARNING, "tessera.transport"):
        for at in (0.0, 1.0, 4.9, 5.0, 6.0, 11.0, 30.0):
            one.count("odd", at)
        one.count("even", 30.0)
    assert [record.getMessage() for record in caplog.records] == [
        "refused odd: at 0.0",
        "refused odd: at 5.0 (and 2 more since the last line)",
        "refused odd: at 11.0 (and 1 more since the last line)",
        "refused odd: at 30.0",
        "refused even: at 30.0",
    ]
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
    assert one.refusals.counts == {"odd": 7, "even": 1}


def test_one_reason_does_not_silence_another(caplog: pytest.LogCaptureFixture) -> None:
    one = Told()
    for at, reason in ((0.0, "odd"), (1.0, "even"), (2.0, "odd"), (5.5, "even"), (6.5, "even")):
        one.count(reason, at)
    assert [record.getMessage() for record in caplog.records] == [
        "refused odd: at 0.0",
        "refused even: at 1.0",
        "refused even: at 6.5 (and 1 more since the last line)",
    ]


def test_even_a_clock_that_begins_at_nothing_gets_its_first_line(caplog: pytest.LogCaptureFixture) -> None:
    one = Told()
    one.count("odd", -1000.0)
    assert [record.getMessage() for record in caplog.records] == ["refused odd: at -1000.0"]
