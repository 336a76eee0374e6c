"""What shards compute, and on what.

Tensors are opaque to the protocol: it passes on what the shard or a peer gave it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from actors.steps.messages import Purpose

Tensors = tuple[Any, ...]
"""Arrays in wire form, never looked into by the protocol."""


@dataclass(frozen=True)
class TokensOf:
    """Stands for the token ids of a microbatch; whoever executes the effect looks them up."""

    step: int
    index: int
    purpose: Purpose


Payload = Tensors | TokensOf


class JobKind(StrEnum):
    """What a shard computes."""

    FORWARD = "forward"
    LOSS = "loss"
    """Last stage in training: forward, loss and backward at once."""
    BACKWARD = "backward"
    EVALUATE = "evaluate"
    """Last stage in validation: forward and loss."""


@dataclass(frozen=True)
class Job:
    """One computation of the own shards."""

    kind: JobKind
    step: int
    index: int
    purpose: Purpose
    payload: Payload
    number: int = 0
    """Unlike that of any other job of this participant."""
