"""Finding a mesh through addresses, at the beginning and whenever the members behind them are not in the view.

`lan`: rejoin_s is 3 s.
"""

from __future__ import annotations

from typing import Any

import pytest

from actors.membership import rejoin
from actors.membership.events import Contact, Join
from actors.membership.messages import Sync
from actors.membership.statements import State
from tests.membership.solo import Solo, pauses


def lonely(**changes: Any) -> Solo:
    """A member that knows nobody but a dead one that left long ago."""
    solo = Solo(1, interval_s=1e6, sync_s=1e6, **changes)
    solo.tell(solo.record(1, 2, state=State.LEFT).wire)
    solo.log.clear()
    return solo


def mesh(others: int = 4, **changes: Any) -> Solo:
    """A member among others that begins nothing by itself."""
    return Solo(others, interval_s=1e6, sync_s=1e6, **changes)


def address(number: int) -> str:
    return f"tcp:home-{number}:1"


# --- the beginning --------------------------------------------------------------------------------------------------


def test_all_addresses_are_tried_at_once_with_a_greeting() -> None:
    solo = lonely()
    effects = solo.give(Join(("tcp:a:1", "tcp:b:1", "tcp:a:1")))
    hello = Sync(solo.core.view_hash, False, (solo.core.record.wire,))
    contacts = [one for one in effects if isinstance(one, Contact)]
    assert contacts == [Contact("tcp:a:1", hello), Contact("tcp:b:1", hello)]


def test_no_more_than_eight_at_once_and_the_rest_in_turn() -> None:
    solo = lonely()
    solo.give(Join(tuple(f"tcp:{number}:1" for number in range(20))))
    assert len(solo.contacts()) == 8
    solo.run(60.0)
    assert {where for _, where in solo.contacts()} == {f"tcp:{number}:1" for number in range(20)}


def test_the_own_addresses_are_not_tried() -> None:
    solo = lonely()
    solo.give(Join((address(0), "tcp:a:1")))
    solo.run(10.0)
    assert {where for _, where in solo.contacts()} == {"tcp:a:1"}


def test_a_lonely_member_asks_often_at_first_and_every_rejoin_s_in_the_end() -> None:
    """0.25 s, then half as much longer each time: 0.375, 0.5625, 0.84375, 1.265625, 1.8984375, 2.84765625, and 3."""
    solo = lonely()
    solo.give(Join(("tcp:a:1",)))
    solo.run(300.0)
    waits = pauses([at for at, _ in solo.contacts()])
    grown = [0.25, 0.375, 0.5625, 0.84375, 1.265625, 1.8984375, 2.84765625]
    assert waits[:7] == pytest.approx(grown)
    assert waits[7:] == pytest.approx([3.0] * len(waits[7:])), "no pause grows without bound"
    assert len(waits) > 90


def test_a_member_that_is_lonely_again_asks_often_again() -> None:
    solo = lonely()
    solo.give(Join(("tcp:a:1",)))
    solo.run(60.0)
    solo.tell(solo.record(1, 3).wire)
    solo.run(20.0)
    solo.tell(solo.record(1, 4, state=State.LEFT).wire)
    solo.give(Join(("tcp:b:1",)))
    solo.run(2.0)
    waits = pauses([at for at, where in solo.contacts() if where == "tcp:b:1"])
    assert waits[:3] == pytest.approx([0.25, 0.375, 0.5625])


def test_of_many_addresses_the_oldest_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rejoin, "MOST_ADDRESSES", 3)
    solo = lonely()
    solo.give(Join(("tcp:a:1", "tcp:b:1")))
    solo.give(Join(("tcp:c:1", "tcp:d:1")))
    assert solo.core._rejoin.addresses == ("tcp:b:1", "tcp:c:1", "tcp:d:1")


# --- addresses ------------------------------------------------------------------------------------------------------


def test_an_address_behind_which_a_member_lives_is_left_alone_until_that_member_is_gone() -> None:
    solo = mesh()
    solo.give(Join((address(2), "tcp:founder:1")))
    solo.run(60.0)
    assert {where for _, where in solo.contacts()} == {"tcp:founder:1"}
    solo.tell(solo.record(2, 2, state=State.LEFT).wire)
    left = solo.now
    solo.run(60.0)
    assert {where for at, where in solo.contacts() if at > left} == {"tcp:founder:1", address(2)}


def test_with_all_addresses_in_the_view_there_is_one_look_every_twelve_seconds_and_without_any_none() -> None:
    """Four times rejoin_s, in case the member behind an address moves."""
    solo = mesh()
    solo.give(Join((address(1),)))
    solo.run(1.0)
    assert not solo.contacts()
    assert solo.core._rejoin.next_at == pytest.approx(100.25 + 12.0)
    solo.tell(solo.record(1, 2, addresses=("tcp:moved:1",)).wire)
    solo.run(12.0)
    assert [where for _, where in solo.contacts()] == [address(1)]
    other = mesh()
    other.run(100.0)
    assert not other.contacts()
    assert other.core._rejoin.next_at == float("inf")
