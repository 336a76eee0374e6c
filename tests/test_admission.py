"""Whose messages are expected when: by the sender's stage, the step, and the number of the microbatch."""

from __future__ import annotations

import pytest

from actors.steps.eras import stamp
from actors.steps.messages import Chunk, Done, Part, Purpose, Slice
from actors.transport.base import TensorSpec
from tests.admitting import (
    ACTIVATION,
    NOW,
    TOKENS,
    TRAIN,
    VALIDATE,
    admission,
    backward,
    fits,
    forward,
    slice_,
    spec_of,
    vector,
)


@pytest.mark.parametrize(
    ("mine", "message_stage", "sender", "expected"),
    [
        (1, 1, "before", True),
        (1, 1, "mate", False),
        (1, 1, "after", False),
        (1, 0, "before", False),
        (1, 2, "before", False),
        (1, 2, "mate", False),
        (2, 2, "mate", True),
        (2, 2, "before", False),
        (0, 0, "mate", True),  # token ids come from any origin
        (0, 0, "after", True),
        (0, 1, "mate", False),
        (1, 1, "stranger", False),
        (0, 0, "stranger", False),
    ],
)
def test_an_activation_comes_from_the_stage_before(mine: int, message_stage: int, sender: str, expected: bool) -> None:
    tensor = TOKENS if mine == 0 else ACTIVATION
    assert fits(admission(mine), sender, forward(stage=message_stage), tensor) is expected


@pytest.mark.parametrize(
    ("mine", "message_stage", "sender", "expected"),
    [
        (1, 1, "after", True),
        (1, 1, "before", False),
        (1, 1, "mate", False),
        (1, 0, "after", False),
        (1, 2, "after", False),
        (0, 0, "mate", True),
        (0, 0, "after", False),
        (2, 2, "after", False),  # no one serves a stage after the last one
        (1, 1, "stranger", False),
    ],
)
def test_a_gradient_comes_from_the_stage_after(mine: int, message_stage: int, sender: str, expected: bool) -> None:
    assert fits(admission(mine), sender, backward(stage=message_stage), ACTIVATION) is expected


@pytest.mark.parametrize("message", [slice_(), Chunk(Part.AVERAGE, 3, 0)], ids=["slice", "chunk"])
@pytest.mark.parametrize(("sender", "expected"), [("mate", True), ("before", False), ("after", False), ("who", False)])
def test_values_of_a_stage_come_from_its_replicas(message: Slice | Chunk, sender: str, expected: bool) -> None:
    assert fits(admission(), sender, message, vector(10)) is expected


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        (stamp((), 5), True),
        (stamp((), 6), True),  # of the next step, whose decision may come later than its work
        (stamp((), 4), False),
        (stamp((), 7), False),
        (stamp(((9, 2),), 3), True),  # of the next era, of which we have not heard yet
        (stamp(((9, 2),), 7000), True),
        (stamp(((9, 2), (9, 3)), 3), False),
        (-1, False),
    ],
)
def test_work_is_of_this_step_the_next_one_or_the_next_era(there: int, expected: bool) -> None:
    one = admission()
    assert fits(one, "before", forward(stamp=there), ACTIVATION) is expected
    assert fits(one, "after", backward(stamp=there), ACTIVATION) is expected
    assert fits(one, "mate", slice_(stamp=there), vector(5)) is expected


def test_work_of_an_era_that_was_given_up_is_refused() -> None:
    here = stamp(((9, 2),), 3)
    one = admission()
    for there, expected in ((stamp((), 3), False), (stamp((), 9), False), (here, True), (here + 1, True)):
        assert (one.check("before", forward(stamp=there), (ACTIVATION,), here) is None) is expected


@pytest.mark.parametrize(
    ("index", "purpose", "expected"),
    [
        (0, TRAIN, True),
        (15, TRAIN, True),
        (16, TRAIN, False),
        (-1, TRAIN, False),
        (0, VALIDATE, True),
        (3, VALIDATE, True),
        (4, VALIDATE, False),
        (-1, VALIDATE, False),
    ],
)
def test_there_are_so_many_microbatches(index: int, purpose: Purpose, expected: bool) -> None:
    assert fits(admission(), "before", forward(index=index, purpose=purpose), ACTIVATION) is expected
    assert fits(admission(0), "mate", forward(stage=0, index=index, purpose=purpose), TOKENS) is expected
    if purpose is TRAIN:
        assert fits(admission(), "after", backward(index=index), ACTIVATION) is expected


def test_gradients_are_of_training_whatever_validation_has() -> None:
    assert fits(admission(), "after", backward(index=4), ACTIVATION)


def test_another_stage_has_other_lengths_and_other_neighbours() -> None:
    one = admission(1)
    one.serve(spec_of(2))
    assert not fits(one, "after", slice_(), vector(1)), "its lengths are not known yet"
    assert not fits(one, "after", Chunk(Part.STATE, 3, 0), vector(65536))
    one.gradient_length = 10
    assert fits(one, "after", slice_(), vector(5)) and not fits(one, "mate", slice_(), vector(5))
    assert fits(one, "mate", forward(stage=2), ACTIVATION)


def test_messages_without_tensors_are_refused_from_strangers_only() -> None:
    done = Done(NOW - 3, 99, TRAIN, 0.5, ())
    assert fits(admission(), "after", done)
    assert not fits(admission(), "stranger", done)


@pytest.mark.parametrize(
    ("sender", "message", "specs", "says"),
    [
        ("stranger", forward(), (ACTIVATION,), "the sender serves no stage"),
        ("before", forward(stamp=NOW + 2), (ACTIVATION,), "it belongs to a step that is not under way"),
        ("mate", forward(), (ACTIVATION,), "an activation for stage 1 from stage 1, and this is stage 1"),
        ("before", backward(), (ACTIVATION,), "a gradient for stage 1 from stage 0, and this is stage 1"),
        ("after", slice_(), (vector(5),), "values of stage 2, and this is stage 1"),
        ("before", forward(index=16), (ACTIVATION,), "there is no train microbatch 16"),
        ("before", forward(), (TOKENS,), "expected float32[2, 8, 16], got int32[2, 8]"),
        ("before", forward(), (), "expected float32[2, 8, 16], got nothing"),
        ("mate", slice_(10), (vector(5),), "chunk 10 with 5 elements does not fit a vector of 10"),
        ("mate", slice_(), (), "a part of a vector has to be one vector of float32"),
    ],
)
def test_what_is_not_expected_is_named(
    sender: str, message: object, specs: tuple[TensorSpec, ...], says: str
) -> None:
    assert admission().check(sender, message, specs, NOW) == says
