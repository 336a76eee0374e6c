"""Microbatch index -> tokens, as a pure function of the run's config."""

from __future__ import annotations

import dataclasses
import pickle
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actors.steps.config import TrainConfig
from actors.tokens import TokenSource, TokenSourceOpener
from orchestrator.data import tokenised
from orchestrator.data.config import DataConfig
from orchestrator.data.errors import DataError
from orchestrator.data.source import CorpusTokens, OpenTokens, describe

TRAIN = TrainConfig(microbatches=4, microbatch_size=3, sequence=16, seed=5)
PRINT = (
    "import sys, pickle, hashlib\n"
    "source = pickle.load(open(sys.argv[1], 'rb'))()\n"
    "batches = [source.microbatch(s, i) for s in (0, 9, 500) for i in (3, 1)] + [source.validation(7)]\n"
    "print(source.fingerprint, hashlib.sha256(b''.join(b.tobytes() for b in batches)).hexdigest())\n"
)


@pytest.fixture
def numbered(tmp_path: Path) -> DataConfig:
    """A corpus of numbered lines, in which no two windows are alike."""
    path = tmp_path / "numbered.txt"
    path.write_text("".join(f"{number:07d}\n" for number in range(1500)))
    return DataConfig(source=str(path), cache=str(tmp_path / "cache"), holdout=0.1)


def opened(data: DataConfig, train: TrainConfig = TRAIN) -> CorpusTokens:
    source: TokenSource = OpenTokens(data, train)()
    assert isinstance(source, CorpusTokens)
    return source


def epoch(source: CorpusTokens, number: int, train: TrainConfig = TRAIN) -> list[bytes]:
    """Return the samples of one epoch in the order of training."""
    windows = source.description.train_windows
    samples = []
    for sample in range(number * windows, (number + 1) * windows):
        microbatch, row = divmod(sample, train.microbatch_size)
        samples.append(source.microbatch(*divmod(microbatch, train.microbatches))[row].tobytes())
    return samples


def test_shape_and_type(config: DataConfig) -> None:
    source = opened(config)
    for batch in (source.microbatch(0, 0), source.validation(0)):
        assert batch.shape == (3, 17)
        assert batch.dtype == np.int32
        assert batch.flags.writeable


def test_an_epoch_has_every_training_window_once(numbered: DataConfig) -> None:
    source = opened(numbered)
    stream = np.frombuffer(Path(numbered.source).read_bytes() + b"\0", np.uint8).astype(np.int32)
    first, second = epoch(source, 0), epoch(source, 1)
    assert len(set(first)) == len(first) == source.description.train_windows
    assert set(first) == set(second)
    assert first != second
    held = {source.validation(index)[row].tobytes() for index in range(60) for row in range(3)}
    assert len(held) == source.description.validation_windows
    assert not held & set(first)
    every = {stream[start : start + 17].tobytes(): start for start in range(len(stream) - 16)}
    targets = Counter(start + offset for sample in first for start in [every[sample]] for offset in range(1, 17))
    assert set(targets.values()) == {1}
    touched = {every[sample] + offset for sample in first for offset in range(17)}
    assert not touched & {every[sample] + offset for sample in held for offset in range(17)}


def test_it_is_the_same_in_every_process(config: DataConfig, tmp_path: Path) -> None:
    opener: TokenSourceOpener = OpenTokens(dataclasses.replace(config, tokenizer="bpe", vocab_size=300), TRAIN)
    (tmp_path / "opener").write_bytes(pickle.dumps(opener))
    prints = set()
    for seed, cache in [("1", ""), ("2", ""), ("3", str(tmp_path / "fresh"))]:
        if cache:
            moved = dataclasses.replace(opener, data=dataclasses.replace(opener.data, cache=cache))  # type: ignore
            (tmp_path / "opener").write_bytes(pickle.dumps(moved))
        done = subprocess.run(
            [sys.executable, "-c", PRINT, str(tmp_path / "opener")],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": "."}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        prints.add(done.stdout)
    assert len(prints) == 1


def test_asking_out_of_order_changes_nothing(config: DataConfig) -> None:
    source, other = opened(config), opened(config)
    places = [(step, index) for step in range(40) for index in range(4)]
    forward = {place: source.microbatch(*place) for place in places}
    for place in reversed(places):
        assert np.array_equal(other.microbatch(*place), forward[place])


def test_the_number_of_microbatches_only_regroups_the_samples(config: DataConfig) -> None:
    wide = opened(config, dataclasses.replace(TRAIN, microbatches=2, microbatch_size=6))
    assert np.array_equal(
        wide.microbatch(3, 1), np.concatenate([opened(config).microbatch(3, 2), opened(config).microbatch(3, 3)])
    )


def test_a_seed_changes_the_order_and_not_the_split(numbered: DataConfig) -> None:
    source, other = opened(numbered), opened(numbered, dataclasses.replace(TRAIN, seed=6))
    assert source.fingerprint == other.fingerprint
    assert not np.array_equal(source.microbatch(0, 0), other.microbatch(0, 0))
    assert set(epoch(source, 0)) == set(epoch(other, 0))


def test_validation_wraps_around_in_the_same_order(numbered: DataConfig) -> None:
    source = opened(numbered, dataclasses.replace(TRAIN, microbatch_size=5))
    windows = source.description.validation_windows
    assert windows % 5, "a microbatch has to straddle the end"
    rows = np.concatenate([source.validation(index) for index in range(windows)])
    assert len(rows) > 2 * windows
    assert np.array_equal(rows[:windows], rows[windows : 2 * windows])


def test_a_batch_larger_than_the_corpus_has_several_epochs(tmp_path: Path) -> None:
    (tmp_path / "short.txt").write_text("".join(map(chr, range(33, 33 + 12))))
    data = DataConfig(source=str(tmp_path / "short.txt"), cache=str(tmp_path / "cache"))
    source = opened(data, TrainConfig(microbatches=1, microbatch_size=8, sequence=4))
    assert (source.description.train_windows, source.description.validation_windows) == (1, 1)
    assert source.microbatch(0, 0).shape == (8, 5)
    assert len({row.tobytes() for row in source.microbatch(0, 0)}) == 1


def test_the_description(config: DataConfig) -> None:
    found = describe(config, TRAIN)
    assert found.fingerprint == opened(config).fingerprint
    assert (found.vocab_size, found.documents) == (256, 1)
    assert found.tokens == found.bytes + 1 == Path(config.source).stat().st_size + 1
    assert 0 < found.validation_windows < found.train_windows < found.tokens / 16
    assert len(found.fingerprint) == 32


def test_the_fingerprint_follows_the_split_and_not_the_paths(config: DataConfig, tmp_path: Path) -> None:
    fingerprint = describe(config, TRAIN).fingerprint
    copy = tmp_path / "copy.md"
    copy.write_bytes(Path(config.source).read_bytes())
    moved = dataclasses.replace(config, source=str(copy), cache=str(tmp_path / "other"), fingerprint="another")
    assert describe(moved, TRAIN).fingerprint == fingerprint
    assert describe(dataclasses.replace(config, holdout=0.1), TRAIN).fingerprint != fingerprint
    assert describe(config, dataclasses.replace(TRAIN, sequence=32)).fingerprint != fingerprint


def test_another_fingerprint_than_the_run_s_is_for_the_participant_to_judge(config: DataConfig) -> None:
    source = opened(dataclasses.replace(config, fingerprint="0" * 32))
    assert source.fingerprint == opened(config).fingerprint


def test_validating_without_a_holdout_is_refused(config: DataConfig) -> None:
    config = dataclasses.replace(config, holdout=0.0)
    with pytest.raises(DataError, match=r"data\.holdout is 0, but train\.validate_every is 25: set data\.holdout"):
        opened(config)
    source = opened(config, dataclasses.replace(TRAIN, validate_every=0))
    assert source.description.validation_windows == 0
    assert source.microbatch(0, 0).shape == (3, 17)
    with pytest.raises(DataError, match=r"data\.holdout is 0, so there is nothing to validate on"):
        source.validation(0)


def test_a_corpus_shorter_than_a_window_is_refused(config: DataConfig) -> None:
    with pytest.raises(DataError, match=r"corpus\.txt' has \d+ tokens, too few for a window .*smaller train\.sequence"):
        opened(config, dataclasses.replace(TRAIN, sequence=10_000))


@pytest.mark.parametrize("place", [(-1, 0), (0, -1), (0, 4)])
def test_a_microbatch_outside_the_step_is_a_bug(config: DataConfig, place: tuple[int, int]) -> None:
    with pytest.raises(AssertionError):
        opened(config).microbatch(*place)


def test_the_default_corpus_is_built_once_and_then_read_from_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, train = DataConfig(cache=str(tmp_path)), TrainConfig()
    first = OpenTokens(data, train)()
    files = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir() if path.suffix != ".lock"}
    assert files
    monkeypatch.setattr(tokenised, "_build", lambda *arguments: pytest.fail("it is built again"))
    second = OpenTokens(data, train)()
    assert np.array_equal(first.microbatch(3, 1), second.microbatch(3, 1))
    assert isinstance(second._corpus.ids.base, np.memmap), "mapped, and not read as a whole"
    assert {path: path.stat().st_mtime_ns for path in files} == files


class Watched:
    """Ids that note which of them are read."""

    def __init__(self, ids: np.ndarray[Any, Any]) -> None:
        self._ids = ids
        self.read: list[slice] = []

    def __getitem__(self, place: slice) -> np.ndarray[Any, Any]:
        self.read.append(place)
        part: np.ndarray[Any, Any] = self._ids[place]
        return part


def test_a_microbatch_reads_its_own_windows_and_nothing_else(config: DataConfig) -> None:
    source = opened(config)
    watched = Watched(source._corpus.ids)
    source._corpus = dataclasses.replace(source._corpus, ids=watched)  # type: ignore[arg-type]
    for read in (lambda: source.microbatch(7, 2), lambda: source.validation(1)):
        batch = read()
        reads, watched.read = watched.read, []
        assert [place.stop - place.start for place in reads] == [17, 17, 17]
        for row, place in zip(batch, reads, strict=True):
            assert np.array_equal(row, watched._ids[place])
