"""One averaging round at one replica: what it sends, what it waits for, and which averages it keeps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from actors.averaging.reduce import Float32
from actors.steps.averaging import Averaging
from actors.steps.ballots import Average, Stuck
from actors.steps.chunks import average_digest
from actors.steps.context import Context
from actors.steps.effects import ExportGradient, Send
from actors.steps.messages import Phase, Slice
from tests.steps.parts import STEP, clear, context, vector, wanted

SCATTER, GATHER = Phase.SCATTER, Phase.GATHER
MINE = vector(1, 2, 3, 4)


def order(number: int = 2, group: tuple[str, ...] = ("s0a", "s0b"), ballot: int = 0) -> Average:
    return Average(9, ballot, number, STEP, {0: group, 1: ("s1a",)}, {})


def averaging(*, begun: bool = True) -> tuple[Context, Averaging]:
    """s0a, which owns the first two of four values; s0b owns the others."""
    one = context("s0a")
    made = Averaging(one)
    if begun:
        made.begin(order())
    return one, made


def piece(phase: Phase, chunk: int, number: int = 2, ballot: int = 0, stamp: int = STEP) -> Slice:
    return Slice(stamp, 9, ballot, number, phase, chunk)


def receive(made: Averaging, number: int = 2, add: float = 0.0) -> None:
    """All that s0b sends in a round: its values of our chunk, and the sum of its own."""
    made.slice("s0b", piece(SCATTER, 0, number), vector(10 + add, 20))
    made.slice("s0b", piece(GATHER, 1, number), vector(33, 44))


def sent(one: Context) -> list[tuple[str, Any, list[float]]]:
    return [(send.to, send.message, send.payload[0].tolist()) for send in wanted(one, Send)]


def whole_round(one: Context, made: Averaging, number: int, add: float) -> str:
    """Make an average, another one for each `add`; returns its hash."""
    made.begin(order(number))
    assert made.awaits(wanted(one, ExportGradient)[-1].number)
    made.exported(MINE)
    receive(made, number, add)
    assert made.complete and made.prepared is not None
    return made.prepared.digest


def test_a_round_begins_with_ones_own_gradient() -> None:
    one, made = averaging()
    (export,) = wanted(one, ExportGradient)
    assert (export.step, made.awaits(export.number), one.waits.waiting(("export",))) == (STEP, True, True)
    assert not made.awaits(export.number + 1)
    made.begin(order(3))
    again = wanted(one, ExportGradient)[-1]
    assert again.number != export.number, "the shards' answers to earlier requests may hold something else"
    assert (made.awaits(export.number), made.awaits(again.number)) == (False, True)
    made.exported(MINE)
    assert not made.awaits(again.number)


def test_every_slice_names_its_round() -> None:
    one, made = averaging()
    made.exported(MINE)
    assert sent(one) == [("s0b", piece(SCATTER, 1), [3, 4])]
    assert not one.waits.waiting(("export",)) and one.waits.waiting(("reduce",))
    clear(one)
    made.slice("s0b", piece(SCATTER, 0), vector(10, 20))
    assert sent(one) == [("s0b", piece(GATHER, 0), [11, 22])]
    assert not made.complete and made.prepared is None
    made.slice("s0b", piece(GATHER, 1), vector(33, 44))
    assert made.complete and not one.waits.waiting(("reduce",))


def test_the_average_is_known_by_its_hash() -> None:
    _, made = averaging()
    made.exported(MINE)
    receive(made)
    done = made.prepared
    assert done is not None
    assert done.average.tolist() == [11, 22, 33, 44]
    assert done.digest == average_digest(vector(11, 22, 33, 44), 2)
    assert (done.step, done.sum_of_squares, done.replicas) == (STEP, 121.0 + 484 + 1089 + 1936, 2)
    assert made.known(done.digest) is done and made.known("other") is None


def test_who_averages_alone_is_done_with_its_own_gradient() -> None:
    one, made = averaging(begun=False)
    made.begin(order(2, ("s0a",)))
    made.exported(MINE)
    assert made.complete and made.prepared is not None
    assert (made.prepared.average.tolist(), made.prepared.replicas) == ([1, 2, 3, 4], 1)
    assert not one.waits.waiting(("reduce",))


@pytest.mark.parametrize("begun", [False, True], ids=["before the order", "before its own gradient"])
def test_slices_that_come_early_are_kept(begun: bool) -> None:
    _, made = averaging(begun=begun)
    receive(made)
    if not begun:
        made.begin(order())
    assert not made.complete
    made.exported(MINE)
    assert made.complete
    made.begin(order(3))
    made.exported(MINE)
    assert not made.complete


@pytest.mark.parametrize(("ballot", "number"), [(1, 2), (2, 1)], ids=["an earlier number", "an earlier ballot"])
def test_slices_of_an_earlier_round_change_nothing(ballot: int, number: int) -> None:
    one, made = averaging(begun=False)
    made.begin(order(2, ballot=2))
    made.exported(MINE)
    for phase, chunk in ((SCATTER, 0), (GATHER, 1)):
        made.slice("s0b", piece(phase, chunk, number, 2 if number == 1 else ballot), vector(1, 1))
    assert not made.complete and one.ignored["a slice of an earlier round"] == 2
    assert one.waits.next_deadline() == 12.0


def test_slices_of_a_later_round_wait_for_their_order() -> None:
    _, made = averaging()
    made.exported(MINE)
    receive(made, number=3)
    assert not made.complete
    made.begin(order(3))
    made.exported(MINE)
    assert made.complete


def test_of_slices_that_are_too_early_the_oldest_goes_first() -> None:
    """4,096 are kept: of the two that are needed one is among the dropped."""
    one, made = averaging(begun=False)
    made.slice("s0b", piece(SCATTER, 0), vector(10, 20))
    for _ in range(4095):
        made.slice("s0b", piece(GATHER, 1), vector(33, 44))
    assert one.ignored.total() == 0
    made.slice("s0b", piece(GATHER, 1), vector(33, 44))
    assert one.ignored["a slice too early"] == 1
    made.begin(order())
    made.exported(MINE)
    assert not made.complete
    assert made.overdue() == Stuck(9, 0, 2, ("s0b",))
    made.slice("s0b", piece(SCATTER, 0), vector(10, 20))
    assert made.complete


def test_a_round_that_moves_has_its_full_time_again() -> None:
    one, made = averaging()
    made.exported(MINE)
    one.now = 11.0
    made.slice("s0b", piece(SCATTER, 0), vector(10, 20))
    assert one.waits.expired(22.9) == []
    assert [key for key, _ in one.waits.expired(23.0)] == [("reduce",)]


def test_a_stuck_round_names_who_has_not_sent_its_part_and_waits_on() -> None:
    one = context("s0a", (3, 1))
    made = Averaging(one)
    assert made.overdue() is None
    made.begin(order(2, ("s0a", "s0b", "s0c")))
    assert made.overdue() is None, "its own gradient is not there yet"
    made.exported(vector(1, 2, 3))
    made.slice("s0b", piece(SCATTER, 0), vector(10))
    one.waits.expired(12.0)
    one.now = 12.0
    assert made.overdue() == Stuck(9, 0, 2, ("s0b", "s0c"))
    assert one.waits.next_deadline() == 24.0
    made.slice("s0b", piece(GATHER, 1), vector(20))
    assert made.overdue() == Stuck(9, 0, 2, ("s0c",))


def test_a_round_that_is_done_is_not_stuck() -> None:
    _, made = averaging()
    made.exported(MINE)
    receive(made)
    assert made.complete and made.overdue() is None


def test_a_round_that_is_broken_off_awaits_nothing_and_its_result_stays() -> None:
    one, made = averaging()
    made.exported(MINE)
    receive(made)
    made.stop()
    assert made.order is None and not made.complete and made.prepared is not None
    made.begin(order(3))
    made.exported(MINE)
    made.stop()
    assert one.waits.next_deadline() is None and made.overdue() is None
    made.begin(order(4))
    made.stop()
    assert one.waits.next_deadline() is None and not made.awaits(wanted(one, ExportGradient)[-1].number)


def test_four_averages_of_a_step_are_kept_and_the_newest_is_the_one_prepared() -> None:
    """A decision may name an earlier one than the newest."""
    one, made = averaging(begun=False)
    hashes = [whole_round(one, made, number, float(number)) for number in range(2, 6)]
    assert len(set(hashes)) == 4
    assert all(made.known(digest) is not None for digest in hashes)
    assert whole_round(one, made, 6, 2.0) == hashes[0]
    assert made.prepared is not None and made.prepared.digest == hashes[0], "made once more, it is the newest"
    last = whole_round(one, made, 7, 7.0)
    assert [made.known(digest) is not None for digest in (*hashes, last)] == [True, False, True, True, True]


def test_a_new_step_forgets_averages_and_keeps_what_is_of_its_own() -> None:
    one, made = averaging(begun=False)
    digest = whole_round(one, made, 2, 0.0)

    def later(phase: Phase, chunk: int, values: Float32) -> None:
        made.slice("s0b", Slice(STEP + 1, 11, 0, 2, phase, chunk), values)

    later(SCATTER, 0, vector(10, 20))
    made.slice("s0b", piece(GATHER, 1, 9), vector(33, 44))
    one.agreement.decision = _next(one)
    made.begin_step()
    assert made.known(digest) is None and made.prepared is None and made.order is None
    made.slice("s0b", piece(GATHER, 1, 9), vector(33, 44))
    assert one.ignored["a slice of an earlier round"] == 1, "its stamp is of the step before"
    later(GATHER, 1, vector(33, 44))
    made.begin(Average(11, 0, 2, STEP + 1, {0: ("s0a", "s0b")}, {}))
    made.exported(MINE)
    assert made.complete


def test_a_new_step_makes_room_for_its_own_slices() -> None:
    one, made = averaging(begun=False)
    for _ in range(4096):
        made.slice("s0b", piece(GATHER, 1), vector(33, 44))
    one.agreement.decision = _next(one)
    made.begin_step()
    for phase, chunk in ((SCATTER, 0), (GATHER, 1)):
        made.slice("s0b", Slice(STEP + 1, 11, 0, 2, phase, chunk), vector(10, 20))
    assert one.ignored.total() == 0


def _next(one: Context) -> Any:
    return replace(one.decision, step=STEP + 1, slot=one.decision.slot + 1)
