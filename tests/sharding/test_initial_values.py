"""What parameters begin with: a function of seed and name, with the deviation of their role; and what is built."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from sharding import audit
from sharding.config import ModelConfig
from sharding.partition import partition
from sharding.stage import build_stage, initial_value, whole_model

MODEL = ModelConfig(vocab_size=30, width=8, layers=2, heads=2, kv_heads=1, ffn=6)
WIDE = torch.Size((400, 100))


@pytest.mark.parametrize(
    ("name", "layers", "deviation"),
    [
        ("embedding.weight", 8, 1.0),
        ("layers.0.attention.q.weight", 8, 0.1),  # 1 / sqrt(100 inputs)
        ("layers.0.ffn.gate.weight", 8, 0.1),
        ("head.weight", 8, 0.1),
        ("layers.0.attention.out.weight", 8, 0.025),  # 0.1 / sqrt(2 * 8)
        ("layers.0.ffn.down.weight", 8, 0.025),
        ("layers.0.ffn.down.weight", 2, 0.05),  # 0.1 / sqrt(2 * 2)
    ],
)
def test_matrices_are_normal_with_the_deviation_of_their_role(name: str, layers: int, deviation: float) -> None:
    value = initial_value(dataclasses.replace(MODEL, layers=layers), 3, name, WIDE)
    assert value.dtype == torch.float32 and value.shape == WIDE
    assert value.std().item() == pytest.approx(deviation, rel=0.02)
    assert abs(value.mean().item()) < deviation / 50


def test_vectors_are_ones() -> None:
    assert torch.equal(initial_value(MODEL, 3, "norm.weight", torch.Size((5,))), torch.ones(5))


def test_seed_and_name_alone_decide() -> None:
    def value(seed: int, name: str) -> torch.Tensor:
        return initial_value(MODEL, seed, name, torch.Size((4, 4)))

    same = value(3, "layers.0.attention.q.weight")
    assert torch.equal(value(3, "layers.0.attention.q.weight"), same)
    for seed, name in ((4, "layers.0.attention.q.weight"), (3, "layers.1.attention.q.weight"), (33, "head.weight")):
        assert not torch.equal(value(seed, name), same)


def test_a_stage_has_what_it_serves_and_nothing_else() -> None:
    first, last = (build_stage(MODEL, stage, 0) for stage in partition(MODEL, 2))
    names = [set(dict(stage.named_parameters())) for stage in (first, last)]
    assert {"embedding.weight", "layers.0.ffn.up.weight"} <= names[0] and not names[0] & {"norm.weight", "head.weight"}
    assert {"norm.weight", "head.weight", "layers.1.ffn.up.weight"} <= names[1]
    assert names[0] | names[1] == set(dict(whole_model(MODEL, 0).named_parameters()))
    assert first(torch.tensor([[1, 2]])).shape == (1, 2, 8)
    assert last(torch.zeros(1, 2, 8)).shape == (1, 2, 30)


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_a_model_has_the_type_that_was_asked_for(dtype: str) -> None:
    model = dataclasses.replace(MODEL, dtype=dtype)
    stage = whole_model(model, 0)
    wanted = torch.float32 if dtype == "fp32" else torch.bfloat16
    assert {parameter.dtype for parameter in stage.parameters()} == {wanted}
    expected = initial_value(model, 0, "head.weight", torch.Size((30, 8))).to(wanted)
    assert torch.equal(dict(stage.named_parameters())["head.weight"], expected)


def test_a_model_without_memory_has_shapes_and_no_values() -> None:
    stage = whole_model(MODEL, 0, device="meta")
    assert {parameter.device.type for parameter in stage.parameters()} == {"meta"}
    assert stage.head is not None and stage.head.weight.shape == (30, 8)


def test_an_impossible_model_is_not_built() -> None:
    with pytest.raises(ValueError, match="does not divide"):
        whole_model(dataclasses.replace(MODEL, heads=3), 0)


@pytest.mark.parametrize(("recompute", "calls"), [(False, 1), (True, 2)])
def test_recomputation_runs_a_block_again_when_its_gradient_is_wanted(recompute: bool, calls: int) -> None:
    model = whole_model(dataclasses.replace(MODEL, recompute=recompute), 0)
    seen: list[str] = []
    for name, block in model.layers.items():
        block.register_forward_pre_hook(lambda module, given, name=name: seen.append(name))
    torch.autograd.backward(model(torch.tensor([[1, 2]])).sum())
    assert sorted(seen) == sorted(["0", "1"] * calls)
    with torch.no_grad():
        model(torch.tensor([[1, 2]]))
    assert len(seen) == 2 * calls + 2


def test_the_audit_counts_every_parameter_of_this_process_once() -> None:
    audit.install()
    audit.install()
    audit.reset()
    kept = nn.Linear(3, 5)  # 15 and 5
    assert audit.constructed_elements() == 20
    kept.weight = nn.Parameter(torch.zeros(5, 3))
    assert audit.constructed_elements() == 20, "the same place again"
    kept.register_parameter("bias", None)
    assert audit.constructed_elements() == 20, "what was there was there"
    scalar = nn.Module()
    scalar.gain = nn.Parameter(torch.zeros(()))
    assert audit.constructed_elements() == 21
    audit.reset()
    assert audit.constructed_elements() == 0
