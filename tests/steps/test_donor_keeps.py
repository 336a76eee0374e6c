"""What a donor keeps, and until when: eight followers, eight averages, a snapshot as long as it is asked for."""

from __future__ import annotations

from dataclasses import replace

from actors.steps.context import Context
from actors.steps.donor import Donor
from actors.steps.effects import ExportState
from actors.steps.messages import Chunk, Get, Gone, Part, Want
from tests.steps.giving import STATE, commit, donor, following, offers, update
from tests.steps.parts import STEP, clear, mail, wanted


def fetchable(one: Context, made: Donor, part: Part, number: int) -> bool:
    """Whether a replica that may have it can still fetch it."""
    clear(one)
    made.get("s0b", Get(part, number, 0))
    assert len(mail(one, Chunk, Gone)) == 1
    return bool(mail(one, Chunk))


def test_eight_peers_can_be_given_a_state_at_once() -> None:
    one, made = donor(8)
    one.agreement.decision.assigned.update({f"new{number}": (0,) for number in range(3)})
    one.usable |= {"new0", "new1"}
    following(one, made, *[f"s0{letter}" for letter in "bcdefgh"])
    made.want("new0", Want(-1, 0))
    made.want("new1", Want(-1, 0))
    assert offers(one) == [("new0", Part.STATE, STEP)]
    assert one.ignored["too many ask for the state"] == 1
    made.want("s0b", Want(-1, 0))
    assert offers(one)[1:] == [("s0b", Part.STATE, STEP)], "it is among the eight"
    made.drop({"s0c"})
    made.want("new1", Want(-1, 0))
    assert offers(one)[2:] == [("new1", Part.STATE, STEP)]


def test_those_who_wait_for_the_state_count_among_the_eight() -> None:
    one, made = donor(8)
    one.agreement.decision.assigned.update({f"new{number}": (0,) for number in range(3)})
    one.usable |= {"new0", "new1"}
    for peer in (*[f"s0{letter}" for letter in "bcdefgh"], "new0", "new1"):
        made.want(peer, Want(-1, 0))
    assert one.ignored["too many ask for the state"] == 1
    made.exported(STEP, STATE, "hash")
    assert len(offers(one)) == 8


def test_eight_averages_are_kept_and_who_needs_longer_begins_with_a_newer_state() -> None:
    one, made = donor()
    following(one, made, "s0b")
    for number in range(STEP + 1, STEP + 9):
        commit(one, made, number)
    clear(one)
    made.want("s0c", Want(-1, 0))
    assert [number for _, part, number in offers(one) if part is Part.AVERAGE] == list(range(STEP + 1, STEP + 9))
    commit(one, made, STEP + 9)
    assert not fetchable(one, made, Part.AVERAGE, STEP + 1)
    assert fetchable(one, made, Part.AVERAGE, STEP + 2)
    clear(one)
    made.want("s0d", Want(-1, 0))
    assert offers(one) == [] and wanted(one, ExportState) == [ExportState(STEP + 9)]


def test_what_no_one_follows_is_not_kept() -> None:
    one, made = donor()
    following(one, made, "s0b")
    commit(one, made, 4)
    made.drop({"s0b"})
    commit(one, made, 5)
    assert not fetchable(one, made, Part.STATE, STEP)
    assert not fetchable(one, made, Part.AVERAGE, 4) and not fetchable(one, made, Part.AVERAGE, 5)
    assert one.waits.next_deadline() is None


def test_a_snapshot_stays_for_those_who_are_about_to_get_it() -> None:
    one, made = donor()
    following(one, made, "s0b")
    one.usable.discard("s0c")
    made.want("s0c", Want(-1, 0))
    made.drop({"s0b"})
    commit(one, made, 4)
    assert fetchable(one, made, Part.STATE, STEP)


def test_who_missed_an_average_is_told_no_more_until_it_asks_again() -> None:
    """Its link was down while a commit was applied: the next average alone is of no use to it."""
    one, made = donor()
    following(one, made, "s0b", "s0c")
    commit(one, made, 4)
    one.held = 6
    made.applied(update(6))
    assert [number for _, _, number in offers(one)] == [4, 4]
    assert not fetchable(one, made, Part.STATE, STEP), "no one follows"


def test_averages_are_kept_without_gaps() -> None:
    one, made = donor()
    following(one, made, "s0b")
    commit(one, made, 4)
    one.usable.discard("s0c")
    made.want("s0c", Want(5, -1))
    one.held = 6
    made.applied(update(6))
    assert fetchable(one, made, Part.AVERAGE, 6) and not fetchable(one, made, Part.AVERAGE, 4)


def test_a_snapshot_is_forgotten_when_no_one_has_asked_for_six_floors() -> None:
    one, made = donor()
    following(one, made, "s0b")
    assert one.waits.next_deadline() == 12.0
    one.now = 5.0
    assert fetchable(one, made, Part.STATE, STEP)
    assert one.waits.next_deadline() == 17.0
    made.get("s0b", Get(Part.STATE, STEP, 99))
    one.now = 17.0
    assert [key for key, _ in one.waits.expired(17.0)] == [("snapshot",)]
    made.overdue()
    assert not fetchable(one, made, Part.STATE, STEP)
    clear(one)
    commit(one, made, 4)
    assert offers(one) == [], "those who followed have what they need, or are gone"


def test_what_is_exported_counts_as_asked_for() -> None:
    one, made = donor()
    made.want("s0b", Want(-1, 0))
    one.now = 7.0
    made.exported(STEP, STATE, "hash")
    assert one.waits.next_deadline() == 19.0


def test_who_needs_nothing_any_more_gets_nothing() -> None:
    one, made = donor()
    following(one, made, "s0b")
    one.usable.discard("s0c")
    made.want("s0c", Want(-1, 0))
    made.drop({"s0b", "s0c", "stranger"})
    one.usable.add("s0c")
    made.serve()
    commit(one, made, 4)
    assert offers(one) == []


def test_a_donor_without_shards_has_nothing_and_begins_again() -> None:
    one, made = donor()
    made.want("s0b", Want(-1, 0))
    made.lost()
    made.want("s0c", Want(-1, 0))
    assert wanted(one, ExportState) == [ExportState(STEP)] * 2
    made.exported(STEP, STATE, "hash")
    assert offers(one) == [("s0c", Part.STATE, STEP)], "who asked before asks others"
    made.lost()
    assert not fetchable(one, made, Part.STATE, STEP)
    assert one.waits.next_deadline() is None
    commit(one, made, 4)
    assert offers(one) == [], "no one follows any more"
    made.lost()
    made.want("s0b", Want(STEP - 1, -1))
    assert offers(one) == []


def test_an_average_of_a_commit_that_is_not_held_is_not_offered() -> None:
    one, made = donor()
    made.applied(update(STEP))
    one.held = STEP + 1
    one.agreement.decision = replace(one.decision, step=STEP + 1, slot=one.decision.slot + 1)
    made.want("s0b", Want(STEP - 1, -1))
    assert offers(one) == []
    assert wanted(one, ExportState) == [ExportState(STEP + 1)]
    assert not fetchable(one, made, Part.AVERAGE, STEP)
