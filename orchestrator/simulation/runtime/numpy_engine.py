"""A stage of the small NumPy model behind the calls of `sharding.engine.StageEngine`. torch only for checkpoints."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from actors.spec import ParticipantSpec
from orchestrator.simulation.runtime.numpy_model import (
    Pass,
    Values,
    backward,
    cross_entropy,
    flatten,
    forward,
    initial_values,
    parameter_shapes,
    sgd,
)

if TYPE_CHECKING:
    from sharding.named import Box, StateSlice

Array = npt.NDArray[Any]
Key = tuple[int, int]
ROUNDING = 1e-7
"""Relative size of the differences between two computations of one gradient, as between unlike devices."""


class NumpyEngine:
    """One stage with SGD and momentum; computes in float32.

    Args:
        spec: the participant; its stage is what is built.
        seed: of the differences that rounding makes, so that equal bits are no accident.
    """

    def __init__(self, spec: ParticipantSpec, seed: int) -> None:
        self.spec, self.stage = spec, spec.stage
        self._rng = np.random.default_rng(seed)
        self._values: Values = initial_values(spec.model, spec.stage, spec.train.seed)
        self._momenta: Values = {name: np.zeros_like(value) for name, value in self._values.items()}
        self._names = list(self._values)
        self._stash: dict[Key, Pass] = {}
        self.commit = 0
        """Number of the parameters held, as far as updates and loaded states told."""
        self.discard()

    # One microbatch

    def forward(self, key: Key, x: Array, keep: bool) -> tuple[Array, ...]:
        """The stage's output, [B, T, D]; `keep` stashes it for `backward`."""
        done = forward(self._values, self.stage, x)
        if keep:
            self._stash[key] = done
        return (done.hidden[-1].astype(np.float32),)

    def backward(self, key: Key, g_BTD: Array) -> tuple[Array, ...]:
        """The input's gradient, none on stage 0. Counts a key once in a step."""
        gradients, g_in = backward(self._values, self.stage, self._stash.pop(key), g_BTD)
        return self._count(key, gradients, g_in)

    def loss(self, key: Key, x: Array, labels_BT: Array, weight: float) -> tuple[float, tuple[Array, ...]]:
        """Last stage: mean loss, and the input's gradient of `weight` times it. Counts a key once in a step."""
        done = forward(self._values, self.stage, x)
        loss, g_head, g_BTD = cross_entropy(self._values, done.hidden[-1], labels_BT)
        gradients, g_in = backward(self._values, self.stage, done, g_BTD * weight)
        return loss, self._count(key, {**gradients, "head": g_head * weight}, g_in)

    def evaluate(self, x: Array, labels_BT: Array) -> float:
        """Last stage: mean loss; nothing is kept."""
        done = forward(self._values, self.stage, x)
        return cross_entropy(self._values, done.hidden[-1], labels_BT)[0]

    def _count(self, key: Key, gradients: Values, g_in: Array) -> tuple[Array, ...]:
        if key not in self.counted:
            self.counted.add(key)
            flat = flatten(gradients, self._names)
            noise = self._rng.normal(size=flat.shape).astype(np.float32) * np.float32(ROUNDING)
            self._accumulated += flat * (1 + noise)
        return () if self.stage.embedding else (g_in.astype(np.float32),)

    # One step

    def export_gradient(self) -> Array:
        """The accumulated gradient, a copy."""
        return self._accumulated.copy()

    def discard(self) -> None:
        """Forget stashes and accumulated gradients."""
        self._stash.clear()
        self.counted: set[Key] = set()
        self._accumulated = np.zeros(self.parameters_count, np.float32)

    def apply(self, average: Array, clip_factor: float, step: int) -> None:
        """Update the parameters."""
        spec = self.spec
        clipped = self._split(average.astype(np.float32) * np.float32(clip_factor))
        sgd(self._values, self._momenta, clipped, spec.optimizer, step, spec.train.steps)
        self.commit = step + 1
        self.discard()

    # Its state

    @property
    def parameters_count(self) -> int:
        """Elements of the gradient."""
        return sum(value.size for value in self._values.values())

    @property
    def state_length(self) -> int:
        """Elements of the state: parameters, momenta, and the number of the commit."""
        return 2 * self.parameters_count + 1

    def export_state(self) -> Array:
        """The state as one vector, float32."""
        names = self._names
        return np.concatenate([flatten(self._values, names), flatten(self._momenta, names), [np.float32(self.commit)]])

    def load_state(self, flat: Array) -> None:
        """Take over a state."""
        self.discard()
        count = self.parameters_count
        if flat.shape != (self.state_length,):
            raise ValueError(f"a state of {flat.shape} elements, and not of {self.state_length}")
        self._values, self._momenta = self._split(flat[:count]), self._split(flat[count : 2 * count])
        self.commit = int(flat[-1])

    def _split(self, flat: Array) -> Values:
        values: Values = {}
        place = 0
        for name, shape in parameter_shapes(self.spec.model, self.stage).items():
            size = shape[0] * shape[1]
            values[name] = flat[place : place + size].reshape(shape).astype(np.float32)
            place += size
        return values

    def values(self) -> Values:
        """The parameters by name."""
        return dict(self._values)

    def parameter_hash(self) -> str:
        """Hash of all parameters."""
        return hashlib.blake2b(flatten(self._values, self._names).tobytes(), digest_size=16).hexdigest()

    # Its state by name, for checkpoints

    def state_inventory(self) -> tuple[StateSlice, ...]:
        """What `named_state` yields, in its order; without values."""
        return tuple(box for box, _ in self._named())

    def named_state(self, names: Collection[str] | None = None) -> Iterator[tuple[StateSlice, Any]]:
        """Yield the state's tensors one at a time."""
        import torch

        for box, value in self._named():
            if names is None or box.name in names:
                yield box, torch.from_numpy(np.array(value, np.float32))

    def _named(self) -> Iterator[tuple[StateSlice, Array]]:
        from sharding.named import StateSlice

        for name, value in self._values.items():
            shape = value.shape
            yield StateSlice(f"model.{name}", "float32", shape, (0, 0), shape), value
            yield StateSlice(f"optimizer.momentum.{name}", "float32", shape, (0, 0), shape), self._momenta[name]
            yield StateSlice(f"optimizer.step.{name}", "float32", (), (), ()), np.array(self.commit)

    def load_named_state(self, tensors: Iterable[tuple[Box, Any]] | None) -> None:
        """Take over a state from any cut. Raises ValueError when tensors are missing."""
        self.discard()
        given = {box.name: np.asarray(values.numpy(), np.float32) for box, values in tensors or ()}
        if missing := {box.name for box in self.state_inventory()} - given.keys():
            raise ValueError(f"the state lacks {sorted(missing)[0]}")
        self._values = {name: given[f"model.{name}"] for name in self._names}
        self._momenta = {name: given[f"optimizer.momentum.{name}"] for name in self._names}
        self.commit = int(given[f"optimizer.step.{self._names[0]}"])
