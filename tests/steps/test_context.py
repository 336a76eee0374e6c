"""What parts of the protocol share: who can be sent what, which steps and eras are meant, whose votes can be had."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from actors.steps.context import Context, LostStage, StepSetup
from actors.steps.effects import Failed, Note, Send
from actors.steps.messages import Abort, Gone, Part
from actors.steps.view import CommittedView, Voter
from actors.steps.waits import Waits
from tests.steps.parts import SETUP, STEP, context, voters, wanted

MESSAGE = Gone(Part.STATE, 1)
ERA = 1 << 32


@pytest.mark.parametrize(
    ("step", "returns", "stamp"),
    [
        (5, (), 5),
        (0, (), 0),
        (-1, (), 0),  # no decision is known
        (3, ((9, 2),), ERA + 3),
        (3, ((9, 2), (9, 3)), 2 * ERA + 3),
    ],
)
def test_a_stamp_is_above_those_of_all_steps_of_earlier_eras(step: int, returns: Any, stamp: int) -> None:
    assert context(decided={"step": step, "returns": returns}).stamp == stamp


def test_work_can_begin_when_the_shards_hold_what_the_step_needs() -> None:
    one = context()
    for held, ready in ((-1, False), (STEP - 1, False), (STEP, True), (STEP + 1, False)):
        one.held = held
        assert one.ready is ready


def test_commits_on_the_disk_count_if_they_are_of_the_era_that_made_them() -> None:
    """After a return from 9 to 2, commit 3 and later ones are of era 1."""
    one = context(decided={"returns": ((9, 2),)})
    one.kept = frozenset({(0, 1), (0, 2), (0, 4), (1, 5), (1, 2), (1, 3)})
    assert one.returnable == (1, 2, 3, 5)


@pytest.mark.parametrize(
    ("place", "returns", "history", "may"),
    [
        ((0, 0), (), 0, True),
        ((0, STEP + 1), (), 0, True),  # of a decision that has not come yet
        ((0, STEP + 2), (), 0, False),
        ((0, -1), (), 0, False),
        ((1, 1), (), 0, False),
        ((4, 1), (), 4, True),
        ((0, 1), (), 4, False),  # of an earlier run in the same store
        ((4, 2), ((9, 2),), 4, True),
        ((4, 3), ((9, 2),), 4, False),
        ((5, 3), ((9, 2),), 4, True),
        ((5, 2), ((9, 2),), 4, False),
    ],
)
def test_a_checkpoint_can_exist_of_an_era_that_counts_and_of_no_later_commit(
    place: tuple[int, int], returns: Any, history: int, may: bool
) -> None:
    one = context(decided={"returns": returns}, history=history)
    assert one.may_exist(place) is may


def test_work_can_be_sent_to_replicas_that_work_and_can_be_reached() -> None:
    one = context(layout=(3, 3))
    one.workers -= {"s1a"}
    one.usable -= {"s0b"}
    assert (one.candidates(0), one.candidates(1), one.candidates(2)) == (["s0a", "s0c"], ["s1b", "s1c"], [])
    one.workers |= {"stranger"}
    one.usable |= {"stranger"}
    assert one.candidates(0) == ["s0a", "s0c"], "who is in no stage of the view serves none"


@pytest.mark.parametrize(
    ("spares", "able", "at_work"),
    [
        ((), ["s0a", "s0b", "s1a"], ["s0a", "s0b", "s1a"]),
        (("s0b",), ["s0a", "s0b", "s1a"], ["s0a", "s1a"]),
        (("s0b",), ["s0b", "s1a"], ["s0b", "s1a"]),  # no other serves its stage
        (("s0a", "s0b"), ["s0a", "s0b", "s1a"], ["s0a", "s0b", "s1a"]),
        (("s1a",), ["s0a", "s1a"], ["s0a", "s1a"]),
        (("s0b", "s1a"), ["s1a", "s0b", "s0a"], ["s1a", "s0a"]),
    ],
)
def test_spares_work_where_no_other_serves_their_stage(
    spares: tuple[str, ...], able: list[str], at_work: list[str]
) -> None:
    assert context(decided={"spares": spares}).at_work(able) == at_work


# Of s1a, s1b and s1c the one with the smallest CRC-32 of `peer/index`.
SUBSTITUTES = {0: "s1a", 1: "s1b", 2: "s1c", 3: "s1a", 4: "s1b", 5: "s1a", 6: "s1a", 7: "s1c"}


@pytest.mark.parametrize(("index", "peer"), SUBSTITUTES.items())
def test_all_would_choose_the_same_substitute(index: int, peer: str) -> None:
    for me in ("s0a", "s0b", "s1a", "s1c"):
        assert context(me, (2, 3)).substitute(1, index) == peer


def test_a_substitute_is_another_one_if_there_is_one() -> None:
    one = context("s0a", (2, 3))
    assert one.substitute(1, 0, "s1a") == "s1c", "1318293374 is below 1330767177"
    assert one.substitute(1, 0, "s1c") == "s1a"
    one.usable -= {"s1a", "s1b"}
    assert one.substitute(1, 0) == one.substitute(1, 0, "s1c") == "s1c"
    one.usable -= {"s1c"}
    assert one.substitute(1, 0) == ""


def living(layout: tuple[int, ...] = (3, 2), number: int = 1) -> Context:
    """A view of five whose members can all be reached."""
    one = context("s0a", layout)
    one.agreement.view = CommittedView(number, voters(*layout))
    return one


@pytest.mark.parametrize(
    ("gone", "majority"), [((), True), (("s0b", "s1a"), True), (("s0b", "s1a", "s1b"), False)], ids=str
)
def test_a_majority_of_five_is_three(gone: tuple[str, ...], majority: bool) -> None:
    one = living()
    one.usable -= set(gone)
    assert one.votes_lost() == dict.fromkeys(gone, "cannot be reached")
    assert one.has_majority is majority


def test_who_is_back_with_another_life_has_lost_its_vote() -> None:
    one = living()
    one.lives = {"s0b": 2, "s1a": 1, "s0c": 0, "stranger": 9}
    assert one.reborn() == {"s0b"}
    assert one.votes_lost() == {"s0b": "restarted, and has lost the memory of its vote"}
    one.usable -= {"s0b"}
    assert list(one.votes_lost().values()) == ["restarted, and has lost the memory of its vote"]


def test_no_life_is_known_in_view_0() -> None:
    one = living(number=0)
    one.lives = {"s0b": 2}
    assert one.reborn() == set() and one.votes_lost() == {}


def test_votes_that_the_owner_has_dismissed_are_not_missed() -> None:
    """Of five votes two are dismissed: two of three decide."""
    one = living()
    one.agreement.view = replace(one.view, dismissed=frozenset({"s1a", "s1b"}))
    one.usable -= {"s1a", "s1b"}
    assert one.votes_lost() == {} and one.has_majority
    one.usable -= {"s0b"}
    assert one.has_majority
    one.usable -= {"s0c"}
    assert not one.has_majority


def test_a_pause_says_whose_votes_are_missing_and_why() -> None:
    one = living()
    one.usable -= {"s1b", "s1a"}
    one.lives = {"s0c": 2}
    assert one.why_no_majority() == (
        "2 of 5 votes can be had, and 3 must agree (S0C restarted, and has lost the memory of its vote; "
        "S1A, S1B cannot be reached)"
    )


def test_names_are_told_in_order() -> None:
    one = living((3,))
    one.agreement.view = CommittedView(1, (Voter("a", 1, "Z", 0), Voter("b", 1, "Y", 0), Voter("c", 1, "X", 0)))
    assert one.why_no_majority() == "0 of 3 votes can be had, and 2 must agree (X, Y, Z cannot be reached)"


def test_a_process_begins_with_nothing() -> None:
    one = Context(SETUP, voters(1)[0], context().agreement, Waits(1.0))
    assert (one.held, one.parameter_hash, one.applying, one.restoring, one.data_ok) == (-1, "", None, False, False)
    assert one.order == one.plan == (0, 0, 0) and one.drivers == {} and one.workers == frozenset()
    assert one.stored == one.unsaved == (-1, -1) and one.kept == frozenset() and one.listed == ()
    assert (one.now, one.decided_at, one.changed_step, one.changed_at, one.starts, one.memory) == (0, 0, 0, 0, 0, 0)
    assert not (one.finished or one.spare or one.leaving or one.failed or one.usable or one.gone)


def test_what_the_config_does_not_say_is_off() -> None:
    plain = StepSetup(2, 10, 8, 100, 4, 0, 4, 1.0, lambda step: 0.1, "same", 2.0)
    assert (plain.keep_every, plain.save_every, plain.first, plain.history, plain.resumed) == (0, 0, 0, 0, -1)
    assert (plain.max_share, plain.moves, plain.smallest_chunk, plain.beat_s) == (1.0, True, 65536, 2.0)


def test_what_is_for_ourselves_is_handled_within_the_event() -> None:
    one = context()
    one.send("s0a", MESSAGE, ("mine",))
    one.send("s0b", MESSAGE, ("theirs",))
    assert one.inbox == [(MESSAGE, ("mine",))]
    assert one.out == [Send("s0b", MESSAGE, ("theirs",))]


def test_all_means_members_and_all_who_are_known_the_others() -> None:
    one = context()
    one.usable = {"s0a", "s1a", "joiner"}
    one.send_all(MESSAGE)
    assert [send.to for send in wanted(one, Send)] == ["s1a"] and len(one.inbox) == 1
    one.send_known(MESSAGE)
    assert [send.to for send in wanted(one, Send)] == ["s1a", "joiner", "s1a"] and len(one.inbox) == 1


def test_the_end_of_the_run_is_told_to_all_once() -> None:
    one = context()
    one.usable = {"s0a", "s0b", "joiner"}
    one.waits.after(0.0, "key", 5.0, "")
    one.send("s0a", MESSAGE)
    one.fail("broken", stopped=True)
    one.fail("again")
    told = [Send(peer, Abort("broken", True)) for peer in ("joiner", "s0b", "s1a", "s1b")]
    assert one.out == [*told, Failed("broken", True)], "also to those who cannot be reached just now"
    assert (one.failed, one.inbox, one.waits.next_deadline()) == ("broken", [], None)


def test_who_hears_of_the_end_does_not_tell_it() -> None:
    one = context()
    one.fail("broken", tell=False)
    assert one.out == [Failed("broken", False)]


def test_peers_are_named_by_name_and_stage() -> None:
    one = context()
    assert (one.named("s1a"), one.name("s1a")) == ("S1A (stage 1)", "S1A")
    assert (one.named("0123456789abcdef"), one.name("0123456789abcdef")) == ("peer 0123456789ab", "0123456789ab")
    assert one.names(["s1a", "s0b", "s0a"]) == "S0A, S0B, S1A"
    one.note("kind", "detail")
    one.ignore("reason")
    one.ignore("reason")
    assert one.out == [Note("kind", "detail")] and one.ignored == {"reason": 2}


def test_stages_are_equal_shares_of_unknown_size_if_nothing_is_said() -> None:
    plain = replace(SETUP, stages=4)
    said = replace(SETUP, shares=(0.7, 0.3), stage_bytes=(700, 300))
    assert (plain.share(2), plain.needs(2)) == (0.25, 0)
    assert (said.share(0), said.share(1), said.needs(1)) == (0.7, 0.3, 300)
    assert isinstance(plain, StepSetup) and plain.lost_stage is LostStage.WAIT


def test_the_last_stage_is_that_with_the_loss() -> None:
    assert context(layout=(1, 1, 1)).last_stage == 2
    assert context("s0a", (1, 1, 1), leader="s2a").leader == Voter("s2a", 1, "S2A", 2)
