"""What a step is made of."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TrainConfig:
    """Size and number of the steps."""

    steps: int = 100
    """Optimizer updates of the whole model."""
    microbatches: int = 16
    """Microbatches of one step."""
    microbatch_size: int = 8
    """Sequences of one microbatch, B."""
    sequence: int = 128
    """Tokens of one sequence, T."""
    seed: int = 0
    """Seeds the initial values and the order of the data."""
    in_flight: int = 0
    """Microbatches that one origin keeps in flight; bounds what each stage stashes. 0: twice the number of stages."""
    validate_every: int = 25
    """Validate before every n-th step, and after the last one. 0: never."""
    validation_microbatches: int = 8
    """Held-out microbatches of one validation."""
    keep_every: int = 10
    """Every participant writes its stage's state to its own disk every so many commits, and keeps the newest three. 0:
    never."""
    lost_stage: str = "wait"
    """When all who held a stage are gone: `wait` until the run can return to a commit that participants of every stage
    have kept; `spare` for the same, with layout.spares participants a stage that stand by; `rollback` to the newest
    checkpoint; `stop` to end it."""
