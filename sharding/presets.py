"""Model sizes by name, and the arithmetic of their parameters. Imports no torch: planners and meshes use it.

A `unit` is what initial values, partition and inventory are counted in: the embedding, each block, the head (with the
final norm). Counts are of parameters (elements), not bytes.
"""

from __future__ import annotations

from typing import Final

from sharding.config import ModelConfig

DTYPES: Final = ("fp32", "bf16")

_LLAMA_VOCAB: Final = 128_256
_SMALL_VOCAB: Final = 32_000


def _preset(width: int, layers: int, heads: int, kv_heads: int, ffn: int, vocab_size: int = 0) -> dict[str, object]:
    return {
        "width": width,
        "layers": layers,
        "heads": heads,
        "kv_heads": kv_heads,
        "ffn": ffn,
        "vocab_size": vocab_size,
    }


PRESETS: Final[dict[str, dict[str, object]]] = {
    "tiny-1.5m": _preset(128, 8, 4, 2, 352),
    "small-6m": _preset(256, 8, 8, 4, 704),
    "10m": _preset(320, 8, 5, 5, 864),
    "50m": _preset(512, 8, 8, 4, 1408, _SMALL_VOCAB),
    "125m": _preset(768, 12, 12, 12, 2048, _SMALL_VOCAB),
    "350m": _preset(1024, 24, 16, 8, 2816, _SMALL_VOCAB),
    "1b": _preset(2048, 16, 32, 8, 8192, _LLAMA_VOCAB) | {"rope_theta": 500_000.0},
    "3b": _preset(3072, 28, 24, 8, 8192, _LLAMA_VOCAB) | {"rope_theta": 500_000.0},
    "8b": _preset(4096, 32, 32, 8, 14336, _LLAMA_VOCAB) | {"rope_theta": 500_000.0},
}
"""Values of ModelConfig by preset name. The three smallest leave vocab_size to the tokenizer (0); the others fix it,
because at their size the embedding decides the partition. 1b, 3b and 8b have the shapes of Llama 3 (arXiv 2407.21783)
with untied head."""


def check_model(model: ModelConfig) -> None:
    """Raise ValueError, in one sentence that says what to change, when no model can be built from `model`."""
    for name in ("width", "layers", "heads", "kv_heads", "ffn"):
        if getattr(model, name) < 1:
            raise ValueError(f"model.{name} is {getattr(model, name)}; set it to 1 or more.")
    if model.vocab_size < 1:
        raise ValueError(
            f"model.vocab_size is {model.vocab_size}; set it to the number of token ids, or resolve it from the "
            "tokenizer before the model is built."
        )
    if model.width % model.heads:
        raise ValueError(
            f"model.heads = {model.heads} does not divide model.width = {model.width}; choose a divisor of the width."
        )
    if model.heads % model.kv_heads:
        raise ValueError(
            f"model.kv_heads = {model.kv_heads} does not divide model.heads = {model.heads}; choose a divisor of heads."
        )
    if (model.width // model.heads) % 2:
        raise ValueError(
            f"model.width / model.heads = {model.width // model.heads} is odd, and rotary positions turn pairs; choose "
            "fewer or more heads so that it is even."
        )
    if model.dtype not in DTYPES:
        raise ValueError(f"model.dtype = {model.dtype!r} is unknown; use one of {', '.join(DTYPES)}.")
    if model.norm_eps <= 0 or model.rope_theta <= 0:
        raise ValueError("model.norm_eps and model.rope_theta must be above 0; set them to their defaults.")


def embedding_parameters(model: ModelConfig) -> int:
    """Return the parameters of the token embedding, V x D."""
    return model.vocab_size * model.width


def block_parameters(model: ModelConfig) -> int:
    """Return the parameters of one decoder block: q, k, v, out; gate, up, down; two norms."""
    kv_width = model.width // model.heads * model.kv_heads
    attention = 2 * model.width * model.width + 2 * model.width * kv_width
    return attention + 3 * model.width * model.ffn + 2 * model.width


def head_parameters(model: ModelConfig) -> int:
    """Return the parameters of the final norm and the untied head, D + V x D."""
    return model.width + model.vocab_size * model.width


def parameter_count(model: ModelConfig) -> int:
    """Return the parameters of the whole model. Raises ValueError for a model that `check_model` refuses."""
    check_model(model)
    return embedding_parameters(model) + model.layers * block_parameters(model) + head_parameters(model)
