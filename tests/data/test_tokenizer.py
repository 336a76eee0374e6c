"""Bytes, a trained vocabulary, and a vocabulary from a file."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.data import bpe
from orchestrator.data.bpe import train_bpe
from orchestrator.data.errors import DataError
from orchestrator.data.tokenizer import ByteTokenizer, SubwordTokenizer, restore
from tests.data.conftest import TEXT

TRAIN = "from tests.data.test_tokenizer import *; print(trained().fingerprint)"


def trained(vocab_size: int = 300) -> SubwordTokenizer:
    return train_bpe([line.encode() for line in TEXT.splitlines(keepends=True)], vocab_size)


@settings(deadline=None)
@given(st.text())
def test_bytes_round_trip(text: str) -> None:
    tokenizer = ByteTokenizer()
    ids = tokenizer.encode(text.encode())
    assert ids.shape == (len(text.encode()),)
    assert tokenizer.decode(ids) == text


def test_bytes_take_what_is_no_text() -> None:
    tokenizer = ByteTokenizer()
    ids = tokenizer.encode(bytes(range(256)))
    assert ids.tolist() == list(range(256))
    assert "�" in tokenizer.decode(ids)


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_bpe_round_trips_what_it_never_saw(text: str) -> None:
    tokenizer = SHARED
    assert tokenizer.decode(tokenizer.encode(text.encode())) == text


def test_bpe_reads_invalid_text_as_replacement_characters() -> None:
    assert SHARED.decode(SHARED.encode(b"ab\xffcd")) == "ab�cd"


def test_bpe_shortens_text_and_uses_its_vocabulary() -> None:
    ids = SHARED.encode(TEXT.encode())
    assert SHARED.vocab_size == 300
    assert ids.max() < 300
    assert len(ids) < len(TEXT.encode()) / 2


def test_a_small_corpus_gives_a_smaller_vocabulary() -> None:
    tokenizer = train_bpe([b"aa"], 5000)
    assert tokenizer.vocab_size < 300


def test_a_written_out_separator_is_text() -> None:
    ids = SHARED.encode(b"<|endoftext|>")
    assert SHARED.separator == 0
    assert 0 not in ids
    assert SHARED.decode(ids) == "<|endoftext|>"


def test_training_is_the_same_in_every_process() -> None:
    prints = set()
    for seed, threads in [("1", "true"), ("2", "false")]:
        environment = {"PYTHONHASHSEED": seed, "TOKENIZERS_PARALLELISM": threads, "PYTHONPATH": "."}
        done = subprocess.run(
            [sys.executable, "-c", TRAIN], env=environment, capture_output=True, text=True, check=True
        )
        prints.add(done.stdout.strip())
    assert prints == {SHARED.fingerprint}


def test_other_documents_and_sizes_give_other_fingerprints() -> None:
    assert len({SHARED.fingerprint, trained(301).fingerprint, train_bpe([b"abc"], 300).fingerprint}) == 3


def test_training_stops_reading_at_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bpe, "SAMPLE", 10)
    read = []

    def documents() -> object:
        for number in range(100):
            read.append(number)
            yield b"12345"

    train_bpe(documents(), 257)  # type: ignore[arg-type]
    assert len(read) <= 3


@pytest.mark.parametrize("size", [0, 256])
def test_too_small_a_vocabulary_is_refused(size: int) -> None:
    with pytest.raises(DataError, match=rf"data\.vocab_size {size} is too small.*at least 257"):
        trained(size)


@pytest.mark.parametrize("text", ["", "no json", "{}", '{"model": {"type": "Unheard"}}'])
def test_what_is_no_tokenizer_json_is_refused(text: str) -> None:
    with pytest.raises(DataError, match=r"'mine' is no tokenizer\.json"):
        SubwordTokenizer(text, "mine")


def test_dump_and_restore() -> None:
    assert isinstance(restore(ByteTokenizer().dump()), ByteTokenizer)
    again = restore(SHARED.dump())
    assert again.fingerprint == SHARED.fingerprint
    assert np.array_equal(again.encode(TEXT.encode()), SHARED.encode(TEXT.encode()))


def test_truncation_and_gaps_in_a_file_are_seen_to() -> None:
    definition = json.loads(SHARED.dump())
    definition["truncation"] = {"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0}
    token = next(name for name, number in definition["model"]["vocab"].items() if number == 256)
    definition["model"]["merges"] = []
    definition["model"]["vocab"] = {
        name: number if number <= 256 else 900 for name, number in definition["model"]["vocab"].items() if number < 258
    }
    tokenizer = SubwordTokenizer(json.dumps(definition), "mine")
    assert tokenizer.vocab_size == 901, token
    assert len(tokenizer.encode(b"abcdefgh")) == 8


SHARED = trained()
