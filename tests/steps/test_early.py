"""Messages before their time: kept in order, within each peer's share."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from actors.steps import early
from actors.steps.early import Early
from actors.steps.jobs import TokensOf
from actors.steps.messages import Purpose


def test_they_are_taken_in_the_order_in_which_they_came() -> None:
    kept = Early()
    for number, peer in enumerate("abacab"):
        kept.keep(peer, number, TokensOf(0, number, Purpose.TRAIN))
    assert [(peer, message) for peer, message, _ in kept.take()] == list(zip("abacab", range(6), strict=True))
    assert kept.take() == []


@pytest.mark.parametrize("payload", [(), (np.zeros(1000, np.uint8),)], ids=["many", "large"])
def test_who_sends_too_much_loses_its_own_oldest(monkeypatch: pytest.MonkeyPatch, payload: tuple[Any, ...]) -> None:
    monkeypatch.setattr(early, "MOST_KEPT", 50)
    monkeypatch.setattr(early, "MOST_BYTES", 50_000)
    kept = Early()
    kept.keep("honest", "first", payload)
    for number in range(500):
        kept.keep("flood", number, payload)
    kept.keep("honest", "last", payload)
    taken = kept.take()
    assert [message for peer, message, _ in taken if peer == "honest"] == ["first", "last"]
    assert [message for peer, message, _ in taken if peer == "flood"] == list(range(450, 500))


def test_one_larger_than_the_share_is_kept_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(early, "MOST_BYTES", 100)
    kept = Early()
    for number in range(3):
        kept.keep("peer", number, (np.zeros(1000, np.uint8),))
    assert [message for _, message, _ in kept.take()] == [2]
