"""Saving when a writer is late, gone, or has lost what it should write."""

from __future__ import annotations

from dataclasses import replace

import pytest

from actors.steps import events
from actors.steps.effects import CommitCheckpoint, Note, SavePart, SealStage
from actors.steps.messages import Saved, Sealed, Stored
from tests.steps.parts import STEP, clear, notes, wanted
from tests.steps.saver import PLACE, decide, hold, parts, saver, saving, stages, tasks, words


def test_the_part_of_a_writer_that_is_gone_is_written_by_the_first_other_one() -> None:
    for me, taken in (("s0a", [SavePart(*PLACE, 2, 3)]), ("s0b", [])):
        one, made = saving(me, (3, 1))
        clear(one)
        one.usable.discard("s0c")
        made.peers_changed()
        assert tasks(one) == taken
        made.peers_changed()
        assert tasks(one) == taken, "once"
        said = [effect.detail for effect in wanted(one, Note)]
        assert said == ["S0A writes the part of S0C, who is gone"] * len(taken)


@pytest.mark.parametrize("how", ["unreachable", "dead", "moved", "out of the view"])
def test_a_writer_is_gone_if_it_cannot_write_whatever_it_did_before(how: str) -> None:
    one, made = saving()
    clear(one)
    if how == "unreachable":
        one.usable.discard("s0b")
    elif how == "dead":
        one.gone["s0b"] = "dead"
    else:
        members = [member for member in one.view.members if member.peer_id != "s0b"]
        if how == "moved":
            members.append(type(one.me)("s0b", 1, "S0B", 1))
        one.agreement.view = type(one.view)(1, tuple(sorted(members)))
    made.peers_changed()
    assert tasks(one) == [SavePart(*PLACE, 1, 2)]


def test_a_writer_that_is_gone_when_it_begins_is_replaced_at_once() -> None:
    one, made = saver()
    decide(one, made)
    one.usable.discard("s0b")
    hold(one, made)
    assert tasks(one) == [SavePart(*PLACE, 0, 2), SavePart(*PLACE, 1, 2)]


def test_a_part_that_is_in_the_store_is_not_written_again_when_its_writer_goes() -> None:
    one, made = saving()
    parts(made, 1)
    clear(one)
    one.usable.discard("s0b")
    made.peers_changed()
    assert tasks(one) == []


@pytest.mark.parametrize("busy", ["applying", "held"])
def test_only_who_still_holds_the_commit_writes_for_others(busy: str) -> None:
    one, made = saving()
    clear(one)
    one.usable.discard("s0b")
    if busy == "held":
        one.held = STEP + 1
    else:
        one.applying = object()  # type: ignore[assignment]
    made.peers_changed()
    assert tasks(one) == []


def test_who_says_that_it_has_lost_its_part_is_replaced() -> None:
    one, made = saving("s0b", (3, 1))
    clear(one)
    made.receive("s0a", Saved(*PLACE, 0, 0, b""))
    assert tasks(one) == [SavePart(*PLACE, 0, 3)], "s0b is the first of those that are able"
    clear(one)
    parts(made, 0, 1, 2)
    assert tasks(one) == [SealStage(*PLACE, (b"part 0", b"part 1", b"part 2"))]
    clear(one)
    stages(made, 0, 1)
    assert tasks(one) == [CommitCheckpoint(*PLACE, (b"stage 0", b"stage 1"))]


def test_parts_that_are_late_are_written_by_the_first_other_one_though_their_writers_are_there() -> None:
    """Patience for the parts is 12 s at first; s0a is the first other one for parts 1 and 2, and s0b for part 0."""
    for me, taken in (("s0a", [1, 2]), ("s0b", [0]), ("s0c", [])):
        one, made = saving(me, (3, 1))
        clear(one)
        assert one.waits.next_deadline() == 12.0
        one.waits.expired(12.0)
        made.overdue("not all parts are there")
        assert [task.part for task in tasks(one)] == taken
        assert one.waits.waiting(("save",))
        assert all(" who is late" in effect.detail for effect in wanted(one, Note)[1:])
        parts(made, 0, 1, 2)
        sealed = [task for task in tasks(one) if isinstance(task, SealStage)]
        assert len(sealed) == (me == "s0a"), "late parts are no reason to seal out of turn"


def test_stages_that_are_late_are_sealed_by_the_next_replica_and_the_manifest_written_by_the_next_holder() -> None:
    for me, seals, commits in (("s0a", [0, 2], [0]), ("s0b", [1, 3], [1])):
        sealed, committed = [], []
        one, made = saving(me)
        parts(made, 0, 1)
        for turn in range(4):
            sealed += [turn for task in tasks(one) if isinstance(task, SealStage)]
            clear(one)
            made.overdue("not all stages are there")
        assert sealed == seals
        other, whole = saving(me)
        parts(whole, 0, 1)
        stages(whole, 0, 1)
        for turn in range(4):
            committed += [turn for task in tasks(other) if isinstance(task, CommitCheckpoint)]
            clear(other)
            other.waits.cancel(("save",))
            whole.overdue("no manifest")
            assert other.waits.waiting(("save",))
        assert committed == commits, "four held the commit"


def test_patience_for_the_rest_begins_when_all_parts_are_there() -> None:
    one, made = saving()
    one.now = 5.0
    parts(made, 0)
    assert one.waits.next_deadline() == 12.0
    parts(made, 1)
    assert one.waits.next_deadline() == 17.0
    assert one.waits.patience("parts") == 50.0, "ten times five seconds"


def test_who_takes_over_seals_or_commits_at_once() -> None:
    one, made = saving("s0b")
    parts(made, 0, 1)
    clear(one)
    one.usable.discard("s0a")
    made.peers_changed()
    assert tasks(one) == [SealStage(*PLACE, (b"part 0", b"part 1"))]
    clear(one)
    stages(made, 0, 1)
    assert tasks(one) == [CommitCheckpoint(*PLACE, (b"stage 0", b"stage 1"))]


def test_who_comes_or_moves_hears_again_what_it_may_have_missed() -> None:
    one, made = saving()
    made.part_saved(events.PartSaved(*PLACE, 0, b"mine"))
    parts(made, 0, 1)
    clear(one)
    made.peers_changed()
    assert words(one) == [("s0b", Saved(*PLACE, 0, 0, b"mine")), ("s0a", Saved(*PLACE, 0, 0, b"mine"))]
    stages(made, 0)
    clear(one)
    made.peers_changed()
    assert [to for to, word in words(one) if word == Sealed(*PLACE, 0, b"stage 0")] == ["s0b", "s1a", "s1b", "s0a"]
    second, other = saving("s0b")
    stages(other, 0)
    clear(second)
    other.peers_changed()
    assert words(second) == [], "the first one says it"


def test_who_loses_the_commit_before_its_part_is_written_tells_all_who_held_it() -> None:
    one, made = saving(layout=(3, 1))
    clear(one)
    one.usable.discard("s0c")
    made.lost()
    assert words(one) == [("s0b", Saved(*PLACE, 0, 0, b"")), ("s1a", Saved(*PLACE, 0, 0, b""))]
    written, done = saving()
    done.part_saved(events.PartSaved(*PLACE, 0, b"mine"))
    clear(written)
    done.lost()
    assert words(written) == [], "its part is in the store"


def test_who_loses_what_was_averaged_before_it_is_applied_says_so() -> None:
    one, made = saver("s0b")
    decide(one, made)
    made.lost()
    assert [word for _, word in words(one)] == [Saved(*PLACE, 0, 1, b"")] * 3
    hold(one, made)
    assert tasks(one) == []
    other, gone = saver("s0b")
    decide(other, gone)
    clear(other)
    other.applying = None
    gone.decided(other.decision)
    assert [word for _, word in words(other)] == [Saved(*PLACE, 0, 1, b"")] * 3


def test_who_did_not_hold_the_commit_has_nothing_to_lose() -> None:
    one, made = saver("s0b")
    decide(one, made, holders=("s0a", "s1a"))
    made.lost()
    idle, nothing = saver()
    nothing.lost()
    assert words(one) == words(idle) == []


def test_new_shards_are_asked_again_for_what_the_old_ones_had_not_written() -> None:
    one, made = saving(layout=(1, 2))
    parts(made, 0)
    stages(made, 1)
    made.lost()
    clear(one)
    made.peers_changed()
    assert tasks(one) == [SealStage(*PLACE, (b"part 0",))], "what was under way is gone with the shards"


def test_who_took_over_a_part_and_lost_the_commit_writes_it_when_it_is_held_again() -> None:
    one, made = saving()
    one.usable.discard("s0b")
    made.peers_changed()
    made.lost()
    clear(one)
    made.peers_changed()
    assert tasks(one) == [SavePart(*PLACE, 1, 2)]


def test_who_has_lost_its_part_seals_nothing() -> None:
    one, made = saving(layout=(1, 2))
    clear(one)
    made.receive("s0a", Saved(*PLACE, 0, 0, b""))
    parts(made, 0)
    assert tasks(one) == []


def test_another_decision_loses_nothing_of_what_is_being_written() -> None:
    one, made = saving()
    clear(one)
    one.agreement.decision = replace(one.decision, step=STEP + 1)
    made.decided(one.decision)
    assert words(one) == [] and one.waits.waiting(("save",))


def test_a_store_that_takes_nothing_is_told_to_all_with_the_reason() -> None:
    one, made = saving()
    parts(made, 0, 1)
    clear(one)
    made.failed(events.SaveFailed(*PLACE, "x" * 500))
    assert sorted(words(one)) == [(peer, Stored(*PLACE, "x" * 400)) for peer in ("s0a", "s0b", "s1a", "s1b")]
    made.peers_changed()
    assert SealStage(*PLACE, (b"part 0", b"part 1")) in tasks(one), "it may be tried again"
    clear(one)
    made.failed(events.SaveFailed(0, STEP - 3, "old"))
    assert notes(one) == ["checkpoint"] and words(one) == []
