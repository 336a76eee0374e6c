"""A small residual network in NumPy, cut into the stages of a run, and the same training in one process.

Layer l computes `h + tanh(h W_l)`; token embedding before, linear head and mean cross-entropy after. It has what the
step protocol needs of a model: activations, gradients, an optimizer with state, and values that do not depend on the
cut. The reference trains it whole, in float64, without stages, replicas or messages.

Legend: B batch, T tokens, D width, V vocabulary.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from actors.spec import ParticipantSpec
from actors.tokens import TokenSource
from sharding.config import ModelConfig, OptimizerConfig
from sharding.partition import StageSpec, whole_stage
from sharding.schedule import learning_rate

Array = npt.NDArray[Any]
Values = dict[str, Array]


def parameter_shapes(model: ModelConfig, stage: StageSpec) -> dict[str, tuple[int, int]]:
    """Name -> shape of a stage's parameters, in the order of the flat vector."""
    shapes: dict[str, tuple[int, int]] = {}
    if stage.embedding:
        shapes["embed"] = (model.vocab_size, model.width)
    shapes |= {f"layers.{layer}": (model.width, model.width) for layer in stage.layers}
    if stage.head:
        shapes["head"] = (model.width, model.vocab_size)
    return shapes


def initial_values(model: ModelConfig, stage: StageSpec, seed: int) -> Values:
    """The values of commit 0; those of a parameter are the same in every cut."""
    values: Values = {}
    for name, shape in parameter_shapes(model, stage).items():
        key = hashlib.blake2b(f"{seed} {name}".encode(), digest_size=8).digest()
        rng = np.random.default_rng(int.from_bytes(key, "big"))
        values[name] = (rng.normal(size=shape) * 0.5).astype(np.float32)
    return values


@dataclass
class Pass:
    """What a forward pass of one stage leaves for its backward pass."""

    inputs: Array
    """Token ids [B, T] or activations [B, T, D] that came in."""
    hidden: list[Array]
    """Input [B, T, D] of every layer, and the output of the last one."""
    slopes: list[Array]
    """tanh(h W) of every layer, [B, T, D]."""


def forward(values: Mapping[str, Array], stage: StageSpec, inputs: Array) -> Pass:
    """Run a stage; its output is `hidden[-1]`, before the head."""
    h_BTD = values["embed"][inputs] if stage.embedding else inputs
    hidden, slopes = [h_BTD], []
    for layer in stage.layers:
        slope_BTD = np.tanh(h_BTD @ values[f"layers.{layer}"])
        h_BTD = h_BTD + slope_BTD
        hidden.append(h_BTD)
        slopes.append(slope_BTD)
    return Pass(inputs, hidden, slopes)


def backward(values: Mapping[str, Array], stage: StageSpec, done: Pass, g_BTD: Array) -> tuple[Values, Array]:
    """From the gradient of a stage's output: the gradients of its parameters, and of its input [B, T, D]."""
    gradients: Values = {}
    for place in reversed(range(len(stage.layers))):
        name = f"layers.{stage.layers[place]}"
        inner_BTD = g_BTD * (1 - done.slopes[place] ** 2)
        gradients[name] = np.einsum("btd,bte->de", done.hidden[place], inner_BTD)
        g_BTD = g_BTD + inner_BTD @ values[name].T
    if stage.embedding:
        gradients["embed"] = np.zeros_like(values["embed"])
        np.add.at(gradients["embed"], done.inputs, g_BTD)
    return gradients, g_BTD


def cross_entropy(values: Mapping[str, Array], h_BTD: Array, labels_BT: Array) -> tuple[float, Array, Array]:
    """Mean loss over all tokens, its gradient for the head, and for the head's input [B, T, D]."""
    logits_BTV = h_BTD @ values["head"]
    shifted = logits_BTV - logits_BTV.max(axis=-1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    rows, columns = np.indices(labels_BT.shape)
    loss = -float(log_p[rows, columns, labels_BT].mean())
    d_BTV = np.exp(log_p)
    d_BTV[rows, columns, labels_BT] -= 1
    d_BTV /= labels_BT.size
    return loss, np.einsum("btd,btv->dv", h_BTD, d_BTV), d_BTV @ values["head"].T


def sgd(
    values: Values, momenta: Values, gradients: Mapping[str, Array], config: OptimizerConfig, step: int, steps: int
) -> None:
    """One update in place (Sutskever et al. 2013, as in torch): m = momentum * m + g, p = p - lr * m."""
    rate = learning_rate(config, step, steps)
    for name, gradient in gradients.items():
        momenta[name] = (config.momentum * momenta[name] + gradient).astype(values[name].dtype)
        values[name] = (values[name] - rate * momenta[name]).astype(values[name].dtype)


@dataclass(frozen=True)
class Reference:
    """An undisturbed training in one process."""

    losses: list[float]
    """Of every step."""
    commits: list[Values]
    """Parameters of every commit; 0 are the initial ones."""
    norms: list[float]
    """Norm of every step's gradient, before clipping."""
    validation: list[float]
    """Mean loss of every commit over the held-out microbatches."""


def reference(spec: ParticipantSpec, tokens: TokenSource) -> Reference:
    """Train the whole model in float64. The participant's stage does not matter."""
    model, train, config = spec.model, spec.train, spec.optimizer
    stage = whole_stage(model)
    values = initial_values(model, stage, train.seed)
    values = {name: array.astype(np.float64) for name, array in values.items()}
    momenta: Values = {name: np.zeros_like(array) for name, array in values.items()}
    losses, commits, norms, validation = [], [dict(values)], [], [_held_out(values, spec, tokens)]
    for step in range(train.steps):
        total: Values = {name: np.zeros_like(array) for name, array in values.items()}
        loss_sum = 0.0
        for ids in (tokens.microbatch(step, index) for index in range(train.microbatches)):
            done = forward(values, stage, ids[:, :-1])
            loss, g_head, g_BTD = cross_entropy(values, done.hidden[-1], ids[:, 1:])
            gradients, _ = backward(values, stage, done, g_BTD)
            for name, gradient in (*gradients.items(), ("head", g_head)):
                total[name] += gradient / train.microbatches
            loss_sum += loss
        norm = float(np.sqrt(sum(float((gradient**2).sum()) for gradient in total.values())))
        factor = min(1.0, config.clip / norm) if config.clip else 1.0
        clipped = {name: gradient * factor for name, gradient in total.items()}
        sgd(values, momenta, clipped, config, step, train.steps)
        losses.append(loss_sum / train.microbatches)
        commits.append(dict(values))
        norms.append(norm)
        validation.append(_held_out(values, spec, tokens))
    return Reference(losses, commits, norms, validation)


def _held_out(values: Values, spec: ParticipantSpec, tokens: TokenSource) -> float:
    losses = []
    for index in range(spec.train.validation_microbatches):
        ids = tokens.validation(index)
        done = forward(values, whole_stage(spec.model), ids[:, :-1])
        losses.append(cross_entropy(values, done.hidden[-1], ids[:, 1:])[0])
    return float(np.mean(losses))


class CountingTokens:
    """Implements `TokenSource`: sequences that count upwards from a place that follows from (step, index).

    Args:
        spec: vocabulary, batch and sequence of the run; its fingerprint.
    """

    def __init__(self, spec: ParticipantSpec) -> None:
        self._vocabulary = spec.model.vocab_size
        self._shape = (spec.train.microbatch_size, spec.train.sequence + 1)
        self._fingerprint = spec.fingerprint

    @property
    def fingerprint(self) -> str:
        """Of the run's corpus."""
        return self._fingerprint

    def microbatch(self, step: int, index: int) -> npt.NDArray[np.int32]:
        """Token ids [B, T + 1] of a training microbatch."""
        return self._count(31 * step + 7 * index)

    def validation(self, index: int) -> npt.NDArray[np.int32]:
        """Token ids [B, T + 1] of a held-out microbatch."""
        return self._count(1000 + 13 * index)

    def _count(self, place: int) -> npt.NDArray[np.int32]:
        rows, columns = np.indices(self._shape)
        return ((place + 3 * rows + (1 + place % 3) * columns) % self._vocabulary).astype(np.int32)


def flatten(values: Mapping[str, Array], names: Iterator[str] | list[str]) -> npt.NDArray[np.float32]:
    """Values one after the other, float32."""
    return np.concatenate([values[name].ravel() for name in names]).astype(np.float32)
