"""Codecs by name."""

from __future__ import annotations

from sharding.codecs.base import Codec
from sharding.codecs.raw import RawCodec
from sharding.config import ModelConfig
from sharding.stage import TORCH_DTYPES

CODECS = ("raw",)


def build_codec(name: str, model: ModelConfig) -> Codec:
    """Return the codec `name` for the activations of `model`. Raises ValueError for an unknown name."""
    if name == "raw":
        return RawCodec(TORCH_DTYPES[model.dtype])
    raise ValueError(f"Codec {name!r} is unknown; use one of {', '.join(CODECS)}.")
