"""How layers are cut into stages, and what stages and models hold, with the numbers worked out by hand."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from sharding.config import ModelConfig
from sharding.partition import no_stage, partition, share, stage_parameters, whole_stage
from sharding.presets import (
    PRESETS,
    block_parameters,
    check_model,
    embedding_parameters,
    head_parameters,
    parameter_count,
)

# Width 4 in 2 heads of 2, one key/value head: q and out 4 x 4, k and v 4 x 2, so 48; three of 4 x 6, so 72; two norms
# of 4. A block has 128. Ten tokens: the embedding 40, the head with its norm 44.
SMALL = ModelConfig(vocab_size=10, width=4, layers=3, heads=2, kv_heads=1, ffn=6)


def cut(model: ModelConfig, stages: int) -> list[tuple[int, int]]:
    """First and one past the last layer of every stage."""
    return [(stage.first_layer, stage.last_layer) for stage in partition(model, stages)]


def with_layers(layers: int, vocab_size: int) -> ModelConfig:
    """The small model, larger."""
    return dataclasses.replace(SMALL, layers=layers, vocab_size=vocab_size)


def test_the_parts_of_a_model_are_counted_by_hand() -> None:
    assert embedding_parameters(SMALL) == 40
    assert block_parameters(SMALL) == 128
    assert head_parameters(SMALL) == 44
    assert parameter_count(SMALL) == 40 + 3 * 128 + 44


def test_key_value_heads_make_a_block_smaller() -> None:
    # Width 12 in 6 heads of 2. With 6, 3, 1 key/value heads k and v are 12 x 12, 12 x 6 and 12 x 2.
    counts = [block_parameters(dataclasses.replace(SMALL, width=12, heads=6, kv_heads=n, ffn=1)) for n in (6, 3, 1)]
    rest = 2 * 144 + 36 + 24
    assert counts == [rest + 288, rest + 144, rest + 48]


@pytest.mark.parametrize(
    ("stages", "held", "layers"),
    [(1, [468], [(0, 3)]), (2, [296, 172], [(0, 2), (2, 3)]), (3, [168, 128, 172], [(0, 1), (1, 2), (2, 3)])],
)
def test_stages_hold_their_layers_with_the_embedding_first_and_the_head_last(
    stages: int, held: list[int], layers: list[tuple[int, int]]
) -> None:
    # Two stages: 2 + 1 layers are 296 and 172, 1 + 2 layers are 168 and 300, whose largest is larger.
    found = partition(SMALL, stages)
    assert cut(SMALL, stages) == layers
    assert [stage_parameters(SMALL, stage) for stage in found] == held
    assert [share(SMALL, stage) for stage in found] == pytest.approx([one / 468 for one in held])
    assert [(stage.index, stage.stages) for stage in found] == [(i, stages) for i in range(stages)]
    assert [stage.embedding for stage in found] == [True] + [False] * (stages - 1)
    assert [stage.head for stage in found] == [False] * (stages - 1) + [True]


@pytest.mark.parametrize(
    ("model", "stages", "layers"),
    [
        pytest.param(with_layers(4, 1), 2, [(0, 2), (2, 4)], id="as good as no vocabulary: halves"),
        # 40 or 400 tokens: embedding 160 or 1600, head 164 or 1604, blocks of 128.
        pytest.param(with_layers(6, 40), 3, [(0, 2), (2, 5), (5, 6)], id="416, 384, 292 and not 416, 256, 420"),
        pytest.param(with_layers(5, 65), 3, [(0, 1), (1, 4), (4, 5)], id="388, 384, 392: two layers at an end are 516"),
        pytest.param(
            with_layers(6, 400), 3, [(0, 1), (1, 5), (5, 6)], id="ends with a large vocabulary hold one layer"
        ),
        # The head's stage with one layer is the largest whatever the middle is: 1732. Then 256 and 256 are better than
        # 128 and 384, whose squares are more in sum.
        pytest.param(with_layers(6, 400), 4, [(0, 1), (1, 3), (3, 5), (5, 6)], id="the middle is even"),
        pytest.param(
            with_layers(7, 400), 4, [(0, 1), (1, 3), (3, 6), (6, 7)], id="what is left over goes to a later one"
        ),
    ],
)
def test_the_largest_stage_is_as_small_as_can_be_and_then_work_is_even(
    model: ModelConfig, stages: int, layers: list[tuple[int, int]]
) -> None:
    assert cut(model, stages) == layers


def test_the_whole_is_one_stage_and_who_has_none_holds_nothing() -> None:
    whole, none = whole_stage(SMALL), no_stage(3)
    assert partition(SMALL, 1) == (whole,)
    assert (stage_parameters(SMALL, whole), share(SMALL, whole)) == (468, 1.0)
    assert list(whole.layers) == [0, 1, 2]
    assert (none.index, none.stages, none.first_layer, none.last_layer) == (-1, 3, 0, 0)
    assert stage_parameters(SMALL, none) == 0


@pytest.mark.parametrize("stages", [0, -1, 4])
def test_a_stage_needs_a_layer(stages: int) -> None:
    with pytest.raises(ValueError, match=rf"layout.stages = {stages}, but a model of 3 layers can be cut into 1 to 3"):
        partition(SMALL, stages)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"width": 0}, r"model\.width is 0; set it to 1 or more"),
        ({"layers": 0}, r"model\.layers is 0; set it to 1 or more"),
        ({"heads": 0}, r"model\.heads is 0; set it to 1 or more"),
        ({"kv_heads": -1}, r"model\.kv_heads is -1; set it to 1 or more"),
        ({"ffn": 0}, r"model\.ffn is 0; set it to 1 or more"),
        ({"vocab_size": 0}, r"model\.vocab_size is 0"),
        ({"heads": 3}, r"model\.heads = 3 does not divide model\.width = 4"),
        ({"width": 12, "heads": 6, "kv_heads": 4}, r"model\.kv_heads = 4 does not divide model\.heads = 6"),
        ({"heads": 4, "kv_heads": 1}, r"model\.width / model\.heads = 1 is odd"),
        ({"dtype": "fp16"}, r"model\.dtype = 'fp16' is unknown; use one of fp32, bf16"),
        ({"norm_eps": 0.0}, r"norm_eps and model\.rope_theta must be above 0"),
        ({"rope_theta": 0.0}, r"norm_eps and model\.rope_theta must be above 0"),
    ],
)
def test_an_impossible_model_is_refused_with_what_to_change(changes: dict[str, Any], says: str) -> None:
    model = dataclasses.replace(SMALL, **changes)
    for refuses in (check_model, parameter_count, lambda one: partition(one, 1)):
        with pytest.raises(ValueError, match=says):
            refuses(model)
    with pytest.raises(ValueError, match=says):
        stage_parameters(model, whole_stage(SMALL))


def test_the_smallest_possible_model_is_taken() -> None:
    check_model(ModelConfig(vocab_size=1, width=2, layers=1, heads=1, kv_heads=1, ffn=1, dtype="bf16"))


# Per block 2 w w + 2 w (w / heads) kv + 3 w ffn + 2 w; then w for the norm, and twice the vocabulary times w.
COUNTS = {
    "tiny-1.5m": (256, 1_542_272),  # 8 x (32768 + 16384 + 135168 + 256) + 128 + 65536
    "small-6m": (256, 6_033_664),  # 8 x (131072 + 65536 + 540672 + 512) + 256 + 131072
    "10m": (256, 10_081_600),  # 8 x (204800 + 204800 + 829440 + 640) + 320 + 163840
    "50m": (32_000, 56_369_664),  # 8 x (524288 + 262144 + 2162688 + 1024) + 512 + 32768000
    "125m": (32_000, 134_105_856),  # 12 x (1179648 + 1179648 + 4718592 + 1536) + 768 + 49152000
    "350m": (32_000, 348_701_696),  # 24 x (2097152 + 1048576 + 8650752 + 2048) + 1024 + 65536000
    "1b": (128_256, 1_498_482_688),  # 16 x (8388608 + 2097152 + 50331648 + 4096) + 2048 + 525336576
    "3b": (128_256, 3_606_752_256),  # 28 x (18874368 + 6291456 + 75497472 + 6144) + 3072 + 788004864
    "8b": (128_256, 8_030_261_248),  # 32 x (33554432 + 8388608 + 176160768 + 8192) + 4096 + 1050673152
}


@pytest.mark.parametrize("name", list(COUNTS))
def test_presets_have_the_sizes_of_their_names(name: str) -> None:
    assert set(COUNTS) == set(PRESETS)
    vocabulary, count = COUNTS[name]
    values: dict[str, Any] = PRESETS[name] | {"vocab_size": vocabulary}
    assert parameter_count(ModelConfig(preset=name, **values)) == count


def test_the_smallest_three_presets_take_their_vocabulary_from_the_tokenizer() -> None:
    own = {name: values["vocab_size"] for name, values in PRESETS.items()}
    assert [name for name, size in own.items() if size == 0] == ["tiny-1.5m", "small-6m", "10m"]
    assert {name for name, size in own.items() if size == 128_256} == {"1b", "3b", "8b"}
    assert {values["rope_theta"] for name, values in PRESETS.items() if name in ("1b", "3b", "8b")} == {500_000.0}
    assert all("rope_theta" not in values for name, values in PRESETS.items() if name not in ("1b", "3b", "8b"))
