"""What the shards hold after a return to an earlier commit, a move to another stage, or their loss."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from actors.steps import effects
from actors.steps.eras import Returns
from actors.steps.messages import Get, Gone, Part, Want
from tests.steps.giving import average_offer, give, update
from tests.steps.holder import Holder
from tests.steps.parts import STEP, clear, mail, notes, wanted


def returned(held: int, returns: Returns, before: Returns = (), *, state: Any = None, **fields: Any) -> Holder:
    """Return to the newest commit of `returns`; `state` does something to the participant before that."""
    one = Holder(held=held, **fields)
    if state is not None:
        state(one)
    clear(one.context)
    one.context.agreement.decision = replace(one.context.decision, step=returns[-1][1], returns=returns)
    one.holdings.returned(before)
    return one


def restarts(one: Holder) -> int:
    return len(wanted(one.context, effects.RestartShards))


@pytest.mark.parametrize(
    ("held", "returns", "before", "stays"),
    [
        (3, ((5, 3),), (), True),
        (2, ((5, 3),), (), True),  # the averages that follow are fetched
        (-1, ((5, 3),), (), True),
        (-1, ((5, 0),), (), True),
        (0, ((5, 0),), (), True),
        (4, ((5, 3),), (), False),
        (5, ((5, 3),), (), False),
        (4, ((9, 2), (5, 4)), ((9, 2),), True),  # 4 of era 1 is 4 of era 2
        (3, ((9, 2), (5, 3)), (), False),  # we were away: our 3 is of era 0, and the one that counts of era 1
        (2, ((9, 2), (5, 3)), (), True),
    ],
)
def test_parameters_that_count_in_the_new_era_stay(held: int, returns: Returns, before: Returns, stays: bool) -> None:
    one = returned(held, returns, before)
    if stays:
        assert (one.context.held, restarts(one), one.told, notes(one.context)) == (held, 0, 0, [])
        assert one.context.out == [effects.Discard()]
    else:
        assert (one.context.held, restarts(one), one.told) == (-1, 1, 1)
        assert not one.follower.built and effects.Discard() not in one.context.out


def applying(one: Holder) -> None:
    one.context.applying = update(STEP)


def restoring(one: Holder) -> None:
    one.context.restoring = True


def replaying(one: Holder) -> None:
    one.follower.seek()
    give(one.follower, "s0b", average_offer(3), update(3).average)


@pytest.mark.parametrize(("state", "held"), [(applying, 2), (restoring, -1), (replaying, 2)])
def test_shards_that_something_is_on_its_way_into_are_built_again(state: Any, held: int) -> None:
    """No one could say whether it came before or after the return."""
    one = returned(held, ((5, 3),), state=state)
    assert restarts(one) == 1 and one.context.held == -1 and one.context.applying is None


def test_shards_that_are_not_built_yet_are_not_built_twice() -> None:
    one = returned(-1, ((5, 3),), built=False)
    assert restarts(one) == 0


def test_what_was_fetched_or_given_of_the_era_that_is_given_up_is_forgotten() -> None:
    def fetching(one: Holder) -> None:
        one.follower.seek()
        one.follower.offer("s0b", average_offer(3))

    one = returned(2, ((5, 3),), state=fetching)
    assert one.context.waits.next_deadline() is None

    def giving(other: Holder) -> None:
        other.donor.applied(update(STEP))
        other.donor.want("s0b", Want(STEP - 1, 0))

    other = returned(STEP, ((5, 3),), state=giving)
    clear(other.context)
    other.donor.get("s0b", Get(Part.AVERAGE, STEP, 0))
    assert len(mail(other.context, Gone)) == 1


def test_states_on_the_disk_of_the_era_that_is_given_up_are_dropped() -> None:
    def kept(one: Holder) -> None:
        one.context.kept = frozenset({(0, 2), (0, 4)})

    one = returned(2, ((5, 3),), state=kept)
    assert wanted(one.context, effects.DropState) == [effects.DropState(0, 4)]


@pytest.mark.parametrize(
    ("stored", "stays"), [((0, 3), True), ((0, 2), True), ((0, 4), False), ((1, 4), True), ((1, 3), False)]
)
def test_a_checkpoint_that_is_given_up_is_none(stored: tuple[int, int], stays: bool) -> None:
    """Histories count on with the eras: commit 4 of history 0 is over, of history 1 it is the new era's."""

    def known(one: Holder) -> None:
        one.context.stored = stored

    one = returned(2, ((5, 3),), state=known)
    assert one.context.stored == (stored if stays else (-1, -1))


def test_a_checkpoint_that_is_being_written_is_given_up_with_the_era_or_the_stage() -> None:
    def writing(one: Holder) -> None:
        one.context.waits.start(0.0, ("save",), "parts", "")

    assert returned(2, ((5, 3),), state=writing).context.waits.next_deadline() is None
    one = Holder(built=False, held=-1)
    writing(one)
    one.holdings.moved(1)
    assert one.context.waits.next_deadline() is None


def test_another_stage_needs_other_shards_and_other_states() -> None:
    for held, built, losses in ((STEP, True, 1), (-1, True, 1), (-1, False, 0)):
        one = Holder(held=held, built=built)
        one.context.kept = frozenset({(0, 2)})
        one.holdings.moved(1)
        assert one.context.kept == frozenset() and one.context.held == -1
        assert notes(one.context).count("shards") == one.told == losses
        assert not one.follower.built


def test_shards_that_are_lost_restore_nothing() -> None:
    one = Holder(held=-1, first=STEP, resumed=0)
    one.holdings.changed()
    one.holdings.lost("killed")
    assert not one.context.restoring and one.context.waits.next_deadline() is None
