"""How the layers are cut into pipeline stages. Pure arithmetic, no torch.

Two things are to be balanced. Parameters decide what a participant must hold (weights, gradients, optimizer moments)
and how much of the model it may ever hold, so the largest stage by parameters is minimised first. Compute decides the
pace of the pipeline; there the embedding is a look-up that costs nothing, while the head is a matrix product. So among
the cuts whose largest stage is minimal, the one with the smallest sum of squares of per-stage compute is taken.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

from sharding.config import ModelConfig
from sharding.presets import block_parameters, check_model, embedding_parameters, head_parameters, parameter_count


@dataclass(frozen=True)
class StageSpec:
    """One stage: blocks first_layer .. last_layer - 1, and the embedding or head where it is at an end."""

    index: int
    """0-based number of the stage in the pipeline."""
    stages: int
    """Number of stages of the pipeline."""
    first_layer: int
    """First block of the stage."""
    last_layer: int
    """One past the last block of the stage."""
    embedding: bool
    """Whether the stage turns token ids into activations."""
    head: bool
    """Whether the stage ends in the final norm, the head and the loss."""

    @property
    def layers(self) -> range:
        """Global numbers of the stage's blocks."""
        return range(self.first_layer, self.last_layer)


def whole_stage(model: ModelConfig) -> StageSpec:
    """Return the one stage that covers everything: what a single process trains as the reference."""
    return StageSpec(0, 1, 0, model.layers, True, True)


def no_stage(stages: int) -> StageSpec:
    """Return what somebody serves who has not been given a stage yet: nothing."""
    return StageSpec(-1, stages, 0, 0, False, False)


def partition(model: ModelConfig, stages: int) -> tuple[StageSpec, ...]:
    """Cut the model into `stages` contiguous stages of at least one block each (see the file's docstring).

    Raises ValueError when there are fewer blocks than stages, or `check_model` refuses the model.
    """
    check_model(model)
    if not 1 <= stages <= model.layers:
        raise ValueError(
            f"layout.stages = {stages}, but a model of {model.layers} layers can be cut into 1 to {model.layers} "
            "stages; choose fewer stages or more layers."
        )

    def spec(index: int, first: int, last: int) -> StageSpec:
        return StageSpec(index, stages, first, last, index == 0, index == stages - 1)

    def parameters(index: int, first: int, last: int) -> int:
        return _parameters(model, spec(index, first, last))

    def imbalance(index: int, first: int, last: int) -> int:
        return _compute(model, spec(index, first, last)) ** 2 if parameters(index, first, last) <= largest else huge

    largest, _ = _best_cut(model.layers, stages, parameters, max)
    huge = (2 * parameter_count(model)) ** 2 * stages
    _, cut = _best_cut(model.layers, stages, imbalance, int.__add__)
    return tuple(spec(index, first, last) for index, (first, last) in enumerate(pairwise(cut)))


def stage_parameters(model: ModelConfig, spec: StageSpec) -> int:
    """Return the number of parameters of one stage. Raises ValueError when `check_model` refuses the model."""
    check_model(model)
    return _parameters(model, spec)


def share(model: ModelConfig, spec: StageSpec) -> float:
    """Return the stage's part of the model's parameters, between 0 and 1."""
    return stage_parameters(model, spec) / parameter_count(model)


def _parameters(model: ModelConfig, spec: StageSpec) -> int:
    return spec.embedding * embedding_parameters(model) + _compute(model, spec)


def _compute(model: ModelConfig, spec: StageSpec) -> int:
    """Parameters that take part in a matrix product for each token; a token costs about 6 operations for each."""
    return len(spec.layers) * block_parameters(model) + spec.head * head_parameters(model)


def _best_cut(
    layers: int, stages: int, cost: Callable[[int, int, int], int], join: Callable[[int, int], int]
) -> tuple[int, tuple[int, ...]]:
    """Return (least joined cost, cut points 0 .. layers) over all contiguous cuts; dynamic programming, O(S L^2)."""

    @cache
    def best(index: int, first: int) -> tuple[int, tuple[int, ...]]:
        if index == stages - 1:
            return cost(index, first, layers), (first, layers)
        options = []
        for last in range(first + 1, layers - (stages - index - 1) + 1):
            rest, points = best(index + 1, last)
            options.append((join(cost(index, first, last), rest), (first, *points)))
        return min(options)

    return best(0, 0)
