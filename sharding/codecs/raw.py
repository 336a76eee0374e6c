"""The codec that changes nothing: the tensor's own bits."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from sharding.codecs.base import Arrays, WireSpec

_WIRE_TYPES = {torch.float32: "float32", torch.bfloat16: "uint16"}


class RawCodec:
    """Sends fp32 as float32 and bf16 as its 16 bits in uint16 (numpy has no bfloat16). Exact in both directions."""

    def __init__(self, dtype: torch.dtype) -> None:
        if dtype not in _WIRE_TYPES:
            raise ValueError(f"The raw codec cannot send {dtype}; use fp32 or bf16.")
        self.dtype = dtype
        self.wire_type = _WIRE_TYPES[dtype]

    def encode(self, tensor: Tensor) -> Arrays:
        """Return one array with the tensor's bits; no copy is made of a contiguous tensor on the CPU."""
        settled = tensor.detach().to("cpu", self.dtype).contiguous()
        return ((settled.view(torch.uint16) if self.dtype is torch.bfloat16 else settled).numpy(),)

    def decode(self, arrays: Arrays) -> Tensor:
        """Return the tensor that was encoded. Raises ValueError when it is not one array of the wire type."""
        if len(arrays) != 1 or arrays[0].dtype != np.dtype(self.wire_type):
            kinds = ", ".join(str(array.dtype) for array in arrays) or "nothing"
            raise ValueError(f"The raw codec expects one {self.wire_type} array, and got {kinds}.")
        return share_memory(arrays).view(self.dtype)

    def wire_spec(self, shape: tuple[int, ...]) -> WireSpec:
        """Return the one array that a tensor of `shape` becomes."""
        return ((self.wire_type, shape),)


def share_memory(arrays: Arrays) -> Tensor:
    """Return the first array as a tensor over the same memory, also where the array is read-only.

    Arrays from a message or from Ray's object store are read-only. torch has no read-only tensors and warns about
    them in `from_numpy`, rightly: whoever calls this must not write to the tensor. `torch.frombuffer` warns too, so
    the array is opened through the array interface by address; the tensor's storage keeps the array alive.
    """
    array = arrays[0]
    if not array.flags.c_contiguous:
        array = np.ascontiguousarray(array)
    if array.flags.writeable or not array.size:
        return torch.from_numpy(array if array.flags.writeable else array.copy())
    return torch.from_numpy(np.asarray(_Writable(array)))


class _Writable:
    """Presents a read-only array's memory without the read-only mark, and keeps the array alive."""

    def __init__(self, array: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> None:
        self._array = array
        interface = dict(array.__array_interface__)
        address, _ = interface["data"]
        self.__array_interface__ = interface | {"data": (address, False)}
