"""Sources: the standard library, files wherever they are, the hub; and what is said when they cannot be used."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fsspec
import fsspec.registry
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.data.config import DataConfig
from orchestrator.data.corpus import content_hash, identity, open_corpus
from orchestrator.data.errors import DataError
from orchestrator.data.formats import text_documents
from orchestrator.data.standard_library import StandardLibrary


def documents(source: str | Path, field: str = "text") -> list[bytes]:
    return list(open_corpus(DataConfig(source=str(source), field=field)))


def json_lines(*rows: Any) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


@pytest.fixture
def memory() -> Iterator[Any]:
    """An empty in-memory file system."""
    files = fsspec.filesystem("memory")
    files.store.clear()
    yield files
    files.store.clear()


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A standard library of three files, with things around it that do not count."""
    root = tmp_path / "python3"
    for name in ("json/__init__.py", "json/decoder.py", "abc.py"):
        _write(root / name, f"# {name}")
    for name in (
        "site-packages/pip.py", "dist-packages/x.py", "test/abc.py", "json/tests/a.py", "json/__pycache__/a.py",
        "sitecustomize.py", "_sysconfigdata_x.py", "mine/a.py", "tkinter/a.py", "json/notes.txt",
    ):  # fmt: skip
        _write(root / name, "not ours")
    _write(root / "bisect.py", "")
    return root


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


# The standard library


def test_stdlib_has_a_sensible_size_and_order() -> None:
    corpus = list(open_corpus(DataConfig()))
    assert 8e6 < sum(map(len, corpus)) < 15e6
    assert corpus == list(StandardLibrary())


def test_stdlib_leaves_out_what_is_not_python_s_own(library: Path) -> None:
    assert list(StandardLibrary(library)) == [b"# abc.py", b"# json/__init__.py", b"# json/decoder.py"]


def test_stdlib_is_independent_of_its_place(library: Path, tmp_path: Path) -> None:
    before = content_hash(StandardLibrary(library))
    moved = library.rename(tmp_path / "elsewhere")
    assert content_hash(StandardLibrary(moved)) == before


def test_stdlib_stamp_sees_a_change_and_not_what_pip_installs(library: Path) -> None:
    before = StandardLibrary(library).stamp()
    _write(library / "site-packages/new.py", "x = 1")
    assert StandardLibrary(library).stamp() == before
    _write(library / "abc.py", "changed here")
    assert StandardLibrary(library).stamp() != before


def test_a_python_without_source_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"'stdlib'.*holds no Python source text; name another corpus"):
        StandardLibrary(tmp_path)
    with pytest.raises(DataError, match=r"'stdlib'.*holds no Python source text"):
        StandardLibrary(tmp_path / "missing")


def test_a_library_file_that_vanishes_is_named(library: Path) -> None:
    corpus = StandardLibrary(library)
    (library / "abc.py").unlink()
    with pytest.raises(DataError, match=r"'stdlib' cannot be read .*abc\.py"):
        list(corpus)
    with pytest.raises(DataError, match=r"'stdlib' cannot be read .*abc\.py"):
        corpus.stamp()


# Files


def test_a_glob_is_read_in_sorted_order(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt", "c.md", "sub/d.txt"):
        _write(tmp_path / name, name)
    assert documents(tmp_path / "*.txt") == [b"a.txt", b"b.txt"]
    assert documents(tmp_path / "**/*.txt") == [b"a.txt", b"b.txt", b"sub/d.txt"]


@pytest.mark.parametrize(("end", "pack"), [("", bytes), (".gz", gzip.compress), (".bz2", bz2.compress)])
@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json", "rows.ndjson"])
def test_json_lines_and_their_compressed_forms(tmp_path: Path, name: str, end: str, pack: Any) -> None:
    raw = json_lines({"text": "one\ntwo"}, {"text": "grün"}) + b"\n  \n" + json_lines({"text": ""}, {"text": "\ud800"})
    (tmp_path / (name + end)).write_bytes(pack(raw))
    assert documents(tmp_path / (name + end)) == [b"one\ntwo", "grün".encode(), b"?"]


def test_the_field_is_the_config_s(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_bytes(json_lines({"text": "no", "body": "yes"}))
    assert documents(tmp_path / "rows.jsonl", "body") == [b"yes"]


def test_compressed_text(tmp_path: Path) -> None:
    (tmp_path / "poem.txt.gz").write_bytes(gzip.compress(b"roses\n\xff"))
    assert documents(tmp_path / "poem.txt.gz") == [b"roses\n\xff"]


def test_any_fsspec_url(memory: Any) -> None:
    memory.pipe({"/set/b.txt": b"second", "/set/a.jsonl": json_lines({"text": "first"})})
    assert documents("memory://set/*") == [b"first", b"second"]
    assert documents("memory://set/b.txt") == [b"second"]


def test_a_source_without_a_mark_of_change_goes_by_its_content(memory: Any) -> None:
    memory.pipe("/a.txt", b"one")
    before = open_corpus(DataConfig(source="memory://a.txt"))
    assert before.stamp() is None
    first = identity(before)
    memory.pipe("/a.txt", b"two")
    assert identity(open_corpus(DataConfig(source="memory://a.txt"))) != first


def test_a_local_file_s_stamp_sees_a_change_of_the_same_size(text_file: Path) -> None:
    before = open_corpus(DataConfig(source=str(text_file))).stamp()
    assert before == open_corpus(DataConfig(source=str(text_file))).stamp()
    os.utime(text_file, ns=(1, 1))
    assert open_corpus(DataConfig(source=str(text_file))).stamp() != before


class Dribble(io.BytesIO):
    """Returns fewer bytes than asked for, as decompressors and sockets do."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(min(3, size or 3))


@settings(deadline=None)
@given(st.binary(max_size=200), st.integers(1, 40))
def test_long_text_is_cut_at_lines_the_same_way_however_it_arrives(content: bytes, limit: int) -> None:
    pieces = list(text_documents(io.BytesIO(content), limit))
    assert b"".join(pieces) == content
    assert all(0 < len(piece) <= limit for piece in pieces)
    assert pieces == list(text_documents(Dribble(content), limit))


def test_long_text_is_cut_behind_a_line() -> None:
    assert list(text_documents(io.BytesIO(b"ab\ncd\nef"), 4)) == [b"ab\n", b"cd\n", b"ef"]


# What is said


def test_no_match(tmp_path: Path) -> None:
    for source in (tmp_path / "*.txt", tmp_path / "missing.txt", tmp_path):
        with pytest.raises(DataError) as caught:
            documents(source)
        assert str(caught.value) == (
            f"data.source '{source}' matches no file; check the path (a folder needs a glob: DIR/*.txt)."
        )


def test_unknown_protocol_and_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=r"data\.source 'nope://x' cannot be read .*check the address"):
        documents("nope://x")
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(
        sys.modules["fsspec.registry"]._registry, "s3", raising=False
    )  # where an earlier test has found it
    with pytest.raises(DataError, match=r"data\.source 's3://bucket/x' needs another package.*tessera\[s3\]"):
        documents("s3://bucket/x")


@pytest.mark.parametrize("content", [b"no gzip at all", gzip.compress(os.urandom(5000))[:-900]])
def test_a_broken_archive_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.txt.gz").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.txt\.gz cannot be read .*check .* the file itself"):
        documents(tmp_path / "a.txt.gz")


@pytest.mark.parametrize("line", [b"{'text': 1}", b"[", b"\xff\xfe\xfa", b'{"text": "cut'])
def test_invalid_json_names_file_and_line(tmp_path: Path, line: bytes) -> None:
    (tmp_path / "rows.jsonl").write_bytes(json_lines({"text": "fine"}) + b"\n" + line + b"\n")
    with pytest.raises(DataError, match=r"rows\.jsonl, line 3 is not valid JSON .*repair the line or remove it"):
        documents(tmp_path / "rows.jsonl")


@pytest.mark.parametrize("row", [{"body": "x", "id": 1}, {"text": None, "body": 2}, {"text": 5}, {}, [1], "x", None])
def test_a_missing_field_names_file_and_line(tmp_path: Path, row: Any) -> None:
    (tmp_path / "rows.jsonl").write_bytes(json_lines({"text": "fine"}, row))
    with pytest.raises(DataError, match=r"rows\.jsonl, line 2 has no text in the field 'text'.*set data\.field"):
        documents(tmp_path / "rows.jsonl")


def test_the_fields_that_are_there_are_listed(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_bytes(json_lines({"body": "x", "id": 1}))
    with pytest.raises(DataError, match=r"\(it has: body, id\)"):
        documents(tmp_path / "rows.jsonl")


# The hub


class Rows(list[dict[str, Any]]):
    """What `datasets.load_dataset` returns, as far as it is used."""

    _fingerprint = "f00d"


def hub(monkeypatch: pytest.MonkeyPatch, load: Any) -> None:
    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load))


def test_hub_reads_the_named_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def load(name: str, configuration: str | None, split: str) -> Rows:
        calls.append((name, configuration, split))
        return Rows([{"text": "one"}, {"text": ""}, {"text": "two"}])

    hub(monkeypatch, load)
    corpus = open_corpus(DataConfig(source="hf:owner/name:small"))
    assert list(corpus) == [b"one", b"two"]
    assert corpus.stamp()
    assert documents("hf:owner/name") == [b"one", b"two"]
    assert calls == [("owner/name", "small", "train"), ("owner/name", None, "train")]


def test_hub_says_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="'hf:' names no data set"):
        documents("hf:")
    hub(monkeypatch, lambda *_, **__: Rows([{"text": "fine"}, {"body": "x"}]))
    with pytest.raises(DataError, match=r"'hf:a:b': row 1 has no text in the field 'text' \(it has: body\)"):
        documents("hf:a:b")

    def fail(*_: Any, **__: Any) -> Rows:
        raise ConnectionError("no route")

    hub(monkeypatch, fail)
    with pytest.raises(DataError, match=r"'hf:a' cannot be loaded \(ConnectionError: no route\); check the name"):
        documents("hf:a")


def test_hub_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DataError) as caught:
        documents("hf:a")
    assert str(caught.value) == ("data.source 'hf:a' needs the package `datasets`: pip install 'tessera[datasets]'.")
