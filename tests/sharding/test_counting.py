"""What an engine counts: each microbatch once, by its weight, until the step is over."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from sharding.config import ModelConfig, OptimizerConfig
from sharding.engine import StageEngine
from sharding.loss import mean_cross_entropy
from sharding.partition import partition
from tests.sharding.engines import TINY, build_engine, parameters, tokens

pytestmark = pytest.mark.usefixtures("one_rank")
TWO = ModelConfig(vocab_size=4, width=4, layers=2, heads=2, kv_heads=1, ffn=3)
SGD = OptimizerConfig(name="sgd", lr=0.1, clip=0.0, schedule="constant", warmup_steps=0)
X, LABELS = tokens([0, 1, 2], [3, 2, 1]), tokens([1, 2, 3], [2, 1, 0])
OTHER = tokens([3, 3, 0], [1, 0, 2])


@pytest.fixture(scope="module")
def engine(one_rank: None) -> StageEngine:
    """The whole of a model in one stage; tests leave nothing counted."""
    return build_engine(SGD)


@pytest.fixture(scope="module")
def pipeline(one_rank: None) -> tuple[StageEngine, StageEngine]:
    """The same in two stages."""
    first, second = (build_engine(SGD, model=TWO, stage=stage) for stage in partition(TWO, 2))
    return first, second


@pytest.fixture(autouse=True)
def clean(engine: StageEngine, pipeline: tuple[StageEngine, StageEngine]) -> None:
    """Nothing is counted yet."""
    for one in (engine, *pipeline):
        one.discard()


def gradient(engine: StageEngine, x: np.ndarray, weight: float = 1.0) -> np.ndarray:
    """What one microbatch alone gives."""
    engine.discard()
    engine.loss((0, 0), x, LABELS, weight)
    found = engine.export_gradient()
    engine.discard()
    return found


def test_the_loss_is_the_mean_over_all_tokens() -> None:
    # Two classes: at even odds the loss is ln 2 = 0.693147, at 3 to 1 for the label ln 4/3 = 0.287682, and against it
    # ln 4 = 1.386294. The mean of the four tokens is (0.693147 + 0.287682 + 1.386294 + 0.693147) / 4.
    logits = torch.tensor([[[0.0, 0.0], [math.log(3), 0.0]], [[math.log(3), 0.0], [5.0, 5.0]]])
    labels = torch.tensor([[0, 0], [1, 1]])
    assert mean_cross_entropy(logits, labels).item() == pytest.approx(0.765068, abs=1e-6)
    rounded = mean_cross_entropy(logits.to(torch.bfloat16), labels)
    assert rounded.dtype == torch.float32


def test_gradients_of_a_step_are_added(engine: StageEngine) -> None:
    one, two = gradient(engine, X), gradient(engine, OTHER)
    assert engine.export_gradient().any() == np.False_
    engine.loss((0, 0), X, LABELS, 1.0)
    engine.loss((0, 1), OTHER, LABELS, 1.0)
    assert np.array_equal(engine.export_gradient(), one + two)
    assert engine.counted == {(0, 0), (0, 1)}


def test_a_repeat_gives_the_same_answer_and_is_not_counted(engine: StageEngine) -> None:
    first = engine.loss((0, 0), X, LABELS, 1.0)
    once = engine.export_gradient()
    assert engine.loss((0, 0), X, LABELS, 1.0) == first
    assert np.array_equal(engine.export_gradient(), once)
    engine.loss((1, 0), X, LABELS, 1.0)
    assert np.array_equal(engine.export_gradient(), once + once), "the same index of another step is another one"


def test_the_weight_is_on_the_gradient_and_not_on_the_loss(engine: StageEngine) -> None:
    whole = gradient(engine, X)
    assert np.array_equal(gradient(engine, X, 0.25), whole / 4)
    assert engine.loss((0, 0), X, LABELS, 0.25).loss == engine.loss((0, 1), X, LABELS, 1.0).loss


def test_evaluation_gives_the_loss_and_counts_nothing(engine: StageEngine) -> None:
    expected = gradient(engine, X)
    assert engine.evaluate(X, LABELS) == pytest.approx(engine.loss((0, 0), X, LABELS, 1.0).loss)
    engine.evaluate(OTHER, LABELS)
    assert engine.counted == {(0, 0)}
    assert np.array_equal(engine.export_gradient(), expected)


def test_an_exported_gradient_is_a_copy(engine: StageEngine) -> None:
    expected = gradient(engine, X)
    engine.loss((0, 0), X, LABELS, 1.0)
    engine.export_gradient()[:] = 7.0
    assert np.array_equal(engine.export_gradient(), expected)


def test_the_gradient_is_in_the_order_of_the_inventory(engine: StageEngine) -> None:
    found, at = gradient(engine, X), 0
    slices = {}
    for name, shape in engine.inventory().items():
        slices[name] = found[at : at + math.prod(shape)].reshape(shape)
        at += math.prod(shape)
    assert at == len(found) == engine.parameters_count
    assert next(iter(slices)) == "embedding.weight" and list(slices)[-1] == "head.weight"
    # Only tokens among the inputs have a gradient of their embedding; every class has one in the head.
    some = gradient(engine, tokens([1, 1, 3], [3, 1, 1]))[:16].reshape(4, 4)
    assert some.any(axis=1).tolist() == [False, True, False, True]
    assert slices["head.weight"].any(axis=1).all()
    assert np.abs(slices["head.weight"].sum(axis=0)).max() < 1e-6, "the classes' gradients add up to nothing"


def test_discarding_forgets_what_was_counted_and_what_waits(pipeline: tuple[StageEngine, StageEngine]) -> None:
    first, second = pipeline
    x = first.forward((0, 0), X, keep=True)
    waiting = second.loss((0, 0), x, LABELS, 1.0).gradient
    assert waiting is not None
    for one in pipeline:
        one.discard()
    assert not second.export_gradient().any() and second.counted == frozenset()
    with pytest.raises(KeyError):
        first.backward((0, 0), waiting)
    second.loss((0, 0), x, LABELS, 1.0)
    assert second.export_gradient().any(), "what was discarded can be counted again"


def test_an_update_ends_the_step(engine: StageEngine) -> None:
    engine.loss((0, 0), X, LABELS, 1.0)
    before = parameters(engine)
    engine.apply(np.zeros(engine.parameters_count, np.float32), 1.0, 0)
    assert engine.counted == frozenset() and not engine.export_gradient().any()
    after = parameters(engine)
    assert np.array_equal(after["norm.weight"], before["norm.weight"])


def test_a_forward_that_is_not_kept_leaves_nothing_to_go_back(pipeline: tuple[StageEngine, StageEngine]) -> None:
    first, second = pipeline
    kept = first.forward((0, 0), X, keep=True)
    plain = first.forward((0, 1), X, keep=False)
    assert np.array_equal(kept[0], plain[0])
    gradient = second.loss((0, 0), kept, LABELS, 1.0).gradient
    assert gradient is not None
    assert first.backward((0, 0), gradient) is None, "token ids have no gradient"
    with pytest.raises(KeyError):
        first.backward((0, 1), gradient)
    with pytest.raises(KeyError):
        first.backward((0, 0), gradient)


def test_both_stages_count_once_when_a_microbatch_comes_again(pipeline: tuple[StageEngine, StageEngine]) -> None:
    first, second = pipeline
    exported = []
    for _ in range(2):
        x = first.forward((0, 0), X, keep=True)
        gradient = second.loss((0, 0), x, LABELS, 1.0).gradient
        assert gradient is not None and gradient[0].shape == (2, 3, 4)
        first.backward((0, 0), gradient)
        exported.append([one.export_gradient() for one in pipeline])
    for once, twice in zip(*exported, strict=True):
        assert once.any() and np.array_equal(once, twice)


def test_token_ids_may_come_as_the_one_array_of_a_message(pipeline: tuple[StageEngine, StageEngine]) -> None:
    first, _ = pipeline
    plain, message = first.forward((0, 0), X, keep=False), first.forward((0, 0), (X,), keep=False)
    assert np.array_equal(plain[0], message[0])


def test_two_stages_give_the_gradient_of_the_whole(pipeline: tuple[StageEngine, StageEngine]) -> None:
    whole = build_engine(SGD, model=TWO)
    whole.loss((0, 0), X, LABELS, 1.0)
    first, second = pipeline
    gradient = second.loss((0, 0), first.forward((0, 0), X, keep=True), LABELS, 1.0).gradient
    assert gradient is not None
    first.backward((0, 0), gradient)
    together = np.concatenate([first.export_gradient(), second.export_gradient()])
    assert together == pytest.approx(whole.export_gradient(), abs=1e-6)


def test_recomputation_changes_no_gradient() -> None:
    plain, again = (build_engine(SGD, model=dataclasses.replace(TINY, recompute=flag)) for flag in (False, True))
    assert np.array_equal(gradient(again, X), gradient(plain, X))
