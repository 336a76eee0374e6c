"""Leaving on purpose, and forgetting those who were gone for long enough."""

from __future__ import annotations

import pytest

from actors.membership.events import Hint, Leave, Tick, Update
from actors.membership.messages import Gossip, Ping, Want
from actors.membership.statements import State
from tests.membership.helpers import LAN
from tests.membership.solo import Solo, messages


def test_a_goodbye_goes_at_once_to_twice_as_many_as_other_news() -> None:
    """Six of eight, since the leaver has not much time."""
    solo = Solo(8)
    told = [one for one in messages(solo.give(Leave())) if isinstance(one, Gossip)]
    farewell = [one for one in told if one.updates == (solo.core.record.wire,)]
    assert len(farewell) >= 6
    assert len({number for _, number, _ in solo.sent(Gossip)}) >= 6
    assert solo.core.record.state is State.LEFT
    assert solo.core.record.incarnation == 2


def test_it_goes_on_for_leave_s_and_then_nothing_happens() -> None:
    solo = Solo(8, leave_s=5.0)
    solo.give(Leave())
    view = solo.core.view_hash
    solo.run(4.9)
    assert not solo.core.left
    assert solo.says(1, Ping(1, view)), "it still answers"
    solo.run(0.2)
    assert solo.core.left
    assert solo.core.next_deadline() == float("inf")
    for event in (Tick(), Leave(), Hint(solo.peer(2), "why"), Update({"stage": 1})):
        assert solo.give(event) == []
    assert solo.says(1, Ping(1, view)) == []


def test_leaving_twice_is_leaving_once_and_nothing_is_changed_meanwhile() -> None:
    solo = Solo(8, leave_s=5.0)
    solo.give(Leave())
    record = solo.core.record
    solo.run(3.0)
    solo.give(Leave())
    solo.give(Update({"stage": 4}))
    assert solo.core.record == record
    solo.run(2.1)
    assert solo.core.left, "counted from the first goodbye"


def test_the_leaver_is_out_of_its_own_view() -> None:
    solo, without = Solo(3), Solo(3)
    solo.give(Leave())
    others = sum(solo.core.records[solo.peer(number)].digest for number in (1, 2, 3)) % (1 << 64)
    assert solo.core.view_hash == others != without.core.view_hash


@pytest.mark.parametrize("number", [2, 3], ids=["dead", "left"])
def test_the_gone_are_forgotten_after_reap_s_by_a_look_each_minute(number: int) -> None:
    """Gone at 100 s for 50 s: the look at 160 s forgets them."""
    solo = Solo(4, reap_s=50.0, interval_s=1e6, sync_s=1e6)
    solo.tell(solo.dead(2, by=1), solo.record(3, 2, state=State.LEFT).wire)
    solo.run(59.9)
    assert solo.peer(number) in solo.core.records
    solo.run(0.2)
    assert solo.peer(number) not in solo.core.records
    assert solo.peer(number) not in solo.core.gone
    assert solo.peer(4) in solo.core.live
    solo.tell(solo.record(number, 1).wire)
    assert solo.peer(number) in solo.core.live, "to one who has forgotten it is new"


def test_the_gone_are_kept_until_then() -> None:
    solo = Solo(4, reap_s=70.0, interval_s=1e6, sync_s=1e6)
    solo.tell(solo.dead(2, by=1))
    solo.run(70.1)
    assert solo.peer(2) in solo.core.gone
    solo.run(50.0)
    assert solo.peer(2) not in solo.core.gone


def test_a_leaver_forgets_everybody_but_itself() -> None:
    solo = Solo(4, reap_s=50.0, leave_s=200.0, interval_s=1e6, sync_s=1e6)
    solo.tell(solo.dead(2, by=1))
    solo.give(Leave())
    solo.run(130.0)
    assert solo.core.gone.keys() == {solo.core.record.peer_id}
    assert messages(solo.says(1, Want(bytes.fromhex(solo.core.record.peer_id)[:8])))
    assert LAN.reap_s == 24 * 3600
