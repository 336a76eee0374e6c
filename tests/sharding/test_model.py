"""The model and its cut: counts, initial values by layer, stages that compose to the whole, codecs, the schedule."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
import torch

from sharding.codecs.registry import build_codec
from sharding.config import ModelConfig, OptimizerConfig
from sharding.partition import partition, share, stage_parameters, whole_stage
from sharding.presets import PRESETS, check_model, parameter_count
from sharding.schedule import learning_rate
from sharding.stage import build_stage, whole_model

SMALL = ModelConfig(vocab_size=40, width=32, layers=5, heads=4, kv_heads=2, ffn=48)


def preset(name: str) -> ModelConfig:
    """Return a preset with a vocabulary."""
    model = ModelConfig(preset=name, **PRESETS[name])  # type: ignore[arg-type]
    return dataclasses.replace(model, vocab_size=model.vocab_size or 256)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_parameter_counts_are_those_of_the_built_modules(name: str) -> None:
    model = preset(name)
    check_model(model)
    built = build_stage(model, whole_stage(model), 0, "meta")
    assert sum(parameter.numel() for parameter in built.parameters()) == parameter_count(model)
    stages = partition(model, min(4, model.layers))
    assert sum(stage_parameters(model, stage) for stage in stages) == parameter_count(model)


def test_presets_reach_from_a_test_size_to_8_billion() -> None:
    counts = [parameter_count(preset(name)) for name in PRESETS]
    assert min(counts) < 2e6
    assert 7.9e9 < max(counts) < 8.2e9


@pytest.mark.parametrize("stages", [1, 2, 3, 5])
def test_stages_are_contiguous_slices_of_the_whole_bit_for_bit(stages: int) -> None:
    cut = partition(SMALL, stages)
    assert [layer for stage in cut for layer in stage.layers] == list(range(SMALL.layers))
    assert sum(share(SMALL, stage) for stage in cut) == pytest.approx(1)
    whole = dict(whole_model(SMALL, 7).named_parameters())
    tokens = torch.randint(0, 40, (2, 6))
    x: torch.Tensor = tokens
    seen: set[str] = set()
    for stage in cut:
        built = build_stage(SMALL, stage, 7)
        for name, parameter in built.named_parameters():
            assert torch.equal(parameter, whole[name])
            seen.add(name)
        x = built(x)
    assert seen == set(whole)
    assert torch.allclose(x, whole_model(SMALL, 7)(tokens), atol=1e-6)


def test_attention_is_causal() -> None:
    model = whole_model(SMALL, 0)
    tokens = torch.randint(0, 40, (1, 8))
    changed = tokens.clone()
    changed[0, 5] = (changed[0, 5] + 1) % 40
    before, after = model(tokens), model(changed)
    assert torch.allclose(before[:, :5], after[:, :5], atol=1e-6)
    assert not torch.allclose(before[:, 5:], after[:, 5:], atol=1e-3)


def test_recomputation_gives_the_same_gradients() -> None:
    tokens = torch.randint(0, 40, (2, 6))
    gradients = []
    for recompute in (False, True):
        model = whole_model(dataclasses.replace(SMALL, recompute=recompute), 0)
        torch.autograd.backward(model(tokens).square().mean())
        gradients.append([parameter.grad for parameter in model.parameters()])
    for plain, again in zip(*gradients, strict=True):
        assert plain is not None
        assert again is not None
        assert torch.allclose(plain, again, atol=1e-7)


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_the_raw_codec_keeps_every_bit_also_of_read_only_arrays(dtype: str) -> None:
    codec = build_codec("raw", dataclasses.replace(SMALL, dtype=dtype))
    tensor = torch.randn(2, 3, 32).to(torch.float32 if dtype == "fp32" else torch.bfloat16)
    (array,) = codec.encode(tensor)
    assert codec.wire_spec((2, 3, 32)) == ((array.dtype.name, array.shape),)
    array = array.copy()
    array.flags.writeable = False
    assert torch.equal(codec.decode((array,)), tensor)
    with pytest.raises(ValueError, match="expects one"):
        codec.decode((np.zeros(3, np.int8),))


def test_the_schedule_warms_up_and_ends_at_its_floor() -> None:
    config = OptimizerConfig(lr=1.0, warmup_steps=4, min_lr_ratio=0.1)
    rates = [learning_rate(config, step, 20) for step in range(20)]
    assert rates[:4] == [0.25, 0.5, 0.75, 1.0]
    assert rates[-1] == pytest.approx(0.1)
    assert all(a >= b for a, b in itertools.pairwise(rates[4:]))


@pytest.mark.parametrize(
    ("changes", "says"),
    [({"heads": 3}, "heads"), ({"kv_heads": 3}, "kv_heads"), ({"dtype": "fp8"}, "dtype"), ({"vocab_size": 0}, "vocab")],
)
def test_an_impossible_model_is_refused(changes: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        check_model(dataclasses.replace(SMALL, **changes))  # type: ignore[arg-type]
