"""The corpus as `actors` see it: microbatch index -> tokens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from actors.steps.config import TrainConfig
from actors.tokens import Int32
from orchestrator.data.config import DataConfig
from orchestrator.data.digest import digest
from orchestrator.data.errors import DataError
from orchestrator.data.permutation import Permutation
from orchestrator.data.tokenised import Tokenised, open_tokenised
from orchestrator.data.tokenizer import Tokenizer
from orchestrator.data.windows import Windows, plan_windows


@dataclass(frozen=True)
class DataDescription:
    """What a launcher and a report say about the data."""

    fingerprint: str
    """What two participants must agree on to make the same samples of the same (step, index)."""
    vocab_size: int
    """One more than the largest id; the model's vocabulary."""
    tokens: int
    """Tokens of the corpus, separators included."""
    train_windows: int
    """Samples of one epoch."""
    validation_windows: int
    """Samples held out."""
    documents: int
    """Documents of the corpus."""
    bytes: int
    """Bytes of their text."""


class CorpusTokens:
    """Implements `actors.tokens.TokenSource`.

    Sample n of a run, n = (step * microbatches + index) * B + b, is window number `permutation(n mod N)` of the N
    training windows, under a permutation keyed by seed and epoch n // N. So an epoch has every window once, and what a
    sample is depends on the corpus and the run's config only: not on the process, nor on what was asked before.
    """

    def __init__(self, corpus: Tokenised, windows: Windows, train: TrainConfig, description: DataDescription) -> None:
        self._corpus = corpus
        self._windows = windows
        self._train = train
        self.description = description

    @property
    def fingerprint(self) -> str:
        """Hash of corpus, tokenizer and split; the caller compares it with the run's (`data.fingerprint`)."""
        return self.description.fingerprint

    @property
    def tokenizer(self) -> Tokenizer:
        """What made the tokens."""
        return self._corpus.tokenizer

    def microbatch(self, step: int, index: int) -> Int32:
        """Return token ids of shape [B, T + 1] for training microbatch `index` of `step`, both counted from 0."""
        assert step >= 0, step
        assert 0 <= index < self._train.microbatches, (index, self._train.microbatches)
        first = (step * self._train.microbatches + index) * self._train.microbatch_size
        return self._samples("train", first, self._windows.train, self._windows.train_start)

    def validation(self, index: int) -> Int32:
        """Return token ids of shape [B, T + 1] for held-out microbatch `index`, counted from 0.

        The order is the same in every validation; past the last held-out window it starts again. Raises DataError when
        `data.holdout` is 0.
        """
        assert index >= 0, index
        if not self._windows.validation:
            raise DataError("data.holdout is 0, so there is nothing to validate on; set it above 0.")
        wrapped = index * self._train.microbatch_size % self._windows.validation
        return self._samples("validate", wrapped, self._windows.validation, self._windows.validation_start)

    def _samples(self, purpose: str, first: int, windows: int, start: Callable[[int], int]) -> Int32:
        """Gather samples `first` .. `first` + B - 1 of an endless series of permuted passes over `windows`."""
        out = np.empty((self._train.microbatch_size, self._train.sequence + 1), dtype=np.int32)
        for row, sample in zip(out, range(first, first + len(out)), strict=True):
            epoch, position = divmod(sample, windows)
            permuted = self._order(purpose, epoch, windows)(position)
            at = start(permuted)
            row[:] = self._corpus.ids[at : at + len(row)]
        return out

    def _order(self, purpose: str, epoch: int, windows: int) -> Permutation:
        return Permutation(windows, f"{purpose} {self._train.seed} {epoch if purpose == 'train' else 0}")


@dataclass(frozen=True)
class OpenTokens:
    """Implements `actors.tokens.TokenSourceOpener`; picklable."""

    data: DataConfig
    train: TrainConfig

    def __call__(self) -> CorpusTokens:
        """Open the corpus in this process, tokenising it when no process of this machine has. Raises DataError."""
        if self.train.validate_every and not self.data.holdout:
            raise DataError(
                f"data.holdout is 0, but train.validate_every is {self.train.validate_every}: set data.holdout above 0 "
                "or train.validate_every to 0."
            )
        corpus = open_tokenised(self.data)
        windows = plan_windows(corpus.record.tokens, self.train.sequence, self.data.holdout, self.data.source)
        return CorpusTokens(corpus, windows, self.train, _description(corpus, windows, self.data))


def describe(data: DataConfig, train: TrainConfig) -> DataDescription:
    """Open the corpus and say what is in it. Raises DataError."""
    return OpenTokens(data, train)().description


def _description(corpus: Tokenised, windows: Windows, data: DataConfig) -> DataDescription:
    record = corpus.record
    return DataDescription(
        fingerprint=digest(record.fingerprint, f"{windows.sequence} {float(data.holdout)!r}"),
        vocab_size=record.vocab_size,
        tokens=record.tokens,
        train_windows=windows.train,
        validation_windows=windows.validation,
        documents=record.documents,
        bytes=record.bytes,
    )
