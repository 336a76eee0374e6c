"""Frames: how a message and its tensors become bytes.

    prefix   magic "Ts" | lane u8 | zero u8 | header length u32 | payload length u64      16 bytes, big endian
    header   msgpack {kind, body, tensors: [[dtype, [dims]], ...]}
    payload  the raw values of the tensors, one after the other, little endian

Everything that decides about an allocation is in the prefix and the header, so it is checked before there is one.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from actors.transport.base import Array, TensorSpec
from actors.transport.errors import WireError
from actors.transport.schema import MAX_HEADER, Lane, MessageKind, MessageRegistry, pack, unpack

PREFIX = struct.Struct(">2sBBIQ")
MAGIC = b"Ts"
DTYPES = {name: np.dtype(name).itemsize for name in ("float32", "float16", "uint16", "int8", "uint8", "int32", "int64")}
"""Allowed dtypes and their bytes a value; uint16 carries the bits of bfloat16."""
MAX_DIMS = 8
MAX_CONTROL_PAYLOAD = 1 << 20
MAX_PAYLOAD = 256 << 20
_JOIN = 16 << 10
"""Tensors up to this size are copied behind their header: one write instead of two."""

assert sys.byteorder == "little", "tensors travel as they lie in memory; a big-endian host would have to swap them"


@dataclass(frozen=True)
class Prefix:
    """The first 16 bytes, checked."""

    lane: Lane
    header: int
    """Bytes of the header."""
    payload: int
    """Bytes of all tensors."""


@dataclass(frozen=True)
class Frame:
    """A message ready to be written: buffers in order, and their length."""

    kind: MessageKind
    buffers: tuple[memoryview, ...]
    nbytes: int


def build(
    registry: MessageRegistry, message: object, tensors: Sequence[Array] = (), max_payload: int = MAX_PAYLOAD
) -> Frame:
    """Encode a message; big tensors are referred to, not copied. Raises WireError when a receiver would refuse it."""
    kind = registry.kind_of(message)
    arrays = [np.asarray(tensor, order="C") for tensor in tensors]
    if any(not array.dtype.isnative for array in arrays):
        raise WireError("bad-dtype", f"{kind.kind}: values in foreign byte order do not travel")
    specs = [TensorSpec(array.dtype.name, array.shape) for array in arrays]
    plain = registry.to_plain(message)
    plain["tensors"] = [[spec.dtype, list(spec.shape)] for spec in specs]
    header = pack(plain)
    payload = check_specs(kind, specs)
    check_payload(kind.lane, payload, max_payload)
    head = PREFIX.pack(MAGIC, kind.lane.value, 0, len(header), payload) + header
    # reshape(-1) first: memoryview cannot cast arrays of zero dimensions
    bodies = [array.reshape(-1).view(np.uint8).data for array in arrays]
    if payload <= _JOIN:
        buffers: tuple[memoryview, ...] = (memoryview(b"".join([head, *bodies])),)
    else:
        buffers = (memoryview(head), *bodies)
    return Frame(kind, buffers, len(head) + payload)


def read_prefix(data: bytes | bytearray | memoryview) -> Prefix:
    """Check 16 bytes. Raises WireError."""
    magic, lane, zero, header, payload = PREFIX.unpack(data)
    if magic != MAGIC or zero != 0 or lane > 1:
        raise WireError("bad-magic", f"{bytes(data[:4]).hex()} does not begin a frame")
    if header > MAX_HEADER:
        raise WireError("oversized-header", f"{header} bytes of header, at most {MAX_HEADER}")
    return Prefix(Lane(lane), header, payload)


def read_header(
    registry: MessageRegistry, prefix: Prefix, data: bytes | bytearray | memoryview
) -> tuple[MessageKind, object, tuple[TensorSpec, ...]]:
    """Check a header against its prefix and its kind's declaration. Raises WireError."""
    plain = unpack(data)
    if plain.keys() != {"kind", "body", "tensors"}:
        raise WireError("bad-header", "a header is a map of kind, body and tensors")
    specs = _read_specs(plain["tensors"])
    kind, message = registry.from_plain(plain)
    if kind.lane is not prefix.lane:
        raise WireError("wrong-lane", f"{kind.kind} came over the {prefix.lane.name.lower()} lane")
    if check_specs(kind, specs) != prefix.payload:
        raise WireError("bad-length", f"{kind.kind}: tensors do not add up to {prefix.payload} bytes")
    return kind, message, specs


def check_payload(lane: Lane, payload: int, max_payload: int) -> None:
    """Raise WireError when a payload is more than its lane carries."""
    limit = MAX_CONTROL_PAYLOAD if lane is Lane.CONTROL else max_payload
    if payload > limit:
        raise WireError("oversized-payload", f"{payload} bytes over the {lane.name.lower()} lane, at most {limit}")


def check_specs(kind: MessageKind, specs: Sequence[TensorSpec]) -> int:
    """Bytes of all tensors; raises WireError when their number, types or shapes are not allowed."""
    if len(specs) != kind.tensors:
        raise WireError("tensor-count", f"{kind.kind} has {kind.tensors} tensors, not {len(specs)}")
    total = 0
    for spec in specs:
        if spec.dtype not in DTYPES:
            raise WireError("bad-dtype", f"{kind.kind}: dtype {spec.dtype[:20]!r} does not travel")
        if len(spec.shape) > MAX_DIMS or any(dim < 1 for dim in spec.shape):
            raise WireError("bad-shape", f"{kind.kind}: shape {spec.shape[:MAX_DIMS]}")
        total += spec.nbytes
    return total


def _read_specs(plain: Any) -> tuple[TensorSpec, ...]:
    if type(plain) is not list or len(plain) > 1024:
        raise WireError("bad-header", "tensors is a short array")
    specs = []
    for item in plain:
        if type(item) is not list or len(item) != 2 or type(item[0]) is not str or type(item[1]) is not list:
            raise WireError("bad-header", "a tensor is described by [dtype, shape]")
        if len(item[1]) > MAX_DIMS or any(type(dim) is not int for dim in item[1]):
            raise WireError("bad-shape", "a shape is a short array of integers")
        specs.append(TensorSpec(item[0], tuple(item[1])))
    return tuple(specs)


def split_payload(payload: Array, specs: Sequence[TensorSpec]) -> tuple[Array, ...]:
    """Views of the tensors in a received payload; a misaligned one is copied."""
    tensors, at = [], 0
    for spec in specs:
        part = payload[at : at + spec.nbytes].view(spec.dtype).reshape(spec.shape)
        tensors.append(np.require(part, requirements="A"))
        at += spec.nbytes
    return tuple(tensors)
