"""States on a participant's own disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from checkpoint.shelf import KEPT, Shelf, ShelfError

STATE = np.arange(1000, dtype=np.float32)


def test_the_newest_states_stay(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "states", 1)
    assert shelf.kept() == frozenset()
    for era, commit in ((0, 0), (0, 10), (0, 20), (1, 10), (1, 20)):
        shelf.put(era, commit, STATE + commit, f"hash {commit}")
    assert len(shelf.kept()) == KEPT
    assert shelf.kept() == {(0, 20), (1, 10), (1, 20)}
    values, parameter_hash = shelf.get(1, 10)
    assert np.array_equal(values, STATE + 10) and parameter_hash == "hash 10"


def test_only_the_own_stage_is_seen_and_others_can_go(tmp_path: Path) -> None:
    Shelf(tmp_path, 0).put(0, 10, STATE, "a")
    other = Shelf(tmp_path, 2)
    assert other.kept() == frozenset()
    other.put(0, 20, STATE, "b")
    other.clear()
    assert Shelf(tmp_path, 0).kept() == frozenset() and other.kept() == {(0, 20)}


def test_a_damaged_state_is_named_and_not_given(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, 1)
    shelf.put(0, 10, STATE, "hash")
    (path,) = tmp_path.iterdir()
    good = path.read_bytes()
    head = good.index(b"\n") + 1
    damaged = [
        good[:at] + bytes([good[at] ^ 4]) + good[at + 1 :] for at in (2, head - 2, head, head + 777, len(good) - 1)
    ]
    damaged += [b"", good[:head], good[:-4], good + b"abcd", b"[" * 5000, b'{"elements": 1e99}\n', good[head:]]
    damaged += [good.replace(b'"elements": 1000', b'"elements": -1'), good.replace(b"1000", b"99999999999")]
    for content in damaged:
        path.write_bytes(content)
        try:
            values, parameter_hash = shelf.get(0, 10)
        except ShelfError as error:
            assert path.name in str(error)
        else:  # a turned bit in the name of the parameters' hash is found when they are in the shards
            assert np.array_equal(values, STATE) and parameter_hash != "hash"
    with pytest.raises(ShelfError, match="commit-30"):
        shelf.get(0, 30)
    shelf.drop(0, 10)
    assert shelf.kept() == frozenset()
