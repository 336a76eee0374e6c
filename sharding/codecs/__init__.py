"""What turns a tensor at a boundary between stages into arrays for the wire, and back."""

from sharding.codecs.base import Array, Arrays, Codec, WireSpec
from sharding.codecs.raw import RawCodec
from sharding.codecs.registry import build_codec

__all__ = ["Array", "Arrays", "Codec", "RawCodec", "WireSpec", "build_codec"]
