"""What a store repeats, what it gives up at once, and what its answers mean."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from checkpoint.errors import StoreError
from checkpoint.retry import Retry
from checkpoint.store import Store


class Moody(MemoryFileSystem):
    """Raises what it is told to, so many times, in one operation."""

    cachable = False
    store: dict[str, Any] = {}  # noqa: RUF012 - of this class, so that the files are its own
    pseudo_dirs = [""]  # noqa: RUF012

    def __init__(self, operation: str = "", error: Exception | None = None, times: int = 0) -> None:
        super().__init__()
        self._operation, self._error, self.left, self.tries = operation, error, times, 0

    def _mood(self, operation: str) -> None:
        if operation == self._operation:
            self.tries += 1
            if self.left:
                self.left -= 1
                assert self._error is not None
                raise self._error

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:
        self._mood("put")
        super().pipe_file(path, value)

    def open(self, path: str, mode: str = "rb", **kwargs: Any) -> Any:
        self._mood("read")
        return super().open(path, mode, **kwargs)

    def info(self, path: str, **kwargs: Any) -> Any:
        self._mood("look")
        return super().info(path, **kwargs)

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> Any:
        self._mood("list")
        return super().ls(path, detail=detail, **kwargs)

    def rm_file(self, path: str) -> None:
        self._mood("delete")
        super().rm_file(path)


@pytest.fixture(autouse=True)
def empty() -> None:
    """No files yet."""
    Moody.store.clear()
    Moody.pseudo_dirs[:] = [""]


def opened(fs: Moody, waits: list[float] | None = None, attempts: int = 5) -> Store:
    """Return a store whose waits are written down."""
    return Store(fs, "/root", Retry(attempts=attempts, sleep=(waits if waits is not None else []).append))


DO = {
    "put": lambda store: store.put("a", b"x"),
    "read": lambda store: store.read("kept", 0, 9),
    "look": lambda store: store.exists("kept"),
    "list": lambda store: store.folders(),
    "delete": lambda store: store.delete(["kept"]),
}


@pytest.mark.parametrize("operation", list(DO))
def test_a_failure_is_repeated_with_growing_waits(operation: str) -> None:
    opened(Moody()).put("kept", b"abc")
    waits: list[float] = []
    fs = Moody(operation, OSError("no answer"), times=4)
    DO[operation](opened(fs, waits))
    assert fs.tries == 5
    assert waits == [0.2, 0.4, 0.8, 1.6]


@pytest.mark.parametrize("operation", list(DO))
def test_after_the_last_try_it_is_one_sentence(operation: str) -> None:
    opened(Moody()).put("kept", b"abc")
    waits: list[float] = []
    fs = Moody(operation, RuntimeError("no answer.\nand more"), times=99)
    with pytest.raises(StoreError, match=r" failed after 3 tries: no answer\.$"):
        DO[operation](opened(fs, waits, attempts=3))
    assert (fs.tries, waits) == (3, [0.2, 0.4])


@pytest.mark.parametrize(
    "error",
    [PermissionError("not yours"), NotImplementedError("cannot"), OSError(28, "full"), OSError(122, "your quota")],
)
def test_what_comes_again_anyway_is_said_at_once(error: Exception) -> None:
    waits: list[float] = []
    fs = Moody("put", error, times=99)
    with pytest.raises(StoreError, match=r"^writing a failed: "):
        opened(fs, waits).put("a", b"x")
    assert (fs.tries, waits) == (1, [])


def test_no_wait_is_longer_than_the_longest() -> None:
    waits: list[float] = []
    retry = Retry(attempts=9, sleep=waits.append)
    assert [retry.wait(failures) for failures in range(1, 10)] == [True] * 8 + [False]
    assert waits == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0]
    assert (Retry().attempts, Retry().first_s, Retry().longest_s) == (5, 0.2, 5.0)


def test_an_error_without_words_is_called_by_its_kind() -> None:
    fs = Moody("put", ValueError(), times=99)
    with pytest.raises(StoreError, match=r"writing a failed after 1 tries: ValueError\.$"):
        opened(fs, attempts=1).put("a", b"x")


def test_a_file_that_is_not_there_is_no_failure_when_looking() -> None:
    waits: list[float] = []
    store = opened(Moody(), waits)
    assert store.info("none") is None and not store.exists("none")
    assert store.folders("none") == [] and store.files("none") == {}
    with pytest.raises(FileNotFoundError, match=r"^none$"):
        store.read("none", 0, 9)
    store.delete(["none"])
    assert waits == [], "and nothing of it is tried again"


def test_a_folder_that_vanishes_while_a_file_is_put_is_a_failure_to_repeat() -> None:
    fs = Moody("put", FileNotFoundError("the folder"), times=2)
    store = opened(fs)
    store.put("a/b", b"x")
    assert (fs.tries, store.read("a/b", 0, 9)) == (3, b"x")


@pytest.mark.parametrize("kind", ["disk", "memory"])
def test_files_folders_and_ranges(kind: str, tmp_path: Path) -> None:
    store = Store(LocalFileSystem(), f"{tmp_path}/root/") if kind == "disk" else Store(Moody(), "/root/")
    store.put("b/x/one", b"0123456789")
    store.put("b/two", bytearray(b"ab"))
    store.put("a/three", memoryview(b"c"))
    store.put("four", b"")
    assert store.folders() == ["a", "b"]
    assert store.folders("b") == ["x"]
    assert {path: info.size for path, info in store.files("b").items()} == {"b/x/one": 10, "b/two": 2}
    assert [store.read("b/x/one", *ends) for ends in ((0, 3), (3, 7), (7, 99), (5, 5), (6, 2))] == [
        b"012", b"3456", b"789", b"", b"",
    ]  # fmt: skip
    assert store.exists("four") and not store.exists("b") and store.info("b") is None
    info = store.info("b/x/one")
    assert info is not None and info.size == 10 and info.modified is not None
    store.put("b/two", b"another")
    assert store.read("b/two", 0, 99) == b"another"
    store.delete(["b/two", "b/none"])
    assert set(store.files("b")) == {"b/x/one"}
    store.delete_folder("b")
    assert store.files("b") == {} and store.folders() == ["a"]
    store.delete_folder("none")


def test_a_put_on_a_disk_leaves_the_file_and_nothing_else(tmp_path: Path) -> None:
    class Broken(LocalFileSystem):
        cachable = False

        def mv(self, path1: str, path2: str, **kwargs: Any) -> None:
            raise OSError("no")

    store = Store(LocalFileSystem(), str(tmp_path / "root"))
    store.put("a/one", b"1")
    with pytest.raises(StoreError, match="writing a/one failed after 2 tries: no"):
        Store(Broken(), str(tmp_path / "root"), Retry(attempts=2, sleep=lambda seconds: None)).put("a/one", b"2")
    assert [path.name for path in (tmp_path / "root" / "a").iterdir()] == ["one"]
    assert (tmp_path / "root" / "a" / "one").read_bytes() == b"1", "the old one is whole"


def test_many_are_deleted_in_one_request_and_one_by_one_where_that_fails() -> None:
    class Counting(Moody):
        requests = 0
        works = True

        def rm(self, path: Any, **kwargs: Any) -> None:
            self.requests += 1
            if not self.works:
                raise OSError("not in one request")
            super().rm(path, **kwargs)

    for works in (True, False):
        fs = Counting("delete")
        fs.works = works
        store = opened(fs)
        for name in ("a", "b", "c"):
            store.put(name, b"x")
        store.delete(["a", "b", "c"])
        assert not any(store.exists(name) for name in "abc")
        assert fs.requests == 1
        if not works:
            assert fs.tries == 3
    fs = Counting("delete")
    store = opened(fs)
    store.put("one*", b"x")
    store.put("one more", b"x")
    store.delete(["one*", "another"])
    assert fs.requests == 0, "a name with a mark of a pattern in it is never part of one"
    assert store.exists("one more") and not store.exists("one*")


@pytest.mark.parametrize("url", ["nonsense://x/y", "s3a://nothing"])
def test_a_url_that_cannot_be_opened_says_so(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import fsspec.core

    def missing(url: str) -> Any:
        raise ImportError("no s3fs") if url.startswith("s3") else ValueError("Protocol not known: nonsense\nmore")

    monkeypatch.setattr(fsspec.core, "url_to_fs", missing)
    with pytest.raises(StoreError) as error:
        Store.open(url)
    if url.startswith("s3"):
        assert (
            str(error.value) == "'s3a://nothing' needs a package that is not installed (no s3fs); install tessera[s3]."
        )
        with pytest.raises(StoreError, match=r"not installed \(no s3fs\); install tessera\[s3\]\.$"):
            Store.open("s3://nothing")
    else:
        assert str(error.value) == "'nonsense://x/y' is not a URL of a folder (Protocol not known: nonsense)."
