"""What a participant tells of itself: events with numbers, bounded; and how far the run has got here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from actors.clock import Clock
from actors.journal import EVENTS, RECORDS, Journal
from actors.steps.participant import Participant
from tests.steps.builders import commit_record


@dataclass
class Times:
    """Two clocks that stand still."""

    monotonic: float = 50.0
    wall: float = 1_760_000_000.5

    def clock(self) -> Clock:
        """As a journal reads them."""
        return Clock(lambda: self.monotonic, lambda: self.wall)


@dataclass
class Protocol:
    """What a journal looks at of a participant's protocol."""

    started: bool = False
    finished: bool = False
    failed: str = ""
    paused: str = ""


def journal(times: Times | None = None) -> Journal:
    """A journal of ann."""
    return Journal("ann", (times or Times()).clock())


def protocol(**what: Any) -> Participant:
    """A protocol in some state."""
    made: Any = Protocol(**what)
    return made


def test_events_have_numbers_that_begin_at_the_clock_in_milliseconds() -> None:
    times = Times()
    ours = journal(times)
    ours.note("joined", "stage 0")
    times.wall += 2.0
    ours.note("lost", "bob")
    (first, one), (second, other) = ours.events
    assert (first, second) == (1_760_000_000_501, 1_760_000_000_502)
    assert (one.time, one.kind, one.participant, one.detail) == (1_760_000_000.5, "joined", "ann", "stage 0")
    assert (other.time, other.kind, other.detail) == (1_760_000_002.5, "lost", "bob")


def test_a_later_process_counts_on_above_the_earlier_one() -> None:
    times = Times()
    earlier = journal(times)
    for _ in range(100):
        earlier.note("kind", "")
    times.wall += 1.0
    later = journal(times)
    later.note("kind", "")
    assert later.events[0][0] > earlier.events[-1][0]


def test_the_newest_events_and_records_are_kept() -> None:
    ours = journal()
    for number in range(EVENTS + 3):
        ours.note("kind", str(number))
    assert (EVENTS, len(ours.events)) == (2048, 2048)
    assert (ours.events[0][1].detail, ours.events[-1][1].detail) == ("3", str(EVENTS + 2))
    for number in range(RECORDS + 2):
        ours.records.append(commit_record(number))
    assert (RECORDS, len(ours.records)) == (8192, 8192)
    assert (ours.records[0].step, ours.records[-1].step) == (2, RECORDS + 1)


@pytest.mark.parametrize(
    ("state", "phase"),
    [
        (None, "starting"),
        (protocol(), "starting"),
        (protocol(paused="no quorum"), "starting"),
        (protocol(started=True), "training"),
        (protocol(started=True, paused="no quorum"), "paused"),
        (protocol(finished=True), "finished"),
        (protocol(started=True, finished=True), "finished"),
        (protocol(started=True, finished=True, paused="no quorum"), "finished"),
        (protocol(failed="boom"), "failed"),
        (protocol(started=True, finished=True, failed="boom"), "failed"),
    ],
)
def test_the_phase_is_that_of_the_protocol(state: Participant | None, phase: str) -> None:
    assert journal().phase(state) == phase


WORKING = protocol(started=True)
BROKEN = protocol(started=True, failed="boom")


@pytest.mark.parametrize(
    ("end", "state", "phase", "failure", "event"),
    [
        (lambda one: one.never_began("no data"), None, "failed", "no data", ("failed", "no data")),
        (lambda one: one.never_began("enough", stopped=True), None, "stopped", "enough", ("stopped", "enough")),
        (lambda one: one.failed("boom", stopped=False), BROKEN, "failed", "boom", ("failed", "boom")),
        (lambda one: one.failed("the owner", stopped=True), BROKEN, "stopped", "boom", ("stopped", "the owner")),
        (
            lambda one: one.finished(),
            protocol(finished=True),
            "finished",
            "",
            ("finished", "ann has the closing decision"),
        ),
        (lambda one: one.left(), WORKING, "left", "", None),
        (lambda one: one.left(), BROKEN, "left", "boom", None),
    ],
    ids=["never began", "stopped before", "failed", "stopped", "finished", "left", "left and failed"],
)
def test_an_end_has_a_phase_an_event_and_a_time(
    end: Any, state: Participant | None, phase: str, failure: str, event: tuple[str, str] | None
) -> None:
    ours = journal()
    assert ours.ended_at is None
    end(ours)
    assert (ours.phase(state), ours.failure(state), ours.ended_at) == (phase, failure, 50.0)
    assert [(one.kind, one.detail) for _, one in ours.events] == ([event] if event else [])


def test_who_was_stopped_stays_stopped() -> None:
    ours = journal()
    ours.never_began("the owner", stopped=True)
    ours.never_began("and then the data")
    assert ours.phase(None) == "stopped" and ours.failure(None) == "and then the data"
    other = journal()
    other.failed("the owner", stopped=True)
    other.failed("something else", stopped=False)
    assert other.phase(BROKEN) == "failed"


def test_why_a_run_never_began_is_told_before_what_its_protocol_says() -> None:
    ours = journal()
    assert ours.failure(None) == "" and ours.failure(BROKEN) == "boom"
    ours.never_began("no data")
    assert ours.failure(BROKEN) == "no data"
