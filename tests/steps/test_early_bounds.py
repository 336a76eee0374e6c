"""How much is kept of what came before its time: 4,096 messages and 256 MB of tensors of each peer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from actors.steps.early import Early
from actors.steps.jobs import Payload, TokensOf
from actors.steps.messages import Purpose

MIB = 1 << 20


def tensor(mib: int, extra: int = 0) -> Any:
    """A tensor that counts for so many bytes and takes none."""
    return np.broadcast_to(np.uint8(0), (mib * MIB + extra,))


def kept(*payloads: Payload) -> list[Any]:
    """Numbers of the messages of one peer that are still there, out of messages with these tensors."""
    early = Early()
    for number, payload in enumerate(payloads):
        early.keep("peer", number, payload)
    return [message for _, message, _ in early.take()]


def test_of_one_peer_4096_messages_are_kept() -> None:
    assert kept(*[()] * 4096) == list(range(4096))
    assert kept(*[()] * 4097) == list(range(1, 4097))


def test_of_one_peer_256_mib_of_tensors_are_kept() -> None:
    assert kept((tensor(128),), (tensor(128),)) == [0, 1]
    assert kept((tensor(128),), (tensor(128, 1),)) == [1]
    assert kept((tensor(64), tensor(64)), (tensor(128),), (tensor(1),)) == [1, 2], "all tensors of a message count"


def test_what_was_dropped_counts_no_more() -> None:
    """The third one drops the first: 200 MiB are left then, and 56 more have room."""
    assert kept((tensor(100),), (tensor(100),), (tensor(100),), (tensor(56),)) == [1, 2, 3]
    assert kept((tensor(100),), (tensor(100),), (tensor(100),), (tensor(56, 1),)) == [2, 3]


def test_one_that_is_larger_than_the_share_drops_all_before_it_and_stays() -> None:
    assert kept((tensor(1),), (tensor(2),), (tensor(300),)) == [2]
    assert kept((tensor(300),), (tensor(1),)) == [1]


def test_tokens_that_stand_for_themselves_take_no_share() -> None:
    assert kept(TokensOf(0, 0, Purpose.TRAIN), (tensor(256),)) == [0, 1]
    assert kept(("tokens",), (tensor(256),)) == [0, 1], "what has no size counts for nothing"


@pytest.mark.parametrize("payload", [(), (tensor(200),)], ids=["many", "large"])
def test_a_peer_that_fills_its_share_takes_nothing_from_another(payload: Payload) -> None:
    early = Early()
    early.keep("one", "first", (tensor(200),))
    for number in range(5000):
        early.keep("flood", number, payload)
    early.keep("one", "last", (tensor(56),))
    assert [message for peer, message, _ in early.take() if peer == "one"] == ["first", "last"]


def test_what_was_taken_leaves_a_whole_share() -> None:
    early = Early()
    for _ in range(2):
        early.keep("peer", "a", (tensor(200),))
        early.keep("peer", "b", (tensor(56),))
        assert [message for _, message, _ in early.take()] == ["a", "b"]
    assert early.take() == []


def test_what_is_kept_again_while_it_is_handled_comes_after_what_is_new() -> None:
    early = Early()
    early.keep("b", 1)
    early.keep("a", 2)
    first = early.take()
    assert [(peer, message) for peer, message, _ in first] == [("b", 1), ("a", 2)]
    early.keep("a", 3)
    early.keep(*first[0])
    assert [(peer, message) for peer, message, _ in early.take()] == [("a", 3), ("b", 1)]


def test_tensors_come_back_with_their_message() -> None:
    early, values = Early(), tensor(1)
    early.keep("peer", "message", (values,))
    ((peer, message, payload),) = early.take()
    assert (peer, message) == ("peer", "message")
    assert isinstance(payload, tuple) and payload[0] is values
