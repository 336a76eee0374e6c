"""The tokenised corpus on disk: shared, whole, and built again when damaged."""

from __future__ import annotations

import dataclasses
import json
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import fsspec
import numpy as np
import pytest

from orchestrator.data import store, tokenised
from orchestrator.data.building import one_builder
from orchestrator.data.config import DataConfig
from orchestrator.data.errors import DataError
from orchestrator.data.tokenised import cache_folder, open_tokenised
from tests.data.conftest import TEXT

OPEN = (
    "import sys, logging; logging.basicConfig(level=logging.INFO, stream=sys.stdout)\n"
    "from orchestrator.data.tokenised import DataConfig, open_tokenised\n"
    "opened = open_tokenised(DataConfig(source=sys.argv[1], cache=sys.argv[2], tokenizer=sys.argv[3]))\n"
    "print('FOUND', opened.record.fingerprint, int(opened.ids.sum()))\n"
)


def only(config: DataConfig, end: str) -> Path:
    (path,) = Path(config.cache).glob(f"*.{end}")
    return path


def builds(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record every build from here on."""
    done: list[str] = []
    build = tokenised._build

    def counted(*arguments: object) -> None:
        done.append("build")
        build(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(tokenised, "_build", counted)
    return done


def test_documents_end_with_the_separator_and_are_counted(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"text": "ab"}\n{"text": "c"}\n')
    opened = open_tokenised(DataConfig(source=str(tmp_path / "rows.jsonl"), cache=str(tmp_path / "cache")))
    assert opened.ids.tobytes() == b"ab\0c\0"
    assert (opened.record.tokens, opened.record.documents, opened.record.bytes) == (5, 2, 3)


@pytest.mark.parametrize(("vocabulary", "width"), [(256, 1), (257, 2), (65536, 2), (65537, 4)])
def test_ids_take_the_narrowest_type(vocabulary: int, width: int) -> None:
    assert store.dtype_for(vocabulary).itemsize == width


@pytest.mark.parametrize("tokenizer", ["bytes", "bpe"])
def test_a_second_opening_reads_the_cache(config: DataConfig, tokenizer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    config = dataclasses.replace(config, tokenizer=tokenizer, vocab_size=300)
    done = builds(monkeypatch)
    first, second = open_tokenised(config), open_tokenised(config)
    assert done == ["build"]
    assert first.record == second.record
    assert np.array_equal(first.ids, second.ids)
    assert second.tokenizer.decode(second.ids[:40]).startswith("Line 0: the quick")
    assert not list(Path(config.cache).glob("*.tmp"))


def test_ids_are_read_only(config: DataConfig) -> None:
    with pytest.raises(ValueError, match="read-only"):
        open_tokenised(config).ids[0] = 1


def test_a_changed_source_is_tokenised_again(config: DataConfig, text_file: Path) -> None:
    before = open_tokenised(config).record
    text_file.write_text(TEXT + "and more", encoding="utf-8")
    after = open_tokenised(config).record
    assert after.tokens == before.tokens + len("and more")
    assert after.fingerprint != before.fingerprint


def test_the_fingerprint_is_of_the_content(config: DataConfig, tmp_path: Path) -> None:
    original = open_tokenised(config).record.fingerprint
    fsspec.filesystem("memory").pipe("/elsewhere.txt", TEXT.encode())
    copy = DataConfig(source="memory://elsewhere.txt", cache=str(tmp_path / "other"))
    assert open_tokenised(copy).record.fingerprint == original
    bpe = dataclasses.replace(config, tokenizer="bpe", vocab_size=300)
    larger = dataclasses.replace(bpe, vocab_size=310)
    assert len({original, *(open_tokenised(each).record.fingerprint for each in (bpe, larger))}) == 3


def _shorten(ids: Path, _: Path) -> None:
    ids.write_bytes(ids.read_bytes()[:-1])


def _flip(ids: Path, _: Path) -> None:
    content = bytearray(ids.read_bytes())
    content[100] ^= 1
    ids.write_bytes(content)


def _remove_ids(ids: Path, _: Path) -> None:
    ids.unlink()


def _remove_record(_: Path, record: Path) -> None:
    record.unlink()


def _garble_record(_: Path, record: Path) -> None:
    record.write_text("{")


def _edit_record(_: Path, record: Path) -> None:
    content = json.loads(record.read_text())
    content["record"]["vocab_size"] = 7
    record.write_text(json.dumps(content))


def _unknown_record(_: Path, record: Path) -> None:
    record.write_text('{"record": {"tokens": 3}}')


@pytest.mark.parametrize(
    "damage", [_shorten, _flip, _remove_ids, _remove_record, _garble_record, _edit_record, _unknown_record]
)
def test_a_damaged_cache_is_built_again_and_said(
    config: DataConfig, damage: Callable[[Path, Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    before = open_tokenised(config)
    expected = np.array(before.ids)
    damage(only(config, "tokens"), only(config, "json"))
    with caplog.at_level(logging.WARNING):
        after = open_tokenised(config)
    assert after.record == before.record
    assert np.array_equal(after.ids, expected)
    assert len([entry for entry in caplog.messages if "damaged, building it again" in entry]) == 1


def test_a_large_file_is_checked_in_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_CHECKED_BLOCKS", 4)
    monkeypatch.setattr(store, "_CHECKED_BLOCK", 10)
    path = tmp_path / "ids"
    path.write_bytes(bytes(range(200)))
    whole = store.file_check(path)
    for place in (0, 65, 199):
        content = bytearray(range(200))
        content[place] ^= 1
        path.write_bytes(content)
        assert store.file_check(path) != whole, place
    path.write_bytes(bytes(range(201)))
    assert store.file_check(path) != whole


def test_an_error_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"text": "ab"}\n{}\n')
    with pytest.raises(DataError, match="line 2 has no text"):
        open_tokenised(DataConfig(source=str(tmp_path / "rows.jsonl"), cache=str(tmp_path / "cache")))
    assert {path.suffix for path in (tmp_path / "cache").iterdir()} <= {".lock"}


@pytest.mark.parametrize("tokenizer", ["bytes", "bpe"])
def test_an_empty_corpus_is_refused(tmp_path: Path, tokenizer: str) -> None:
    (tmp_path / "empty.txt").write_text("")
    with pytest.raises(DataError, match=r"empty\.txt' is empty; name a corpus with text in it"):
        open_tokenised(
            DataConfig(source=str(tmp_path / "empty.txt"), cache=str(tmp_path / "cache"), tokenizer=tokenizer)
        )


def test_a_cache_folder_that_cannot_be_written_is_named(config: DataConfig, text_file: Path) -> None:
    with pytest.raises(DataError, match=r"the cache folder .*corpus\.txt cannot be written .*set data\.cache"):
        open_tokenised(dataclasses.replace(config, cache=str(text_file)))


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder(DataConfig()) == tmp_path / "tessera"
    assert cache_folder(DataConfig(cache="/elsewhere")) == Path("/elsewhere")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder(DataConfig()) == tmp_path / ".cache/tessera"


def test_a_tokenizer_from_a_url(config: DataConfig) -> None:
    trained = open_tokenised(dataclasses.replace(config, tokenizer="bpe", vocab_size=300))
    memory = fsspec.filesystem("memory")
    memory.pipe("/t/tokenizer.json", trained.tokenizer.dump().encode())
    from_url = dataclasses.replace(config, tokenizer="memory://t/tokenizer.json")
    assert open_tokenised(from_url).record.fingerprint == trained.record.fingerprint
    memory.pipe("/t/tokenizer.json", b"{}")
    with pytest.raises(DataError, match=r"'memory://t/tokenizer\.json' is no tokenizer\.json"):
        open_tokenised(from_url)


@pytest.mark.parametrize("name", ["byte", "memory://missing.json"])
def test_an_unknown_tokenizer_is_named(config: DataConfig, name: str) -> None:
    with pytest.raises(DataError, match=rf"data\.tokenizer '{name}' is neither 'bytes' nor 'bpe' nor a tokenizer.json"):
        open_tokenised(dataclasses.replace(config, tokenizer=name))


@pytest.mark.parametrize("tokenizer", ["bytes", "bpe"])
def test_processes_that_start_together_build_once(config: DataConfig, tokenizer: str) -> None:
    command = [sys.executable, "-c", OPEN, config.source, config.cache, tokenizer]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    outputs = [process.communicate(timeout=60)[0] for process in started]
    found = {line for output in outputs for line in output.splitlines() if line.startswith("FOUND")}
    assert len(found) == 1, outputs
    assert sum("tokenised 1 documents" in output for output in outputs) == 1, outputs


def test_builders_without_a_lock_do_no_harm(config: DataConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Six threads, none of which waits for another, as on a file system without locks."""
    monkeypatch.setitem(sys.modules, "fcntl", None)
    done = builds(monkeypatch)
    barrier = threading.Barrier(6)
    write = tokenised._write_ids

    def together(*arguments: object) -> object:
        barrier.wait(timeout=30)
        return write(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(tokenised, "_write_ids", together)
    opened: list[str] = []
    threads = [
        threading.Thread(target=lambda: opened.append(open_tokenised(config).record.fingerprint)) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 6
    assert len(opened) == 6
    assert len(set(opened)) == 1


def test_waiting_for_a_builder_has_a_deadline(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with one_builder(tmp_path / "lock"), one_builder(tmp_path / "lock", patience_s=0.01):
        assert "until the deadline; building without it" in caplog.text


def test_only_old_remains_are_removed(config: DataConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    Path(config.cache).mkdir()
    remains = Path(config.cache) / "killed.tmp"
    remains.write_bytes(b"x")
    tokenised._remove_stale(Path(config.cache))
    assert remains.exists()
    later = time.time() + 2 * 86400
    monkeypatch.setattr(tokenised.time, "time", lambda: later)
    open_tokenised(config)
    assert not remains.exists()
