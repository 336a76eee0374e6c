"""The gradient of a step as the ranks keep it: parts of equal size, padded with zeros, in the order of parameters."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sharding import accumulate
from sharding.accumulate import Accumulator
from tests.sharding.threads import ThreadRanks, floats

SHAPES = {"a": torch.Size((2, 2)), "b": torch.Size((1,)), "c": torch.Size((5,))}
A, B, C = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), floats(5.0), floats(6.0, 7.0, 8.0, 9.0, 10.0)
# ceil(4 / 2) + ceil(1 / 2) + ceil(5 / 2) = 2 + 1 + 3 elements a rank of two, 2 + 1 + 2 a rank of three.
PARTS = {
    1: [[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]],
    2: [[1, 2, 5, 6, 7, 8], [3, 4, 0, 9, 10, 0]],
    3: [[1, 2, 5, 6, 7], [3, 4, 0, 8, 9], [0, 0, 0, 10, 0]],
}


def on(world: int, monkeypatch: pytest.MonkeyPatch) -> ThreadRanks:
    """Return ranks whose collectives accumulators use."""
    ranks = ThreadRanks(world)
    monkeypatch.setattr(accumulate, "dist", ranks)
    return ranks


@pytest.mark.parametrize("world", [1, 2, 3])
def test_every_rank_keeps_its_part_of_every_parameter(world: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def work(rank: int) -> list[float]:
        one = Accumulator(SHAPES, world, rank, "cpu")
        one.add([value / world for value in (A, B, C)])  # every rank has a share of each gradient
        return [round(value, 4) for value in one.flat.tolist()]

    assert on(world, monkeypatch).all(work) == PARTS[world]


@pytest.mark.parametrize("world", [1, 2, 3])
def test_microbatches_are_added_and_a_new_step_begins_at_zero(world: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def work(rank: int) -> tuple[list[float], list[float]]:
        one = Accumulator(SHAPES, world, rank, "cpu")
        for factor in (1.0, 2.0):
            one.add([value * factor * (rank + 1) for value in (A, B, C)])
        added = one.flat.tolist()
        one.clear()
        return added, one.flat.tolist()

    # Ranks give 1, 2, 3 times the gradient, and the second microbatch twice that: 3 * 1, 3 * 3 or 3 * 6 in all.
    times = {1: 3.0, 2: 9.0, 3: 18.0}[world]
    for rank, (added, cleared) in enumerate(on(world, monkeypatch).all(work)):
        assert added == [times * value for value in PARTS[world][rank]]
        assert cleared == [0.0] * len(added)


@pytest.mark.parametrize("world", [1, 2, 3])
def test_parts_of_an_average_come_together_again_on_every_rank(world: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def work(rank: int) -> dict[str, Tensor]:
        one = Accumulator(SHAPES, world, rank, "cpu")
        return dict(one.spread(floats(*PARTS[world][rank])))

    for whole in on(world, monkeypatch).all(work):
        assert list(whole) == ["a", "b", "c"]
        assert all(torch.equal(whole[name], value) for name, value in (("a", A), ("b", B), ("c", C)))


def test_gradients_in_bf16_are_added_in_fp32() -> None:
    one = Accumulator({"a": torch.Size((1,))}, 1, 0, "cpu")
    for value in (256.0, 1.0, 1.0):  # 256 + 1 has no spelling in bf16
        one.add([torch.tensor([value], dtype=torch.bfloat16)])
    assert one.flat.dtype == torch.float32 and one.flat.tolist() == [258.0]


def test_a_gradient_too_many_or_too_few_is_a_fault() -> None:
    one = Accumulator(SHAPES, 1, 0, "cpu")
    for gradients in ([A, B], [A, B, C, B]):
        with pytest.raises(ValueError):
            one.add(gradients)


@settings(deadline=None, max_examples=25)
@given(st.lists(st.lists(st.integers(1, 5), min_size=1, max_size=3), min_size=1, max_size=4), st.integers(1, 3))
def test_what_is_added_is_what_is_spread(shapes: list[list[int]], world: int) -> None:
    sizes = {f"p{i}": torch.Size(shape) for i, shape in enumerate(shapes)}
    values = [
        torch.arange(size.numel(), dtype=torch.float32).reshape(size) + i for i, size in enumerate(sizes.values())
    ]

    def work(rank: int) -> list[Tensor]:
        one = Accumulator(sizes, world, rank, "cpu")
        one.add([value if rank == 0 else torch.zeros_like(value) for value in values])
        return [one.flat.clone(), *(whole for _, whole in one.spread(one.flat))]

    with pytest.MonkeyPatch.context() as monkeypatch:
        found = on(world, monkeypatch).all(work)
    assert len({len(flat) for flat, *_ in found}) == 1, "all parts are of the same size"
    for _, *wholes in found:
        assert all(torch.equal(whole, value) for whole, value in zip(wholes, values, strict=True))
