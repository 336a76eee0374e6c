"""Emulated home connections and machines (for simulations; empty for the real world)."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class EmulateOverride:
    """Differences of one participant, or of all of a stage, from the common emulation."""

    who: str = ""
    """A participant's name, `stage-2`, or `stage-2/1` (the second replica of stage 2)."""
    up_mbps: float | None = None
    down_mbps: float | None = None
    delay_ms: float | None = None
    jitter_ms: float | None = None
    tokens_per_s: float | None = None


@dataclass(frozen=True)
class EmulateConfig:
    """One home connection: a bucket for each direction, shared by all links of the participant, control included."""

    up_mbps: float = 0.0
    """Uplink in Mbit/s (10**6 bits). 0: unshaped."""
    down_mbps: float = 0.0
    """Downlink in Mbit/s. 0: unshaped."""
    delay_ms: float = 0.0
    """One-way delay in milliseconds of everything that this participant sends."""
    jitter_ms: float = 0.0
    """Up to this much is added to the delay, at random; order within a connection is kept."""
    tokens_per_s: float = 0.0
    """Pace of one shard, forward and backward together; it waits after its real work. 0: as fast as it can."""
    overrides: list[EmulateOverride] = field(default_factory=list)
    """Later entries win over earlier ones."""
