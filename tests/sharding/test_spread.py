"""One local rank reads a state, all get it; when it fails, all know."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from sharding import spread
from sharding.named import StateSlice
from sharding.spread import from_first_rank
from tests.sharding.threads import ThreadRanks, floats

INVENTORY = [
    StateSlice("a", "float32", (2, 2), (0, 0), (2, 2)),
    StateSlice("b", "float32", (4,), (1,), (3,)),
    StateSlice("step", "float32", (), (), ()),
]
VALUES = [torch.tensor([[1.0, 2.0], [3.0, 4.0]]), floats(5.0, 6.0, 7.0), torch.tensor(9.0)]


@pytest.fixture(params=[2, 3])
def ranks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ThreadRanks:
    """Ranks whose collectives are used."""
    made = ThreadRanks(request.param)
    monkeypatch.setattr(spread, "dist", made)
    return made


def received(ranks: ThreadRanks, tensors: Iterator[tuple[StateSlice, Tensor]]) -> list[list[Tensor] | Exception]:
    """What every rank gets of what the first one reads."""

    def work(rank: int) -> list[Tensor]:
        pairs = from_first_rank(INVENTORY, tensors if rank == 0 else None, "cpu")
        found = []
        for expected, (box, values) in zip(INVENTORY, pairs, strict=True):
            assert box == expected
            found.append(values.clone())
        return found

    return ranks.run(work)


def test_every_rank_gets_every_tensor_from_the_first(ranks: ThreadRanks) -> None:
    for found in received(ranks, iter(zip(INVENTORY, VALUES, strict=True))):
        assert isinstance(found, list)
        assert all(torch.equal(one, value) for one, value in zip(found, VALUES, strict=True))
    assert ranks.broadcasts == 2 * len(INVENTORY), "whether it is good, and the values"


def test_when_the_first_cannot_read_it_says_why_and_the_others_end_too(ranks: ThreadRanks) -> None:
    def broken() -> Iterator[tuple[StateSlice, Tensor]]:
        yield INVENTORY[0], VALUES[0]
        raise OSError("the store did not answer")

    first, *others = received(ranks, broken())
    assert isinstance(first, OSError) and str(first) == "the store did not answer"
    for other in others:
        assert isinstance(other, ValueError)
        assert str(other) == "the local rank that reads the state could not: its own message says why."


WRONG = {
    "ends before 'step'": list(zip(INVENTORY, VALUES, strict=True))[:2],
    r"has 'other' of (2, 2) where 'a' was expected": [(replace(INVENTORY[0], name="other"), VALUES[0])],
    r"has 'a' of (2, 3) where 'a' was expected": [(INVENTORY[0], torch.zeros(2, 3))],
    r"has 'b' of (3,) where 'b' was expected": [
        (INVENTORY[0], VALUES[0]),
        (replace(INVENTORY[1], offsets=(0,)), VALUES[1]),
    ],
}


@pytest.mark.parametrize("says", list(WRONG))
def test_other_boxes_than_the_inventory_s_are_refused_by_all(ranks: ThreadRanks, says: str) -> None:
    first, *others = received(ranks, iter(WRONG[says]))
    assert isinstance(first, ValueError) and says in str(first)
    assert all(isinstance(other, ValueError) and "its own message says why" in str(other) for other in others)
