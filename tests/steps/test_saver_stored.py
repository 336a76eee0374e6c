"""Which checkpoints are believed to exist, and when the run's last one is settled."""

from __future__ import annotations

import pytest

from actors.steps.messages import Stored
from tests.steps.parts import STEP
from tests.steps.saver import PLACE, saver, saving, words


@pytest.mark.parametrize(
    ("message", "stored", "unsaved"),
    [
        (Stored(0, STEP), (0, STEP), (-1, -1)),
        (Stored(0, STEP, "disk full"), (0, 1), (0, STEP)),
        (Stored(0, 1), (0, 1), (-1, -1)),
        (Stored(0, 0, "disk full"), (0, 1), (-1, -1)),
        (Stored(0, 1, "disk full"), (0, 1), (-1, -1)),  # another replica could
        (Stored(0, STEP + 1), (0, STEP + 1), (-1, -1)),  # a decision that we have not heard of yet
        (Stored(0, STEP + 2), (0, 1), (-1, -1)),
        (Stored(1, STEP), (0, 1), (-1, -1)),  # of a history that there is not
        (Stored(0, -1), (0, 1), (-1, -1)),
    ],
)
def test_only_what_can_exist_is_believed_to(
    message: Stored, stored: tuple[int, int], unsaved: tuple[int, int]
) -> None:
    one, made = saving()
    one.stored = (0, 1)
    made.receive("s1a", message)
    assert (one.stored, one.unsaved) == (stored, unsaved)


def test_a_part_that_cannot_be_written_ends_the_wait_for_the_last_checkpoint() -> None:
    """The run's end waits for its last checkpoint, or for the word that there will be none."""
    one, made = saving()
    assert not made.settled
    made.receive("s1a", Stored(*PLACE, "disk full"))
    assert made.settled and one.waits.waiting(("save",)), "others may get it through yet"
    _, never = saver(save_every=0)
    assert never.settled


def test_an_older_checkpoint_does_not_end_the_newer_one() -> None:
    one, made = saving()
    made.receive("s1a", Stored(0, 2))
    assert one.stored == (0, 2) and one.waits.waiting(("save",)) and not made.settled


def test_what_is_in_the_store_counts_if_it_can_exist() -> None:
    one, made = saver()
    one.stored = (0, 1)
    made.listed(((0, 2), (0, 9), (1, 2), (0, 0)))
    assert (one.listed, one.stored) == (((0, 2), (0, 0)), (0, 2))
    made.listed(())
    assert (one.listed, one.stored) == ((), (0, 2))


def test_who_is_back_hears_of_the_newest_checkpoint() -> None:
    one, made = saver()
    made.greet("s0b")
    assert words(one) == []
    one.stored = (0, 0)
    made.greet("s0b")
    assert words(one) == [("s0b", Stored(0, 0))]
