"""Words about checkpoints: kept when they are early, and said to those who can hear them."""

from __future__ import annotations

from actors.steps import events
from actors.steps.effects import CommitCheckpoint, SealStage
from actors.steps.messages import Saved, Sealed
from tests.steps.parts import STEP, clear
from tests.steps.saver import PLACE, decide, hold, parts, saver, saving, stages, tasks, words


def test_words_that_come_before_its_shards_hold_the_commit_are_kept() -> None:
    one, made = saver()
    decide(one, made)
    parts(made, 1)
    made.receive("s1a", Sealed(*PLACE, 1, b"stage 1"))
    hold(one, made)
    clear(one)
    parts(made, 0)
    assert tasks(one) == [SealStage(*PLACE, (b"part 0", b"part 1"))]
    clear(one)
    stages(made, 0)
    assert tasks(one) == [CommitCheckpoint(*PLACE, (b"stage 0", b"stage 1"))]


def test_of_words_that_come_early_256_are_kept() -> None:
    for more, sealed in ((255, 1), (256, 0)):
        one, made = saver()
        decide(one, made)
        parts(made, 0)
        for _ in range(more):
            parts(made, 1)
        hold(one, made)
        assert len(tasks(one)) == 1 + sealed


def test_a_word_about_the_next_checkpoint_is_kept_while_this_one_is_written() -> None:
    one, made = saving()
    made.receive("s0b", Saved(0, STEP + 3, 0, 1, b"next"))
    made.receive("s0b", Saved(0, STEP - 3, 0, 1, b"old"))
    parts(made, 1)
    decide(one, made, STEP + 3)
    hold(one, made, STEP + 3)
    clear(one)
    made.receive("s0a", Saved(0, STEP + 3, 0, 0, b"mine"))
    assert tasks(one) == [SealStage(0, STEP + 3, (b"mine", b"next"))]


def test_a_word_about_what_exists_already_is_not_kept() -> None:
    one, made = saver()
    one.stored = PLACE
    parts(made, 1)
    one.stored = (-1, -1)
    decide(one, made)
    hold(one, made)
    clear(one)
    parts(made, 0)
    assert tasks(one) == []


def test_nothing_is_said_to_who_cannot_be_reached() -> None:
    one, made = saving(layout=(3, 1))
    clear(one)
    one.usable -= {"s0b"}
    made.part_saved(events.PartSaved(*PLACE, 0, b"mine"))
    assert [to for to, _ in words(one)] == ["s0c", "s0a"]
