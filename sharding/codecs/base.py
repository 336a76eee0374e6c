"""What every codec offers."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from torch import Tensor

Array = np.ndarray[Any, np.dtype[Any]]
Arrays = tuple[Array, ...]
WireSpec = tuple[tuple[str, tuple[int, ...]], ...]
"""For each array of a message its numpy type (`float32`, `uint16`) and shape."""


class Codec(Protocol):
    """Turns a boundary tensor, an activation or its gradient of shape [B, T, D], into arrays and back."""

    def encode(self, tensor: Tensor) -> Arrays:
        """Return C-contiguous arrays; they may share the tensor's memory, so the tensor must not change any more."""

    def decode(self, arrays: Arrays) -> Tensor:
        """Return a tensor on the CPU; it may share the arrays' memory, and is never written to.

        Raises ValueError when number, type or shape of the arrays cannot be this codec's.
        """

    def wire_spec(self, shape: tuple[int, ...]) -> WireSpec:
        """Return what a message for a tensor of `shape` must consist of, for a check before anything is allocated."""
