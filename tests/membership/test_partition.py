"""What looks like a partition, when it is over, and views that stay different."""

from __future__ import annotations

from typing import Any

import pytest

from actors.membership.messages import Ping, Sync
from actors.membership.statements import Evidence, State
from tests.membership.solo import Solo


def quiet(others: int, **changes: Any) -> Solo:
    """A member that looks at nobody by itself."""
    return Solo(others, interval_s=1e6, sync_s=1e6, rejoin_s=1e6, **changes)


def fall_silent(solo: Solo, numbers: range, evidence: Evidence = Evidence.SILENT) -> None:
    for number in numbers:
        solo.tell(solo.dead(number, by=1, evidence=evidence))


def names(solo: Solo) -> list[str]:
    return sorted((f"n{solo.number(peer)}" for peer in solo.core.beyond), key=lambda name: int(name[1:]))


@pytest.mark.parametrize(
    ("members", "silent", "cut"),
    [
        (3, 1, False),  # a third, but one
        (5, 1, False),  # a fifth, but one
        (5, 2, True),
        (10, 1, False),
        (10, 2, True),  # two, and a fifth
        (11, 2, False),  # a fifth of 11 is 2.2
        (11, 3, True),
        (15, 2, False),
        (15, 3, True),
        (20, 3, False),
        (20, 4, True),
        (8, 4, True),
    ],
)
def test_a_fifth_of_the_members_and_two_make_a_partition(members: int, silent: int, cut: bool) -> None:
    """The members are all who were there before, the member itself among them."""
    solo = quiet(members - 1)
    fall_silent(solo, range(2, 2 + silent))
    assert bool(solo.core.beyond) is cut
    assert bool(solo.notes("partition")) is cut
    if cut:
        assert names(solo) == [f"n{number}" for number in range(2, 2 + silent)]


def test_it_is_said_once_with_names_and_numbers() -> None:
    solo = quiet(9)
    fall_silent(solo, range(6, 10))
    assert solo.notes("partition") == [
        "2 of 10 members fell silent together (n6, n7): the mesh is probably cut; 8 are on this side, "
        "and the others are tried again"
    ]
    assert names(solo) == ["n6", "n7", "n8", "n9"], "who falls silent later is beyond it too"


def test_of_many_the_first_eight_names_are_said() -> None:
    solo = quiet(59)
    fall_silent(solo, range(30, 42))
    (note,) = solo.notes("partition")
    assert "12 of 60 members fell silent together (n30, n31, n32, n33, n34, n35, n36, n37, ...)" in note
    solo = quiet(39)
    fall_silent(solo, range(30, 38))
    assert "(n30, n31, n32, n33, n34, n35, n36, n37)" in solo.notes("partition")[0]
    solo = quiet(44)
    fall_silent(solo, range(30, 39))
    assert "(n30, n31, n32, n33, n34, n35, n36, n37, ...)" in solo.notes("partition")[0]


def test_refused_ones_are_dead_and_not_beyond_a_cut() -> None:
    solo = quiet(9)
    fall_silent(solo, range(2, 8), Evidence.REFUSED)
    assert not solo.core.beyond
    fall_silent(solo, range(8, 9))
    assert not solo.core.beyond, "one who is silent is not two"
    fall_silent(solo, range(9, 10))
    assert names(solo) == ["n8", "n9"]


@pytest.mark.parametrize(("apart", "cut"), [(12.7, True), (12.9, False)])
def test_together_means_within_two_probes_and_the_longest_suspicion(apart: float, cut: bool) -> None:
    """2 * 1 + 3.6 * 3 = 12.8 s."""
    solo = quiet(7)
    fall_silent(solo, range(2, 3))
    solo.run(apart)
    fall_silent(solo, range(3, 4))
    assert bool(solo.core.beyond) is cut


def test_who_is_back_already_fell_not_silent_together_with_the_next() -> None:
    solo = quiet(7)
    fall_silent(solo, range(2, 3))
    solo.tell(solo.record(2, 2).wire)
    assert not solo.notes("healed"), "one is no partition, so there is nothing to heal"
    fall_silent(solo, range(3, 4))
    assert not solo.core.beyond


def test_it_is_healed_when_the_last_one_is_back() -> None:
    solo = quiet(9)
    fall_silent(solo, range(6, 9))
    solo.run(7.0)
    solo.tell(solo.record(6, 2).wire, solo.record(7, 2).wire)
    assert names(solo) == ["n8"]
    assert not solo.notes("healed")
    solo.run(33.0)
    solo.tell(solo.record(8, 2).wire)
    assert solo.notes("healed") == ["everyone beyond the cut is back, 40 s after it was noticed"]
    assert not solo.core.beyond
    solo.tell(solo.record(8, 3).wire, solo.record(5, 2).wire)
    assert len(solo.notes("healed")) == 1


def test_a_second_cut_is_said_again() -> None:
    solo = quiet(9)
    fall_silent(solo, range(6, 8))
    solo.tell(solo.record(6, 2).wire, solo.record(7, 2).wire)
    solo.run(60.0)
    for number in (2, 3):
        solo.tell(solo.dead(number, by=1))
    assert len(solo.notes("partition")) == 2
    assert names(solo) == ["n2", "n3"]


def test_one_who_is_forgotten_is_not_waited_for() -> None:
    solo = quiet(9, reap_s=30.0)
    fall_silent(solo, range(6, 8))
    solo.run(65.0)
    assert not solo.core.beyond
    assert not solo.notes("healed")


def test_one_beyond_who_left_meanwhile_and_says_so_later_stays_gone() -> None:
    """The goodbye of one who is held dead makes it no member again."""
    solo = quiet(9)
    fall_silent(solo, range(6, 8))
    solo.tell(solo.record(6, 2, state=State.LEFT).wire)
    assert solo.peer(6) in solo.core.gone
    assert not solo.when("back", 6)


# --- views that stay different --------------------------------------------------------------------------------------


def test_a_view_that_stays_different_is_told_after_split_s_and_three_push_pulls_once() -> None:
    solo = Solo(5, sync_s=1e6)
    solo.views = {1: 0xAB}
    solo.says(1, Ping(9, 0xAB))
    solo.run(29.9)
    assert not solo.core.split
    assert len(solo.sent(Sync, 1)) >= 3
    solo.run(10.0)
    assert solo.core.split == {solo.peer(1)}
    solo.run(60.0)
    (note,) = solo.notes("view-split")
    said = f"00000000000000ab there, {solo.core.view_hash:016x} here; compare the `status` of both"
    assert note in {f"n1 has had another view for {seconds} s: {said}" for seconds in range(30, 40)}


def test_it_is_told_after_the_third_push_pull() -> None:
    """A second is enough here, but a push-pull with one member comes every ten seconds, so three take half a minute."""
    solo = Solo(5, sync_s=1e6, interval_s=10.0, split_s=1.0)
    solo.views = {1: 0xAB}
    solo.run(5.0)
    while not solo.core.split:
        solo.run(11.0)
        solo.says(1, Ping(9, 0xAB))
    assert len([at for at, _, _ in solo.sent(Sync, 1) if at < solo.now]) == 3


def test_one_equal_view_ends_it_and_the_time_runs_from_the_beginning_again() -> None:
    solo = Solo(5, sync_s=1e6)
    solo.views = {1: 0xAB}
    solo.run(50.0)
    assert solo.core.split
    solo.views = {}
    solo.until(lambda: not solo.core.split)
    solo.views = {1: 0xAB}
    solo.run(29.0)
    assert not solo.core.split
    solo.run(12.0)
    assert solo.core.split
    assert len(solo.notes("view-split")) == 2


def test_it_takes_push_pulls_that_did_not_help() -> None:
    solo = Solo(5, sync_s=1e6, gossip_s=100.0)  # news never have had time to spread, so none is begun
    solo.views = {1: 0xAB}
    solo.run(100.0)
    assert not solo.sent(Sync)
    assert not solo.core.split


def test_one_who_is_gone_is_no_view_that_stays_different() -> None:
    solo = Solo(5, sync_s=1e6)
    solo.views = {1: 0xAB}
    solo.run(50.0)
    solo.tell(solo.dead(1, by=2), by=2)
    assert not solo.core.split
    assert solo.peer(1) not in solo.core.views


def test_the_last_view_of_each_member_is_kept_and_of_the_gone_and_unknown_none() -> None:
    solo = Solo(5, interval_s=1e6, sync_s=1e6)
    solo.says(1, Ping(1, 7))
    solo.says(2, Ping(1, solo.core.view_hash))
    solo.tell(solo.dead(3, by=1))
    solo.says(3, Ping(1, 9))
    assert solo.core.views.keys() == {solo.peer(1), solo.peer(2)}
    assert solo.core.views[solo.peer(1)] == 7
    solo.tell(solo.dead(1, by=2))
    assert solo.core.views.keys() == {solo.peer(2)}
