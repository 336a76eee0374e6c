"""The pieces of a decoder block: RMSNorm, rotary positions, grouped-query attention, SwiGLU.

Legend: B batch, T tokens, D width, N query heads, K key/value heads, H head size, F feed-forward size.
"""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from sharding.config import ModelConfig


class RMSNorm(nn.Module):
    """x / rms(x) * weight, computed in fp32 whatever the type of x (Zhang & Sennrich, arXiv 1910.07467)."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x_BTD: Tensor) -> Tensor:
        """Return the normalised x_BTD in the type of x."""
        wide_BTD = x_BTD.float()
        scale_BT1 = torch.rsqrt(wide_BTD.square().mean(dim=-1, keepdim=True) + self.eps)
        return (wide_BTD * scale_BT1 * self.weight.float()).to(x_BTD.dtype)


@lru_cache(maxsize=16)
def rotary_tables(tokens: int, head: int, theta: float, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return fp32 (cos_TH, sin_TH) of the rotary position embedding (Su et al., arXiv 2104.09864).

    Computed, not stored in the module: a stage then owns nothing but parameters, and casting a module to bf16 does
    not round the angles. Built in float64 on the CPU, so that every device starts from the same numbers.
    """
    frequencies = theta ** (-torch.arange(0, head, 2, dtype=torch.float64) / head)
    angles = torch.outer(torch.arange(tokens, dtype=torch.float64), frequencies)
    angles_TH = torch.cat((angles, angles), dim=-1)
    return angles_TH.cos().float().to(device), angles_TH.sin().float().to(device)


def rotate(x_BNTH: Tensor, cos_TH: Tensor, sin_TH: Tensor) -> Tensor:
    """Turn each pair (i, i + H/2) of the last dimension by the angle of its position; in fp32, returned as x's type."""
    wide = x_BNTH.float()
    first, second = wide.chunk(2, dim=-1)
    turned = torch.cat((-second, first), dim=-1)
    return (wide * cos_TH + turned * sin_TH).to(x_BNTH.dtype)


class Attention(nn.Module):
    """Causal attention in which N query heads share K key/value heads (Ainslie et al., arXiv 2305.13245)."""

    def __init__(self, model: ModelConfig) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.head = model.heads, model.kv_heads, model.width // model.heads
        self.theta = model.rope_theta
        self.q = nn.Linear(model.width, self.heads * self.head, bias=False)
        self.k = nn.Linear(model.width, self.kv_heads * self.head, bias=False)
        self.v = nn.Linear(model.width, self.kv_heads * self.head, bias=False)
        self.out = nn.Linear(self.heads * self.head, model.width, bias=False)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """Return what attention adds to the residual stream, x_BTD -> [B, T, D]."""
        batch, tokens, _ = x_BTD.shape
        cos_TH, sin_TH = rotary_tables(tokens, self.head, self.theta, x_BTD.device)
        q_BNTH = rotate(self._split(self.q(x_BTD), self.heads), cos_TH, sin_TH)
        k_BKTH = rotate(self._split(self.k(x_BTD), self.kv_heads), cos_TH, sin_TH)
        v_BKTH = self._split(self.v(x_BTD), self.kv_heads)
        mixed_BNTH = functional.scaled_dot_product_attention(
            q_BNTH, k_BKTH, v_BKTH, is_causal=True, enable_gqa=self.kv_heads != self.heads
        )
        mixed: Tensor = self.out(mixed_BNTH.transpose(1, 2).reshape(batch, tokens, -1))
        return mixed

    def _split(self, x: Tensor, heads: int) -> Tensor:
        batch, tokens, _ = x.shape
        return x.view(batch, tokens, heads, self.head).transpose(1, 2)


class FeedForward(nn.Module):
    """SwiGLU: down(silu(gate(x)) * up(x)) (Shazeer, arXiv 2002.05202)."""

    def __init__(self, model: ModelConfig) -> None:
        super().__init__()
        self.gate = nn.Linear(model.width, model.ffn, bias=False)
        self.up = nn.Linear(model.width, model.ffn, bias=False)
        self.down = nn.Linear(model.ffn, model.width, bias=False)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """Return what the feed-forward adds to the residual stream, x_BTD -> [B, T, D]."""
        h_BTF = functional.silu(self.gate(x_BTD)) * self.up(x_BTD)
        added: Tensor = self.down(h_BTF)
        return added


class Block(nn.Module):
    """One pre-norm decoder block; x_BTD -> x_BTD."""

    def __init__(self, model: ModelConfig) -> None:
        super().__init__()
        self.attention_norm = RMSNorm(model.width, model.norm_eps)
        self.attention = Attention(model)
        self.ffn_norm = RMSNorm(model.width, model.norm_eps)
        self.ffn = FeedForward(model)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """Return the residual stream after attention and feed-forward."""
        x_BTD = x_BTD + self.attention(self.attention_norm(x_BTD))
        added: Tensor = self.ffn(self.ffn_norm(x_BTD))
        return x_BTD + added
