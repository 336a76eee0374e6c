"""A model whose parameters show what was counted: whole numbers, and one element that no two computations share.

What microbatch i contributes at stage s in step t is a vector that no other (t, s, i) has. One element differs each
time that it is computed, as rounding does on real devices: it shows whether replicas hold the same bits.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from actors.steps.eras import Returns, origin

LENGTH = 7
NOISE = 5
"""The element that differs from one computation to the next."""
Vector = npt.NDArray[np.float32]


EXACT = 12
"""With more microbatches the values repeat, so that their sums stay whole numbers that float32 can hold."""


def gradient(step: int, stage: int, index: int) -> Vector:
    """What a microbatch contributes, but for the noise."""
    if index >= EXACT:
        return np.array([index % 5, step % 3, stage + 1, index % 3, 1, 0, 3], dtype=np.float32)
    return np.array([2.0**index, step + 1, stage + 1, index, 1, 0, 3], dtype=np.float32)


def parameter_hash(stage: int, parameters: Vector) -> str:
    """A hash from which the parameters can be read."""
    return f"{stage}:{parameters.tobytes().hex()}"


def stage_of(text: str) -> int:
    """The stage in a hash made by `parameter_hash`."""
    return int(text.partition(":")[0])


def parameters_of(text: str) -> Vector:
    """The reverse of `parameter_hash`."""
    return np.frombuffer(bytes.fromhex(text.partition(":")[2]), np.float32)


@dataclass
class Engine:
    """The shards of one participant."""

    parameters: Vector = field(default_factory=lambda: np.zeros(LENGTH, np.float32))
    accumulated: Vector = field(default_factory=lambda: np.zeros(LENGTH, np.float32))
    counted: set[int] = field(default_factory=set)
    commit: int = 0
    free_at: float = 0.0
    paused_until: float = 0.0
    built: bool = False
    """What is asked of shards that are not built yet was meant for those before them."""
    speed: float = 1.0

    def count(self, step: int, stage: int, index: int, rng: random.Random) -> None:
        """Add a microbatch's gradient, once."""
        if index not in self.counted:
            self.counted.add(index)
            self.accumulated += gradient(step, stage, index)
            self.accumulated[NOISE] += rng.randint(1, 1000)

    def discard(self) -> None:
        """Forget what was accumulated."""
        self.accumulated[:] = 0
        self.counted.clear()

    def apply(self, average: Vector) -> None:
        """Update the parameters."""
        self.parameters = self.parameters + average
        self.commit += 1
        self.discard()

    def state(self) -> Vector:
        """Parameters and commit as one vector."""
        return np.append(self.parameters, np.float32(self.commit)).astype(np.float32)

    def load(self, state: Vector) -> None:
        """Take over another one's state."""
        self.discard()
        self.parameters, self.commit = state[:-1].copy(), int(state[-1])


class ExactModel:
    """Knows what every replica must hold after every commit.

    Args:
        microbatches: of a step.
    """

    def __init__(self, microbatches: int) -> None:
        self._microbatches = microbatches
        self._bits: dict[tuple[int, int, int], bytes] = {}
        """(Stage, era that made it, commit) -> the parameters that the first replica held."""
        self._totals: dict[int, list[Vector]] = {}
        """Stage -> expected parameters of the commits so far."""

    def right(self, stage: int, commit: int, parameters: Vector, returns: Returns = ()) -> bool:
        """Whether these are the parameters of an undisturbed run, and those that all others hold."""
        wanted = self.expected(stage, commit)
        wanted[NOISE] = parameters[NOISE]
        bits = self._bits.setdefault((stage, origin(returns, commit), commit), parameters.tobytes())
        return np.array_equal(parameters, wanted) and bits == parameters.tobytes()

    def expected(self, stage: int, commit: int) -> Vector:
        """The parameters of an undisturbed run, but for the noise."""
        totals = self._totals.setdefault(stage, [np.zeros(LENGTH, np.float32)])
        while len(totals) <= commit:
            step = len(totals) - 1
            totals.append(totals[-1] + sum(gradient(step, stage, index) for index in range(self._microbatches)))
        return totals[commit].copy()
