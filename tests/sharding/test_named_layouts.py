"""Named state over one, two and three ranks, whatever the layout: the same names, values and bits everywhere."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sharding import named
from sharding.config import OptimizerConfig
from sharding.named import StateSlice, tensor_name
from tests.sharding.layouts import LAYOUTS, Rank
from tests.sharding.threads import ThreadRanks, floats

SHAPES = {"w": torch.Size((2, 3)), "v": torch.Size((3,)), "s": torch.Size((1,))}
STATE = {
    "model.w": torch.tensor([[1.0, -0.0, 3.0], [4.0, 5.0, 6.0]]),
    "optimizer.exp_avg.w": torch.tensor([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]]),
    "optimizer.exp_avg_sq.w": torch.full((2, 3), 0.5),
    "optimizer.step.w": torch.tensor(7.0),
    "model.v": floats(7.0, 8.0, 9.0),
    "optimizer.exp_avg.v": floats(-0.7, -0.8, -0.9),
    "optimizer.exp_avg_sq.v": floats(0.0, 0.25, 0.5),
    "optimizer.step.v": torch.tensor(7.0),
    "model.s": floats(10.0),
    "optimizer.exp_avg.s": floats(1.0),
    "optimizer.exp_avg_sq.s": floats(2.0),
    "optimizer.step.s": torch.tensor(7.0),
}
EVERY = pytest.mark.parametrize("layout", list(LAYOUTS))
WORLDS = pytest.mark.parametrize("world", [1, 2, 3])


def boxes(state: dict[str, Tensor]) -> list[tuple[StateSlice, Tensor]]:
    """Return tensors with their boxes."""
    return [(StateSlice(n, "float32", tuple(v.shape), (0,) * v.ndim, tuple(v.shape)), v) for n, v in state.items()]


def loaded(layout: str, world: int, rank: int, state: dict[str, Tensor], shapes: dict[str, torch.Size]) -> Rank:
    """Return a rank that has taken over a state."""
    made = LAYOUTS[layout](shapes, world, rank)
    made.named.load(boxes(state))
    return made


def on(world: int, monkeypatch: pytest.MonkeyPatch) -> ThreadRanks:
    """Return ranks whose collectives named state uses."""
    ranks = ThreadRanks(world)
    monkeypatch.setattr(named, "dist", ranks)
    return ranks


@EVERY
@WORLDS
def test_what_was_taken_over_is_what_is_given(layout: str, world: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def work(rank: int) -> list[tuple[StateSlice, Tensor]]:
        return list(loaded(layout, world, rank, STATE, SHAPES).named.export())

    for found in on(world, monkeypatch).all(work):
        assert [box for box, _ in found] == [box for box, _ in boxes(STATE)]
        for box, values in found:
            assert values.numpy().tobytes() == STATE[box.name].numpy().tobytes(), f"{box.name}, its sign of 0 included"


# Ten elements w0 .. w5, v0 .. v2, s0. Two ranks have five each; three have four each, of which two are padding.
FLAT = {
    1: [[1, 0, 3, 4, 5, 6, 7, 8, 9, 10]],
    2: [[1, 0, 3, 4, 5], [6, 7, 8, 9, 10]],
    3: [[1, 0, 3, 4], [5, 6, 7, 8], [9, 10, 0, 0]],
}
# Of six elements three or two each, of three two (one is padding) or one, of one one, on the first rank.
SLICED = {
    1: [[1, 0, 3, 4, 5, 6, 7, 8, 9, 10]],
    2: [[1, 0, 3, 7, 8, 10], [4, 5, 6, 9, 0, 0]],
    3: [[1, 0, 7, 10], [3, 4, 8, 0], [5, 6, 9, 0]],
}


@WORLDS
@pytest.mark.parametrize(("layout", "expected"), [("flat", FLAT), ("sliced", SLICED)])
def test_every_rank_has_its_elements_of_the_masters(
    layout: str, expected: dict[int, list[list[float]]], world: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(rank: int) -> Rank:
        return loaded(layout, world, rank, STATE, SHAPES)

    for rank, made in enumerate(on(world, monkeypatch).all(work)):
        (master,) = made.masters
        assert master.tolist() == expected[world][rank]
        assert made.state[master]["step"].item() == 7.0
        for name, parameter in made.parameters.items():
            if layout == "flat":
                assert torch.equal(parameter.data, STATE[f"model.{name}"])
            else:
                size = -(-SHAPES[name].numel() // world)
                part = STATE[f"model.{name}"].reshape(-1)[rank * size : (rank + 1) * size]
                assert parameter.ds_tensor[: len(part)].tolist() == part.tolist()
                assert not parameter.ds_tensor[len(part) :].any()


@pytest.mark.parametrize(("layout", "parts"), [("whole", False), ("flat", True), ("sliced", True)])
@pytest.mark.parametrize("world", [2, 3])
def test_all_ranks_agree_whether_a_state_is_in_parts(
    layout: str, parts: bool, world: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One element is whole on the first rank, which could do without the others; they could not do without it."""

    def work(rank: int) -> bool:
        return LAYOUTS[layout]({"s": torch.Size((1,))}, world, rank).named._partitioned

    assert on(world, monkeypatch).all(work) == [parts] * world


def test_a_parameter_that_zero_3_has_whole_for_now_takes_the_values_as_well() -> None:
    made = LAYOUTS["sliced"](SHAPES, 1, 0)
    gathered, empty = made.parameters["w"], made.parameters["v"]
    gathered.data = torch.zeros(2, 3)
    made.named.load(boxes(STATE))
    assert torch.equal(gathered.data, STATE["model.w"])
    assert gathered.ds_tensor.tolist() == STATE["model.w"].flatten().tolist()
    assert empty.data.numel() == 0 and empty.ds_tensor.tolist() == [7.0, 8.0, 9.0]


def test_only_what_is_asked_for_is_given() -> None:
    made = loaded("whole", 1, 0, STATE, SHAPES)
    names = ["optimizer.step.v", "model.w"]
    assert [box.name for box, _ in made.named.export(names)] == ["model.w", "optimizer.step.v"]
    assert list(made.named.export([])) == []


def test_a_state_that_was_never_used_is_zeros() -> None:
    made = LAYOUTS["flat"](SHAPES, 1, 0)
    found = {box.name: values for box, values in made.named.export()}
    assert found["optimizer.exp_avg.w"].tolist() == [[0.0] * 3] * 2
    assert found["optimizer.step.w"].item() == 0.0


@pytest.mark.parametrize(
    ("config", "names"),
    [
        (
            OptimizerConfig(name="adamw"),
            ["model.v", "optimizer.exp_avg.v", "optimizer.exp_avg_sq.v", "optimizer.step.v"],
        ),
        (OptimizerConfig(name="sgd"), ["model.v"]),
        (OptimizerConfig(name="sgd", momentum=0.9), ["model.v", "optimizer.momentum_buffer.v"]),
    ],
)
def test_the_inventory_has_what_the_optimizer_keeps(config: OptimizerConfig, names: list[str]) -> None:
    made = LAYOUTS["whole"]({"v": torch.Size((3,))}, 1, 0, config)
    assert [one.name for one in made.named.inventory()] == names
    vector = made.named.inventory()[0]
    assert vector == StateSlice("model.v", "float32", (3,), (0,), (3,))
    assert all(one.shape == () for one in made.named.inventory() if ".step." in one.name)
    assert tensor_name("model", "v") == "model.v" and tensor_name("step", "v") == "optimizer.step.v"


@pytest.mark.parametrize(
    ("config", "kept"),
    [
        (OptimizerConfig(name="adamw"), {"exp_avg", "exp_avg_sq", "step"}),
        (OptimizerConfig(name="sgd"), set()),
        (OptimizerConfig(name="sgd", momentum=0.9), {"momentum_buffer"}),
    ],
)
def test_an_optimizer_is_given_what_it_keeps_and_nothing_else(config: OptimizerConfig, kept: set[str]) -> None:
    shapes = {"v": torch.Size((3,))}
    made = LAYOUTS["flat"](shapes, 1, 0, config)
    inventory = made.named.inventory()
    made.named.load([(one, torch.ones(one.sizes)) for one in inventory])
    assert made.masters[0].tolist() == [1.0] * 3
    assert set(made.state.get(made.masters[0], {})) == kept


def changed(name: str, values: Tensor) -> dict[str, Tensor]:
    """The state with one tensor changed."""
    return STATE | {name: values}


@pytest.mark.parametrize(
    ("state", "says"),
    [
        (boxes(STATE)[:-1], "lacks 1 tensors, the first is 'optimizer.step.s'"),
        (boxes(STATE)[2:], "lacks 2 tensors, the first is 'model.w'"),
        (boxes({"model.x": floats(1.0)}), "'model.x' is not part of this stage's state, or came twice"),
        (boxes(STATE) + boxes(STATE)[:1], "'model.w' is not part of this stage's state, or came twice"),
        (boxes(changed("model.v", floats(1.0, 2.0))), r"'model.v' has shape \(2,\), and not \(3,\)"),
        (boxes(changed("optimizer.step.v", torch.tensor(8.0))), r"mixes counts of steps: 7\.0, 8\.0"),
        (
            [(replace(boxes(STATE)[4][0], offsets=(1,)), STATE["model.v"])],
            r"'model.v' has shape \(3,\), and not \(3,\)",
        ),
    ],
    ids=["the last is missing", "the first are missing", "unknown", "twice", "shape", "steps", "offsets"],
)
def test_a_state_that_does_not_fit_is_refused_in_one_sentence(
    state: list[tuple[StateSlice, Tensor]], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        LAYOUTS["whole"](SHAPES, 1, 0).named.load(state)


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.lists(st.integers(1, 4), min_size=1, max_size=2), min_size=1, max_size=4),
    st.tuples(st.sampled_from(list(LAYOUTS)), st.integers(1, 3)),
    st.tuples(st.sampled_from(list(LAYOUTS)), st.integers(1, 3)),
)
def test_a_state_goes_from_any_layout_and_number_of_ranks_to_any(
    sizes: list[list[int]], origin: tuple[str, int], goal: tuple[str, int]
) -> None:
    shapes = {f"p{i}": torch.Size(size) for i, size in enumerate(sizes)}
    kinds = ("model", "exp_avg", "exp_avg_sq")
    state = {
        tensor_name(kind, name): torch.arange(shape.numel(), dtype=torch.float32).reshape(shape) + 100 * i + 10 * k
        for i, (name, shape) in enumerate(shapes.items())
        for k, kind in enumerate(kinds)
    } | {tensor_name("step", name): torch.tensor(3.0) for name in shapes}

    def through(layout: str, world: int, given: dict[str, Tensor]) -> dict[str, Tensor]:
        def work(rank: int) -> dict[str, Tensor]:
            return {box.name: v.clone() for box, v in loaded(layout, world, rank, given, shapes).named.export()}

        with pytest.MonkeyPatch.context() as monkeypatch:
            return on(world, monkeypatch).all(work)[0]  # the one that writes

    found = through(*goal, through(*origin, state))
    assert all(torch.equal(found[name], values) for name, values in state.items()) and len(found) == len(state)
