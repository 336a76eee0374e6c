"""What is trained and how it is cut: the model, the optimizer, the layout.

Owned by `sharding`, composed with the other sections in `orchestrator/config.py`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ModelConfig:
    """A Llama-family decoder. Values not given come from the preset (`sharding/presets.py`)."""

    preset: str = "tiny-1.5m"
    """Name of the preset that the fields below start from."""
    vocab_size: int = 0
    """Number of token ids. 0: whatever the tokenizer has."""
    width: int = 128
    """Size of the residual stream, D."""
    layers: int = 8
    """Number of decoder blocks."""
    heads: int = 4
    """Query heads; must divide width."""
    kv_heads: int = 2
    """Key/value heads of grouped-query attention; must divide heads."""
    ffn: int = 352
    """Hidden size of the SwiGLU feed-forward."""
    rope_theta: float = 10000.0
    """Base of the rotary position frequencies."""
    norm_eps: float = 1e-5
    """Added to the mean square in RMSNorm."""
    dtype: str = "fp32"
    """Type of parameters and activations: fp32, or bf16 with fp32 master weights."""
    recompute: bool = False
    """Recompute block activations in the backward pass: less memory, a third more work."""


@dataclass(frozen=True)
class OptimizerConfig:
    """The update. The schedule is a pure function of the step, so every participant computes the same."""

    name: str = "adamw"
    """adamw or sgd."""
    lr: float = 3e-3
    """Peak learning rate."""
    beta1: float = 0.9
    """AdamW: decay of the first moment."""
    beta2: float = 0.95
    """AdamW: decay of the second moment."""
    eps: float = 1e-8
    """AdamW: added to the denominator."""
    weight_decay: float = 0.1
    """Decoupled decay of matrices; vectors (norms) are not decayed."""
    momentum: float = 0.0
    """SGD momentum."""
    clip: float = 1.0
    """Largest global gradient norm over all stages; 0 switches clipping off."""
    schedule: str = "cosine"
    """cosine (to min_lr_ratio at the last step) or constant; both after the warm-up."""
    warmup_steps: int = 10
    """Steps of linear warm-up."""
    min_lr_ratio: float = 0.1
    """Learning rate at the end over the peak, for cosine."""


@dataclass(frozen=True)
class LayoutConfig:
    """How the model is cut and how many serve each piece."""

    stages: int = 4
    """Pipeline stages; each is a contiguous range of layers."""
    replicas: int = 2
    """Participants that the launcher starts for each stage."""
    spares: int = 0
    """Standby participants that the launcher starts for each stage: they follow it without working, and take over when
    all who worked are gone."""
    devices: int = 1
    """Local devices (shards) of one participant; they split each microbatch and share optimizer state by ZeRO."""
    zero: int = 1
    """DeepSpeed ZeRO stage inside a participant, 0 to 3."""
    device: str = "auto"
    """cpu, cuda, or auto (cuda where there is one)."""
    threads: int = 1
    """torch threads of one shard on CPU."""
    rebalance: bool = True
    """Replicas of stages with throughput to spare move to stages that limit the run, one at a time."""
    max_model_share: float = 0.5
    """Largest share of the model's parameters that one participant may ever hold."""
