"""One pipeline stage as a torch module, with initial values that do not depend on the cut.

Legend: B batch, T tokens, D width, V vocabulary.
"""

from __future__ import annotations

import hashlib
import math

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from sharding.blocks import Block, RMSNorm
from sharding.config import ModelConfig
from sharding.partition import StageSpec, whole_stage
from sharding.presets import check_model

TORCH_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


class Stage(nn.Module):
    """A contiguous range of layers under their global names (`layers.5.attention.q.weight`).

    A parameter has the same name in every cut, so gradients, hashes and checkpoints of different layouts compare.
    """

    def __init__(self, model: ModelConfig, spec: StageSpec) -> None:
        super().__init__()
        self.recompute = model.recompute
        self.embedding = nn.Embedding(model.vocab_size, model.width) if spec.embedding else None
        self.layers = nn.ModuleDict({str(layer): Block(model) for layer in spec.layers})
        self.norm = RMSNorm(model.width, model.norm_eps) if spec.head else None
        self.head = nn.Linear(model.width, model.vocab_size, bias=False) if spec.head else None

    def forward(self, x: Tensor) -> Tensor:
        """Map token ids [B, T] (integers, first stage) or x_BTD to x_BTD, or to logits_BTV on the last stage."""
        x_BTD = x if self.embedding is None else self.embedding(x)
        for block in self.layers.values():
            if self.recompute and torch.is_grad_enabled():
                x_BTD = checkpoint(block, x_BTD, use_reentrant=False, preserve_rng_state=False)
            else:
                x_BTD = block(x_BTD)
        if self.norm is None or self.head is None:
            return x_BTD
        logits_BTV: Tensor = self.head(self.norm(x_BTD))
        return logits_BTV


def build_stage(model: ModelConfig, spec: StageSpec, seed: int, device: str = "cpu") -> Stage:
    """Build one stage and nothing of any other, with the values that the whole model of `seed` has there.

    Every parameter's values are drawn on the CPU in fp32 from a generator that (seed, parameter name) alone
    determines, then rounded to the model's type: a stage equals the same slice of the whole model bit for bit. Device
    "meta" gives shapes without memory. Raises ValueError when `check_model` refuses the model.
    """
    check_model(model)
    with torch.device("meta"):
        stage = Stage(model, spec).to(TORCH_DTYPES[model.dtype])
    if device == "meta":
        return stage
    stage = stage.to_empty(device=device)
    with torch.no_grad():
        for name, parameter in stage.named_parameters():
            parameter.copy_(initial_value(model, seed, name, parameter.shape))
    return stage


def whole_model(model: ModelConfig, seed: int, device: str = "cpu") -> Stage:
    """Build the whole model in one process. Only the single-process reference and tests may do this."""
    return build_stage(model, whole_stage(model), seed, device)


def initial_value(model: ModelConfig, seed: int, name: str, shape: torch.Size) -> Tensor:
    """Return the fp32 initial value of a parameter: ones for norms, else normal with the deviation of its role.

    Matrices get 1/sqrt(inputs), so that the scale does not depend on the width; those that write into the residual
    stream are divided by sqrt(2 L), so that its variance does not grow with the depth (as in GPT-2).
    """
    if len(shape) == 1:
        return torch.ones(shape)
    digest = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest, "big") >> 1)
    value = torch.empty(shape).normal_(generator=generator)
    return value.mul_(_deviation(model, name, shape))


def _deviation(model: ModelConfig, name: str, shape: torch.Size) -> float:
    if name.startswith("embedding."):
        return 1.0
    scale = 1 / math.sqrt(shape[1])
    return scale / math.sqrt(2 * model.layers) if name.endswith(("attention.out.weight", "ffn.down.weight")) else scale
