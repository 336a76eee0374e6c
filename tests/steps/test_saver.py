"""A checkpoint from its first part to its manifest: when it is due, and who writes what."""

from __future__ import annotations

from dataclasses import replace

import pytest

from actors.steps import events
from actors.steps.effects import CommitCheckpoint, SavePart, SealStage
from actors.steps.messages import Saved, Sealed, Stored
from tests.steps.parts import STEP, clear, notes
from tests.steps.saver import PLACE, decide, hold, parts, saver, saving, stages, tasks, words


@pytest.mark.parametrize(
    ("every", "steps", "first", "due"),
    [
        (3, 10, 0, [3, 6, 9, 10]),  # the run's last commit, too
        (5, 10, 0, [5, 10]),
        (1, 4, 0, [1, 2, 3, 4]),
        (3, 10, 6, [9, 10]),  # the run begins with a checkpoint of commit 6
        (0, 10, 0, []),
        (20, 7, 0, [7]),
    ],
)
def test_every_so_many_commits_one_is_due(every: int, steps: int, first: int, due: list[int]) -> None:
    written = []
    for commit in range(first, steps + 1):
        one, made = saver(save_every=every, steps=steps, first=first)
        decide(one, made, commit)
        hold(one, made, commit)
        written += [task.commit for task in tasks(one)]
    assert written == due


def test_a_change_of_view_saves_nothing() -> None:
    one, made = saver()
    decide(one, made, record=None)
    hold(one, made)
    assert tasks(one) == []


def test_it_begins_when_its_shards_hold_the_commit() -> None:
    one, made = saver()
    decide(one, made)
    made.consider()
    hold(one, made, STEP - 1)
    assert tasks(one) == []
    hold(one, made)
    assert tasks(one) == [SavePart(0, STEP, 0, 2)]
    made.consider()
    assert len(tasks(one)) == 1, "once"


@pytest.mark.parametrize(
    ("me", "layout", "part"),
    [
        ("s0a", (2, 2), SavePart(0, STEP, 0, 2)),
        ("s0b", (2, 2), SavePart(0, STEP, 1, 2)),
        ("s1c", (1, 3), SavePart(0, STEP, 2, 3)),
        ("s0a", (1, 3), SavePart(0, STEP, 0, 1)),
    ],
)
def test_the_nth_replica_of_a_stage_writes_the_nth_part(me: str, layout: tuple[int, ...], part: SavePart) -> None:
    one, _ = saving(me, layout)
    assert tasks(one) == [part]


def test_parts_are_of_those_who_held_the_average_only() -> None:
    """s0b was left out of the step: s0c writes the second part of two."""
    one, made = saver("s0c", (3, 1))
    decide(one, made, holders=("s1a", "s0c", "s0a"))
    hold(one, made)
    assert tasks(one) == [SavePart(0, STEP, 1, 2)]
    other, left_out = saver("s0b", (3, 1))
    decide(other, left_out, holders=("s1a", "s0c", "s0a"))
    hold(other, left_out)
    assert tasks(other) == []


def test_histories_count_on_from_the_runs_first_with_every_return() -> None:
    one, made = saver(history=4)
    decide(one, made, returns=((5, 1), (4, 2)))
    hold(one, made)
    assert tasks(one) == [SavePart(6, STEP, 0, 2)]


@pytest.mark.parametrize(("stored", "begins"), [((0, 0), True), ((0, STEP), False), ((0, STEP + 1), False)])
def test_what_is_in_the_store_already_is_not_written_again(stored: tuple[int, int], begins: bool) -> None:
    one, made = saver()
    one.stored = stored
    decide(one, made)
    hold(one, made)
    assert bool(tasks(one)) is begins


def test_who_serves_another_stage_now_writes_nothing_of_the_one_before() -> None:
    one, made = saver()
    decide(one, made)
    one.me = replace(one.me, stage=1)
    hold(one, made)
    assert tasks(one) == []


def test_the_first_replica_seals_its_stage_when_all_parts_are_there() -> None:
    one, made = saving()
    made.part_saved(events.PartSaved(*PLACE, 0, b"part 0"))
    assert words(one) == [("s0b", Saved(*PLACE, 0, 0, b"part 0")), ("s0a", Saved(*PLACE, 0, 0, b"part 0"))]
    parts(made, 1)
    assert tasks(one) == []
    parts(made, 0)
    assert tasks(one) == [SealStage(*PLACE, (b"part 0", b"part 1"))]
    parts(made, 0)
    assert len(tasks(one)) == 1


def test_the_second_replica_seals_nothing_and_what_is_sealed_is_not_sealed_again() -> None:
    one, made = saving("s0b")
    clear(one)
    parts(made, 0, 1)
    assert tasks(one) == []
    first, sealed = saving()
    clear(first)
    stages(sealed, 0)
    parts(sealed, 0, 1)
    assert tasks(first) == []


def test_the_first_word_about_a_part_counts() -> None:
    one, made = saving()
    parts(made, 1)
    made.receive("s0b", Saved(*PLACE, 0, 1, b"another"))
    parts(made, 0)
    assert tasks(one)[-1] == SealStage(*PLACE, (b"part 0", b"part 1"))


def test_a_sealed_stage_is_told_to_all() -> None:
    one, made = saving()
    clear(one)
    made.stage_sealed(events.StageSealed(*PLACE, b"whole"))
    assert sorted(words(one)) == [(peer, Sealed(*PLACE, 0, b"whole")) for peer in ("s0a", "s0b", "s1a", "s1b")]


def test_the_first_of_all_who_held_the_commit_writes_the_manifest_when_all_stages_are_sealed() -> None:
    one, made = saving()
    clear(one)
    parts(made, 0, 1)
    clear(one)
    stages(made, 1)
    assert tasks(one) == []
    stages(made, 0)
    assert tasks(one) == [CommitCheckpoint(*PLACE, (b"stage 0", b"stage 1"))]
    stages(made, 0)
    assert len(tasks(one)) == 1
    for me in ("s0b", "s1a"):
        other, second = saving(me)
        clear(other)
        stages(second, 0, 1)
        assert tasks(other) == []


def test_a_checkpoint_exists_when_its_manifest_does() -> None:
    one, made = saving()
    clear(one)
    made.committed(events.CheckpointCommitted(*PLACE))
    assert sorted(words(one)) == [(peer, Stored(*PLACE)) for peer in ("s0a", "s0b", "s1a", "s1b")]
    assert one.stored == (-1, -1) and not made.settled
    made.receive("s0a", Stored(*PLACE))
    assert one.stored == PLACE and made.settled and one.waits.next_deadline() is None
    parts(made, 0, 1)
    stages(made, 0, 1)
    assert tasks(one) == [], "it is over"


@pytest.mark.parametrize(
    "message",
    [
        Saved(0, STEP + 3, 0, 1, b"x"),
        Saved(0, STEP - 1, 0, 1, b"x"),
        Saved(1, STEP, 0, 1, b"x"),
        Saved(*PLACE, 1, 1, b"x"),  # of the other stage
        Saved(*PLACE, 0, 2, b"x"),
        Saved(*PLACE, 0, -1, b"x"),
    ],
)
def test_a_word_about_another_part_makes_a_stage_no_more_whole(message: Saved) -> None:
    one, made = saving()
    clear(one)
    parts(made, 0)
    made.receive("s0b", message)
    assert tasks(one) == []
    parts(made, 1)
    assert len(tasks(one)) == 1


@pytest.mark.parametrize("stage", [-1, 2])
def test_a_stage_that_does_not_exist_makes_a_checkpoint_no_more_whole(stage: int) -> None:
    one, made = saving()
    clear(one)
    stages(made, 0)
    made.receive("s1a", Sealed(*PLACE, stage, b"x"))
    assert tasks(one) == []


def test_words_of_the_store_about_another_checkpoint_change_nothing() -> None:
    one, made = saving()
    clear(one)
    for place in ((0, STEP + 1), (1, STEP)):
        made.part_saved(events.PartSaved(*place, 0, b"x"))
        made.stage_sealed(events.StageSealed(*place, b"x"))
    assert words(one) == []
    idle, nothing = saver()
    nothing.part_saved(events.PartSaved(*PLACE, 0, b"x"))
    nothing.stage_sealed(events.StageSealed(*PLACE, b"x"))
    nothing.overdue("late")
    nothing.failed(events.SaveFailed(*PLACE, "full"))
    nothing.receive("s1a", Stored(*PLACE))
    nothing.peers_changed()
    assert words(idle) == []


def test_a_checkpoint_that_is_not_whole_when_the_next_begins_is_given_up_and_said() -> None:
    one, made = saving()
    stages(made, 1)
    clear(one)
    decide(one, made, STEP + 3)
    hold(one, made, STEP + 3)
    (note,) = [effect.detail for effect in one.out if hasattr(effect, "detail")]
    assert note == "that of commit 3 is given up: stage 0 was not written"
    assert tasks(one) == [SavePart(0, STEP + 3, 0, 2)]
    stages(made, 0, 1)
    assert len(tasks(one)) == 1, "words about the one before"
    whole, all_sealed = saving()
    stages(all_sealed, 0, 1)
    clear(whole)
    decide(whole, all_sealed, STEP + 3)
    hold(whole, all_sealed, STEP + 3)
    (note,) = [effect.detail for effect in whole.out if hasattr(effect, "detail")]
    assert note == "that of commit 3 is given up: its manifest was not written"
    assert notes(whole) == ["checkpoint"]
