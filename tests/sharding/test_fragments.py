"""Which elements of which master are a parameter's, by hand for every layout of DeepSpeed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from sharding.fragments import Fragment, find_fragments
from tests.sharding.threads import floats

Found = dict[str, tuple[int, int, int]]


def places(found: dict[str, Fragment]) -> Found:
    """Where fragments are: at, start, count."""
    return {name: (one.at, one.start, one.count) for name, one in found.items()}


def mapped(at: int, start: int, numel: int, group: int = 0) -> Any:
    """A parameter of ZeRO 1 or 2 whose elements start .. lie at `at` of a group's master."""
    mapping = SimpleNamespace(
        hp_fragment_address=SimpleNamespace(start=at, numel=numel),
        lp_fragment_address=SimpleNamespace(start=start, numel=numel),
        param_group_index=group,
    )
    return SimpleNamespace(_hp_mapping=mapping)


def test_a_fragment_is_a_view_of_the_master_and_of_the_whole() -> None:
    master, whole = floats(*range(10)), torch.arange(6.0).reshape(2, 3)
    fragment = Fragment(master, at=4, start=1, count=3)
    assert fragment.of(master).tolist() == [4.0, 5.0, 6.0]
    assert fragment.of(master * 10).tolist() == [40.0, 50.0, 60.0], "moments have the layout of the master"
    assert fragment.within(whole).tolist() == [1.0, 2.0, 3.0]
    fragment.of(master).fill_(-1.0)
    fragment.within(whole).fill_(-2.0)
    assert master.tolist() == [0, 1, 2, 3, -1, -1, -1, 7, 8, 9]
    assert whole.tolist() == [[0, -2, -2], [-2, 4, 5]]


@pytest.mark.parametrize("masters", ["single_partition_of_fp32_groups", "fp32_groups_flat_partition"])
def test_zero_1_and_2_map_what_this_rank_has_of_a_group(masters: str) -> None:
    matrices, vectors = floats(*range(8)), floats(*range(4))
    parameters = {"w": mapped(0, 3, 5), "v": mapped(1, 0, 3, group=1), "elsewhere": SimpleNamespace(_hp_mapping=None)}
    found = find_fragments(parameters, SimpleNamespace(**{masters: [matrices, vectors]}))
    assert places(found) == {"w": (0, 3, 5), "v": (1, 0, 3)}
    assert found["w"].master is matrices and found["v"].master is vectors


# Five elements over two ranks are three each, the last one of them padding; over three ranks two each.
ZERO_3 = [(2, 0, (7, 0, 3)), (2, 1, (7, 3, 2)), (3, 0, (7, 0, 2)), (3, 1, (7, 2, 2)), (3, 2, (7, 4, 1))]


@pytest.mark.parametrize(("world", "rank", "place"), ZERO_3)
def test_zero_3_pads_the_last_ranks_part(world: int, rank: int, place: tuple[int, int, int]) -> None:
    master = floats(*range(12))
    optimizer = SimpleNamespace(
        fp32_partitioned_groups_flat=[floats(0.0), master],
        grad_position={"id of w": (1, 7, -(-5 // world)), "id of s": (0, 0, 1)},
        get_param_id=lambda parameter: parameter.id,
        _get_param_partition_rank=lambda parameter: rank,
    )
    parameters = {
        "w": SimpleNamespace(id="id of w", ds_numel=5),
        "s": SimpleNamespace(id="id of s", ds_numel=1),
    }
    found = find_fragments(parameters, optimizer)
    assert places({"w": found["w"]}) == {"w": place}
    assert found["w"].master is master
    assert ("s" in found) == (rank == 0), "a single element is on the first rank, and the others have none of it"


def test_without_zero_bf16_has_a_master_for_each_parameter() -> None:
    rounded = {"a": torch.zeros(2, 2, dtype=torch.bfloat16), "b": torch.zeros(3, dtype=torch.bfloat16)}
    masters = [[torch.zeros(2, 2)], [torch.zeros(3)]]
    optimizer = SimpleNamespace(fp16_groups=[[rounded["a"]], [rounded["b"]]], fp32_groups=masters)
    found = find_fragments(rounded, optimizer)
    assert places(found) == {"a": (0, 0, 4), "b": (0, 0, 3)}
    assert found["a"].master is masters[0][0] and found["b"].master is masters[1][0]


def test_flat_groups_hold_parameters_behind_each_other() -> None:
    a, b, c = torch.zeros(2, 2), torch.zeros(3), torch.zeros(1)
    first, second = torch.zeros(7), torch.zeros(1)
    optimizer = SimpleNamespace(fp16_groups=[[a, b], [c]], fp32_groups_flat=[first, second])
    found = find_fragments({"c": c, "a": a, "b": b}, optimizer)
    assert places(found) == {"a": (0, 0, 4), "b": (4, 0, 3), "c": (0, 0, 1)}
    assert found["b"].master is first and found["c"].master is second


def test_without_zero_and_in_fp32_a_parameter_is_its_own_master() -> None:
    a = torch.zeros(2, 3)
    found = find_fragments({"a": a}, SimpleNamespace())
    assert places(found) == {"a": (0, 0, 6)} and found["a"].master is a
