"""The pieces of a decoder block, with numbers worked out by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sharding.blocks import Attention, Block, FeedForward, RMSNorm, rotary_tables, rotate
from sharding.config import ModelConfig

MODEL = ModelConfig(vocab_size=4, width=8, layers=1, heads=4, kv_heads=2, ffn=1)


def put(linear: torch.nn.Linear, rows: list[list[float]]) -> None:
    """Set a matrix."""
    with torch.no_grad():
        linear.weight.copy_(torch.tensor(rows))


def near(found: Tensor, expected: list[float]) -> None:
    """Assert that the elements are these."""
    assert found.detach().flatten().tolist() == pytest.approx(expected, abs=1e-5)


def test_a_norm_divides_by_the_root_of_the_mean_square() -> None:
    norm = RMSNorm(2, eps=1e-12)
    near(norm(torch.tensor([3.0, 4.0])), [0.848528, 1.131371])  # over the root of (9 + 16) / 2 = 12.5
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([2.0, -1.0]))
    near(norm(torch.tensor([3.0, 4.0])), [1.697056, -1.131371])


def test_a_norm_adds_its_epsilon_to_the_mean_square() -> None:
    near(RMSNorm(2, eps=3.0)(torch.tensor([1.0, 1.0])), [0.5, 0.5])  # 1 / sqrt(1 + 3)
    near(RMSNorm(2, eps=1.0)(torch.zeros(2)), [0.0, 0.0])


def test_a_norm_computes_in_fp32_and_answers_in_the_type_that_it_was_given() -> None:
    wide = RMSNorm(2, eps=1e-5)(torch.tensor([300.0, 400.0], dtype=torch.bfloat16))
    assert wide.dtype == torch.bfloat16
    near(wide.float(), [217 / 256, 145 / 128])  # 0.848528 and 1.131371 in 8 bits: 217.2 / 256 and 144.8 / 128


def test_positions_are_angles_that_fall_with_the_pair() -> None:
    # Four elements are two pairs: theta to the power of -0/4 and -2/4. With theta = 100 that is 1 and 0.1, so
    # position 2 turns by 2 and 0.2; both halves have the same angles.
    cosines, sines = rotary_tables(3, 4, 100.0, torch.device("cpu"))
    near(cosines[0], [1, 1, 1, 1])
    near(sines[0], [0, 0, 0, 0])
    near(cosines[1], [0.540302, 0.995004, 0.540302, 0.995004])
    near(cosines[2], [-0.416147, 0.980067, -0.416147, 0.980067])
    near(sines[2], [0.909297, 0.198669, 0.909297, 0.198669])
    assert cosines.shape == sines.shape == (3, 4) and cosines.dtype == torch.float32


def test_an_element_turns_with_the_one_half_a_head_away() -> None:
    cosines, sines = torch.tensor([0.6, 1.0, 0.6, 1.0]), torch.tensor([0.8, 0.0, 0.8, 0.0])
    near(rotate(torch.tensor([1.0, 5.0, 0.0, 7.0]), cosines, sines), [0.6, 5.0, 0.8, 7.0])
    near(rotate(torch.tensor([0.0, 5.0, 1.0, 7.0]), cosines, sines), [-0.8, 5.0, 0.6, 7.0])
    assert rotate(torch.ones(4, dtype=torch.bfloat16), cosines, sines).dtype == torch.bfloat16


def test_attention_takes_the_mean_of_the_past_where_all_keys_are_alike() -> None:
    attention = Attention(MODEL)
    put(attention.q, [[0.0] * 8] * 8)
    put(attention.k, [[0.0] * 8] * 4)
    put(attention.v, [[1.0 if column == row else 0.0 for column in range(8)] for row in range(4)])
    put(attention.out, torch.eye(8).tolist())
    x = torch.zeros(1, 3, 8)
    x[0, :, 0], x[0, :, 2] = torch.tensor([6.0, 0.0, 3.0]), torch.tensor([0.0, 8.0, 1.0])
    # Heads of two elements. Query heads 0 and 1 share the first key/value head (elements 0 and 1 of x), heads 2 and 3
    # the second one (elements 2 and 3). Means over the past: 6, 3, 3 and 0, 4, 3.
    found = attention(x)[0]
    near(found[0], [6, 0, 6, 0, 0, 0, 0, 0])
    near(found[1], [3, 0, 3, 0, 4, 0, 4, 0])
    near(found[2], [3, 0, 3, 0, 3, 0, 3, 0])


def test_attention_looks_where_query_and_key_agree() -> None:
    attention = Attention(ModelConfig(vocab_size=4, width=2, layers=1, heads=1, kv_heads=1, ffn=1, rope_theta=1e30))
    put(attention.q, [[0.0, 0.0], [0.0, 20.0]])
    put(attention.k, [[0.0, 0.0], [0.0, 20.0]])
    put(attention.v, [[1.0, 0.0], [0.0, 0.0]])
    put(attention.out, [[1.0, 0.0], [0.0, 1.0]])
    # One pair, which turns by its position. Position 2 has the key of position 0 turned by 2 - 0 = 2 against its
    # query, cos 2 < 0; that of position 2 is its own, cos 0 = 1. So it looks at itself alone.
    x = torch.tensor([[[5.0, 1.0], [6.0, 0.0], [7.0, 1.0]]])
    near(attention(x)[0, 2], [7.0, 0.0])
    x = torch.tensor([[[5.0, 1.0], [6.0, 1.0], [7.0, 0.0]]])
    near(attention(x)[0, 1], [6.0, 0.0])


def test_the_feed_forward_is_a_gated_product() -> None:
    forward = FeedForward(ModelConfig(vocab_size=4, width=2, layers=1, heads=1, kv_heads=1, ffn=1))
    put(forward.gate, [[1.0, 0.0]])
    put(forward.up, [[0.0, 2.0]])
    put(forward.down, [[3.0], [-1.0]])
    # silu(1) = 1 / (1 + e^-1) = 0.731059; times 2 is 1.462117.
    near(forward(torch.tensor([[1.0, 1.0]])), [4.386351, -1.462117])
    near(forward(torch.tensor([[-1.0, 1.0]])), [-1.613649, 0.537883])  # silu(-1) = -0.268941


def test_a_block_adds_to_what_flows_past_it() -> None:
    block = Block(MODEL)
    x = torch.arange(16.0).reshape(1, 2, 8)
    for silent in (block.attention.out, block.ffn.down):
        put(silent, torch.zeros(silent.weight.shape).tolist())
    assert torch.equal(block(x), x)
    torch.manual_seed(0)
    torch.nn.init.normal_(block.attention.out.weight)
    after = x + block.attention(block.attention_norm(x))
    assert torch.allclose(block(x), after) and not torch.allclose(after, x)
    torch.nn.init.normal_(block.ffn.down.weight)
    assert torch.allclose(block(x), after + block.ffn(block.ffn_norm(after)))
