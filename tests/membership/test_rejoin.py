"""Looking for the dead for as long as they are known: how often, and in which order.

`lan`: rejoin_s is 3 s.
"""

from __future__ import annotations

from typing import Any

import pytest

from actors.membership.events import Broken, Join, Leave, Tick
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


def test_the_dead_are_tried_again_with_their_verdict_for_as_long_as_they_are_known() -> None:
    solo = mesh(reap_s=50.0)
    verdict = solo.dead(2, by=1)
    solo.tell(verdict)
    solo.run(200.0)
    tries = solo.sent(Sync, 2)
    assert tries[0][0] == pytest.approx(103.0), "the first after rejoin_s"
    assert all(sync.updates == (solo.core.record.wire, verdict) for _, _, sync in tries)
    assert tries[-1][0] < 161.0, "forgotten at the second look, a minute after the beginning"
    assert len(solo.sent(Sync)) == len(tries), "nobody else was"


def test_one_who_left_is_not_tried() -> None:
    solo = mesh()
    solo.tell(solo.record(2, 2, state=State.LEFT).wire)
    solo.run(60.0)
    assert not solo.sent(Sync)


def test_the_back_off_goes_from_rejoin_s_to_four_times_that() -> None:
    """3 s, half as much longer each time (4.5, 6.75, 10.125), and then 12 s for as long as it lasts.

    An attempt comes with the member's next turn, up to 3.9 s later; of forty members some have it at once.
    """
    waits: list[list[float]] = []
    for seed in range(40):
        solo = Solo(4, seed=seed, interval_s=1e6, sync_s=1e6)
        solo.tell(solo.dead(2, by=1))
        solo.run(150.0)
        waits.append(pauses([at for at, _, _ in solo.sent(Sync, 2)]))
    for number, due in enumerate([3.0, 4.5, 6.75, 10.125, 12.0, 12.0, 12.0]):
        each = [wait[number] for wait in waits]
        assert due <= min(each) < due + 0.5
        assert max(each) <= due + 3.9


def test_one_that_has_just_died_gets_rejoin_s_to_come_back_by_itself() -> None:
    """Though the member's turn to look for somebody comes before."""
    solo = mesh()
    solo.give(Join(("tcp:founder:1",)))
    solo.run(20.0)
    solo.run(solo.core._rejoin.next_at - solo.now - 0.1)
    solo.tell(solo.dead(2, by=1))
    died = solo.now
    solo.run(20.0)
    assert min(at for at, _, _ in solo.sent(Sync, 2)) >= died + 3.0


def test_one_who_dies_again_is_tried_from_the_beginning() -> None:
    solo = mesh()
    solo.tell(solo.dead(2, by=1))
    solo.run(200.0)
    solo.tell(solo.record(2, 2).wire)
    solo.run(10.0)
    assert solo.when("back", 2)
    solo.tell(solo.dead(2, by=1, incarnation=2))
    died = solo.now
    solo.run(12.0)
    waits = pauses([died] + [at for at, _, _ in solo.sent(Sync, 2) if at > died])
    assert waits[0] == pytest.approx(3.0)
    assert 3.0 <= waits[1] <= 6.9


def test_many_dead_are_tried_in_turn_and_none_twice_before_all_were_once() -> None:
    solo = mesh(others=12)
    for number in range(2, 8):
        solo.tell(solo.dead(number, by=1))
    solo.run(60.0)
    order = [number for _, number, _ in solo.sent(Sync)]
    assert sorted(order[:6]) == [2, 3, 4, 5, 6, 7]
    waits = pauses([at for at, _, _ in solo.sent(Sync)])
    assert all(2.1 <= wait <= 3.9 for wait in waits), "one each rejoin_s, 30 % earlier or later"


def test_of_several_the_one_whose_time_came_first_is_next() -> None:
    """However often it was tried before."""
    solo = mesh()
    solo.tell(solo.dead(2, by=1))
    solo.run(100.0)
    solo.tell(solo.dead(3, by=1))
    solo.log.clear()
    solo.now += 60.0
    solo.give(Tick())
    solo.run(8.0)
    assert [number for _, number, _ in solo.sent(Sync)][:2] == [2, 3]


def test_a_mesh_of_64_makes_32_attempts_in_rejoin_s() -> None:
    """Of 64 members each tries one every 6 s, 30 % earlier or later: 64 / 6 is 32 / 3."""
    solo = Solo(70, interval_s=1e6, sync_s=1e6)
    for number in range(2, 9):
        solo.tell(solo.dead(number, by=1))
    assert solo.core._context.members == 64
    solo.run(200.0)
    waits = pauses([at for at, _, _ in solo.sent(Sync)])
    assert all(4.2 <= wait <= 7.8 for wait in waits)
    assert sum(waits) / len(waits) == pytest.approx(6.0, rel=0.1)


def test_a_death_brings_the_next_attempt_forward_and_never_puts_it_off() -> None:
    solo = mesh()
    solo.give(Join((address(1),)))  # the next look is 12.25 s away
    solo.run(1.0)
    solo.tell(solo.dead(2, by=3))
    assert solo.core._rejoin.next_at == pytest.approx(104.0)
    solo.run(1.0)
    solo.tell(solo.dead(4, by=3))
    assert solo.core._rejoin.next_at == pytest.approx(104.0)


def test_one_that_leaves_looks_for_nobody_any_more() -> None:
    solo = mesh(leave_s=50.0)
    solo.give(Join(("tcp:a:1",)))
    solo.tell(solo.dead(2, by=1))
    solo.give(Leave())
    solo.log.clear()
    solo.run(40.0)
    assert not solo.contacts()
    assert not solo.sent(Sync)


def test_absent_members_and_addresses_share_the_turns() -> None:
    solo = mesh()
    solo.give(Join(("tcp:founder:1",)))
    solo.tell(solo.dead(2, by=1))
    solo.give(Broken(solo.peer(3)))
    solo.run(60.0)
    assert len(solo.contacts()) > 3
    assert len(solo.sent(Sync, 2)) > 3
