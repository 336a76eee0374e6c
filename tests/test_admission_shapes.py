"""Tensors have exactly the type and shape that the config and the participant's stage say."""

from __future__ import annotations

import pytest

from actors.averaging.reduce import CHUNK
from actors.steps.messages import Chunk, Part
from actors.transport.base import TensorSpec
from tests.admitting import ACTIVATION, TOKENS, admission, backward, fits, forward, slice_, vector

WRONG_SHAPES = {
    "nothing": (),
    "two": (ACTIVATION, ACTIVATION),
    "dtype": (TensorSpec("float16", (2, 8, 16)),),
    "bits": (TensorSpec("uint16", (2, 8, 16)),),
    "batch": (TensorSpec("float32", (3, 8, 16)),),
    "sequence": (TensorSpec("float32", (2, 9, 16)),),
    "width": (TensorSpec("float32", (2, 8, 17)),),
    "tokens": (TOKENS,),
    "flat": (TensorSpec("float32", (256,)),),
    "huge": (TensorSpec("float32", (2, 8, 1 << 40)),),
}


@pytest.mark.parametrize("specs", WRONG_SHAPES.values(), ids=WRONG_SHAPES.keys())
def test_an_activation_has_exactly_one_shape(specs: tuple[TensorSpec, ...]) -> None:
    assert not fits(admission(), "before", forward(), *specs)
    assert not fits(admission(), "after", backward(), *specs)


def test_stage_0_gets_token_ids_and_the_gradient_of_activations() -> None:
    one = admission(0)
    assert fits(one, "mate", forward(stage=0), TOKENS)
    for other in (ACTIVATION, TensorSpec("int64", (2, 8)), TensorSpec("int32", (2, 9))):
        assert not fits(one, "mate", forward(stage=0), other)
    assert fits(one, "mate", backward(stage=0), ACTIVATION)
    assert not fits(one, "mate", backward(stage=0), TOKENS)


def test_activations_in_half_precision_travel_as_their_bits() -> None:
    one, bits = admission(dtype="bf16"), TensorSpec("uint16", (2, 8, 16))
    assert fits(one, "before", forward(), bits) and fits(one, "after", backward(), bits)
    assert not fits(one, "before", forward(), ACTIVATION)
    assert fits(admission(0, "bf16"), "mate", forward(stage=0), TOKENS)


@pytest.mark.parametrize(
    ("chunk", "size", "expected"),
    [
        (0, 1, True),
        (0, 10, True),
        (0, 11, False),  # the gradient has ten
        (0, 0, False),
        (9, 1, True),
        (10, 1, False),
        (-1, 1, False),
    ],
)
def test_a_slice_is_within_the_gradient(chunk: int, size: int, expected: bool) -> None:
    assert fits(admission(), "mate", slice_(chunk), vector(size)) is expected


def test_a_slice_is_a_mebibyte_at_most() -> None:
    one = admission()
    one.gradient_length = 10 * CHUNK
    assert fits(one, "mate", slice_(), vector(CHUNK))
    assert not fits(one, "mate", slice_(), vector(CHUNK + 1))
    assert CHUNK == 262144


@pytest.mark.parametrize(
    ("part", "chunk", "size", "expected"),
    [
        (Part.STATE, 0, 65536, True),
        (Part.STATE, 1, 4464, True),
        (Part.STATE, 0, 4464, False),
        (Part.STATE, 1, 65536, False),
        (Part.STATE, 2, 1, False),
        (Part.STATE, 2, 0, False),
        (Part.STATE, -1, 65536, False),
        (Part.AVERAGE, 0, 10, True),
        (Part.AVERAGE, 0, 65536, False),
        (Part.AVERAGE, 1, 10, False),
        (Part.AVERAGE, 1, 0, False),
    ],
)
def test_a_chunk_has_the_size_that_its_number_says(part: Part, chunk: int, size: int, expected: bool) -> None:
    assert fits(admission(), "mate", Chunk(part, 3, chunk), vector(size)) is expected


def test_the_last_chunk_may_be_a_single_element() -> None:
    one = admission()
    one.state_length = 65537
    assert fits(one, "mate", Chunk(Part.STATE, 3, 1), vector(1))


@pytest.mark.parametrize(
    "specs",
    [
        (),
        (vector(10), vector(10)),
        (TensorSpec("float64", (10,)),),
        (TensorSpec("float32", (2, 5)),),
        (TensorSpec("float32", ()),),
    ],
    ids=["nothing", "two", "dtype", "matrix", "scalar"],
)
def test_a_part_of_a_vector_is_one_vector_of_float32(specs: tuple[TensorSpec, ...]) -> None:
    assert not fits(admission(), "mate", slice_(), *specs)
    assert not fits(admission(), "mate", Chunk(Part.AVERAGE, 3, 0), *specs)


def test_before_the_shards_are_built_nothing_is_expected_of_their_lengths() -> None:
    one = admission(built=False)
    for size in (0, 1, 65536):
        assert not fits(one, "mate", slice_(), vector(size))
        assert not fits(one, "mate", Chunk(Part.STATE, 3, 0), vector(size))
    assert fits(one, "before", forward(), ACTIVATION)
