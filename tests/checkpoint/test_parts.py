"""A part written in steps: one tensor at a time, its own rows of it, and nothing when it is given up."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from checkpoint.load import load_index
from checkpoint.names import CheckpointId, PartPlace
from checkpoint.parts import write_in_steps, write_part
from checkpoint.slices import Slice
from checkpoint.store import Store
from tests.checkpoint.world import whole

ID = CheckpointId(0, 1)
# Rows of 8 bytes: a has 4, b and c one each; parts of two are cut at 24 bytes, behind row 3 of a.
INVENTORY = [whole("a", (4, 2)), whole("b", (1, 2)), whole("c", (1, 2))]
TENSORS = [(box, torch.arange(float(box.elements)).reshape(box.shape)) for box in INVENTORY]
Tensors = list[tuple[Slice, Tensor]]


def held(store: Store, part: int, tensors: Tensors) -> list[tuple[str, int, int]]:
    """Write a part of two; return name, first row and rows of what is in it."""
    receipt = write_part(store, PartPlace(ID, 0, part, 2, "w"), INVENTORY, tensors)
    entries = load_index(store, ID, 0, receipt).entries
    return [(entry.slice.name, entry.slice.offsets[0], entry.slice.sizes[0]) for entry in entries]


def test_a_part_takes_its_rows_of_what_passes_by(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path))
    assert held(store, 0, TENSORS) == [("a", 0, 3)]
    assert held(store, 1, TENSORS) == [("a", 3, 1), ("b", 0, 1), ("c", 0, 1)]
    assert held(store, 1, TENSORS[::-1]) == [("c", 0, 1), ("b", 0, 1), ("a", 3, 1)], "in the order in which they come"
    assert held(store, 0, [*TENSORS, TENSORS[0]]) == [("a", 0, 3)], "what comes again is passed over"


def test_a_tensor_may_come_in_boxes(tmp_path: Path) -> None:
    store, values = Store.open(str(tmp_path)), TENSORS[0][1]
    pieces = [(INVENTORY[0].take_rows(0, 3), values[:3]), (INVENTORY[0].take_rows(3, 4), values[3:])]
    assert held(store, 0, pieces) == [("a", 0, 3)]
    assert held(store, 1, [*pieces, *TENSORS[1:]]) == [("a", 3, 1), ("b", 0, 1), ("c", 0, 1)]


def test_every_step_takes_one_tensor(tmp_path: Path) -> None:
    drawn: list[str] = []

    def passing() -> object:
        for box, values in TENSORS:
            drawn.append(box.name)
            yield box, values

    steps = write_in_steps(Store.open(str(tmp_path)), PartPlace(ID, 0, 0, 2, "w"), INVENTORY, passing())  # type: ignore[arg-type]
    assert drawn == []
    for number in range(3):
        assert next(steps) is False
        assert len(drawn) == number + 1
    with pytest.raises(StopIteration) as end:
        next(steps)
    assert end.value.value.part == 0


@pytest.mark.parametrize(
    ("part", "tensors", "says"),
    [
        (0, [], "1 tensors of the inventory did not come, the first is 'a'"),
        (1, TENSORS[:1], "2 tensors of the inventory did not come, the first is 'b'"),
        (1, TENSORS[1:], "1 tensors of the inventory did not come, the first is 'a'"),
    ],
)
def test_a_tensor_that_does_not_come_is_named(part: int, tensors: Tensors, says: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=says):
        held(Store.open(str(tmp_path)), part, tensors)
    assert not list(tmp_path.rglob("*.index.json"))


def test_giving_up_leaves_no_index(tmp_path: Path) -> None:
    steps = write_in_steps(Store.open(str(tmp_path)), PartPlace(ID, 0, 1, 2, "w"), INVENTORY, TENSORS)
    next(steps)
    steps.close()
    assert not list(tmp_path.rglob("*.index.json"))


def test_what_has_no_elements_is_written_by_the_first_part(tmp_path: Path) -> None:
    store, boxes = Store.open(str(tmp_path)), [whole("none", (0, 2)), whole("one", (1, 2)), whole("flat", (2, 0))]
    tensors = [(box, torch.ones(box.shape)) for box in boxes]
    names = []
    for part in range(2):
        receipt = write_part(store, PartPlace(ID, 0, part, 2, "w"), boxes, tensors)
        names.append([entry.slice.name for entry in load_index(store, ID, 0, receipt).entries])
    assert names == [["none", "one", "flat"], []]
