"""One way to hash: of parts, each after its length."""

from __future__ import annotations

import hashlib

import pytest

from orchestrator.data.digest import RunningDigest, digest, digest_all


def test_a_part_is_hashed_after_its_length_in_eight_bytes() -> None:
    expected = hashlib.blake2b(b"\2\0\0\0\0\0\0\0ab" + b"\1\0\0\0\0\0\0\0c", digest_size=16).hexdigest()
    assert digest("ab", b"c") == expected and len(expected) == 32
    assert digest_all(iter(["ab", "c"])) == expected
    running = RunningDigest()
    running.add("ab")
    first = running.hex()
    running.add(b"c")
    assert (first, running.hex()) == (digest("ab"), expected)


@pytest.mark.parametrize(
    ("one", "other"),
    [(("ab", "c"), ("a", "bc")), (("ab",), ("a", "b")), (("a",), ("a", "")), ((), ("",)), (("a", "b"), ("b", "a"))],
)
def test_where_a_part_ends_counts(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    assert digest(*one) != digest(*other)


def test_text_is_its_utf_8() -> None:
    assert digest("grün") == digest("grün".encode())
    assert digest("\udcff") == digest(b"\xff"), "a path that is no UTF-8 has a hash as well"
