"""What the shards hold: only the decided average is applied, and what is missing is restored or fetched."""

from __future__ import annotations

from dataclasses import replace

import pytest

from actors.steps import effects
from actors.steps.agreement import Agreement
from actors.steps.ballots import Join, Vouch
from actors.steps.events import FetchFailed, LocalReady
from actors.steps.messages import Chunk, Differs, Dropped, Get, Gone, Offer, Part, Saved, Want
from tests.steps.giving import STATE, average_offer, give, state_offer, update
from tests.steps.holder import NEXT, Holder, applies
from tests.steps.parts import STEP, clear, forward, jobs, mail, notes, wanted
from tests.steps.saver import record

READY = LocalReady("built", 10, True, gradient_length=3, state_length=5)


def test_the_average_whose_hash_was_decided_is_applied_with_the_decided_factor() -> None:
    one = Holder()
    digest = one.average(7)
    one.average(8)  # a later round
    one.decide({0: digest, 1: "of the other stage"})
    assert applies(one.context) == [(STEP, [7], 0.25)]
    assert one.context.applying is not None and one.context.applying.commit == NEXT
    assert one.context.waits.waiting(("apply",)) and effects.Discard() not in one.context.out
    assert one.context.held == STEP, "until the shards say so"


@pytest.mark.parametrize("averages", [{0: "another"}, {1: "mine"}, {}], ids=["another", "of another stage", "none"])
def test_an_average_that_was_not_decided_is_never_applied(averages: dict[int, str]) -> None:
    one = Holder()
    digest = one.average(7)
    one.decide({stage: digest if what == "mine" else what for stage, what in averages.items()})
    assert applies(one.context) == [] and one.context.applying is None
    assert effects.Discard() in one.context.out, "what was counted is of a step that is over"


@pytest.mark.parametrize("held", [-1, STEP - 1, NEXT])
def test_an_average_is_applied_to_the_parameters_that_it_is_of_only(held: int) -> None:
    one = Holder(held=held)
    one.decide({0: one.average(7)})
    assert applies(one.context) == []


def test_an_update_that_is_under_way_is_left_alone() -> None:
    one = Holder()
    one.context.applying = update(STEP)
    one.decide({0: one.average(7)})
    assert applies(one.context) == [] and effects.Discard() not in one.context.out


def test_shards_that_are_not_built_have_nothing_to_discard() -> None:
    one = Holder(built=False, held=-1)
    one.decide({})
    assert one.context.out == []


def test_an_applied_update_is_held_told_to_followers_and_lets_the_step_begin() -> None:
    one = Holder(keep_every=NEXT)
    one.donor.want("s0b", Want(STEP, NEXT))
    one.decide({0: one.average(7)})
    clear(one.context)
    one.holdings.applied(STEP, "new")
    assert (one.context.held, one.context.parameter_hash, one.context.applying) == (NEXT, "new", None)
    assert not one.context.waits.waiting(("apply",))
    assert [offer.commit for _, offer in mail(one.context, Offer)] == [NEXT]
    assert wanted(one.context, effects.KeepState) == [effects.KeepState(0, NEXT)]
    assert one.replayed == 1 and one.told == 0


def test_an_update_of_another_commit_than_the_one_under_way_is_not_held() -> None:
    one = Holder()
    one.decide({0: one.average(7)})
    one.holdings.applied(STEP - 1, "new")
    assert one.context.held == STEP and one.context.applying is not None and one.replayed == 0
    idle = Holder()
    idle.holdings.applied(STEP, "new")
    assert idle.context.held == STEP and idle.replayed == 0


def test_who_is_not_counted_on_or_has_no_vote_says_that_it_holds_the_step() -> None:
    one = Holder()
    one.context.workers -= {"s0a"}
    one.holdings.changed()
    assert one.told == 1


def test_shards_that_are_built_hold_commit_0_if_the_run_begins_from_nothing() -> None:
    one = Holder(held=-1, built=False, decided={"step": 0})
    one.holdings.built(READY)
    assert (one.context.held, one.context.parameter_hash, one.told) == (0, "built", 1)
    assert (one.follower.built, one.follower.state_length, one.follower.gradient_length) == (True, 5, 3)
    assert one.replayed == 1
    later = Holder(held=-1, built=False, decided={"step": 0}, resumed=0)
    later.holdings.built(READY)
    assert later.context.held == -1 and later.told == 0
    assert wanted(later.context, effects.FetchCheckpoint) == [effects.FetchCheckpoint(0, 0, True)]


def test_who_has_another_corpus_says_so() -> None:
    one = Holder(held=-1, built=False)
    one.holdings.built(replace(READY, data_ok=False))
    assert not one.context.data_ok and notes(one.context) == ["data"]
    clear(one.context)
    one.holdings.built(READY)
    assert one.context.data_ok and notes(one.context) == []


def test_what_is_missing_is_read_from_the_disk_and_else_fetched() -> None:
    for kept, wants in (({(0, STEP)}, 0), ({(0, 1)}, 1)):
        one = Holder(held=-1)
        one.context.kept = frozenset(kept)
        one.holdings.changed()
        assert len(mail(one.context, Want)) == wants
        assert len(wanted(one.context, effects.RestoreState)) == 1 - wants


def test_nothing_is_read_while_something_else_goes_into_the_shards_or_an_update_is_under_way() -> None:
    one = Holder(held=STEP - 1)
    one.context.kept = frozenset({(0, STEP)})
    one.follower.seek()
    give(one.follower, "s0b", average_offer(STEP), update(STEP).average)
    one.holdings.changed()
    assert wanted(one.context, effects.RestoreState) == []
    other = Holder(held=STEP - 1)
    other.context.kept = frozenset({(0, STEP)})
    other.context.applying = update(STEP)
    other.holdings.changed()
    assert other.context.out == []


def test_a_state_from_the_disk_or_a_replica_lets_the_step_begin() -> None:
    restored = Holder(held=-1)
    restored.context.kept = frozenset({(0, STEP)})
    restored.holdings.changed()
    restored.donor.want("s0b", Want(-1, 0))
    restored.holdings.restored(STEP, "hash")
    assert (restored.context.held, restored.replayed) == (STEP, 1)
    assert wanted(restored.context, effects.ExportState) == [effects.ExportState(STEP)], "others asked for it"
    replayed = Holder(held=STEP - 1)
    replayed.holdings.changed()
    give(replayed.follower, "s0b", average_offer(STEP), update(STEP).average)
    replayed.holdings.applied(STEP - 1, "hash")
    assert (replayed.context.held, replayed.replayed) == (STEP, 1)


def test_a_state_from_a_replica_lets_the_step_begin_and_ends_the_search() -> None:
    one = Holder(held=-1)
    one.holdings.changed()
    give(one.follower, "s0b", state_offer(), STATE)
    assert one.context.waits.waiting(("catchup",))
    one.holdings.loaded(STEP, "hash")
    assert (one.context.held, one.context.parameter_hash, one.replayed) == (STEP, "hash", 1)
    assert one.context.waits.next_deadline() is None


def test_a_checkpoint_begins_when_the_commit_is_held_and_its_part_is_lost_with_the_shards() -> None:
    one = Holder(save_every=NEXT)
    one.decide({0: one.average(7)}, record=record(NEXT))
    one.saver.decided(one.context.decision)
    one.holdings.applied(STEP, "new")
    assert wanted(one.context, effects.SavePart) == [effects.SavePart(0, NEXT, 0, 2)]
    one.holdings.lost("killed")
    assert Saved(0, NEXT, 0, 0, b"") in [word for _, word in mail(one.context, Saved)]


def test_who_is_outside_asks_to_be_let_in_while_it_fetches() -> None:
    one = Holder(held=-1)
    one.context.agreement = Agreement("s0a", 2, one.context.decision)
    one.holdings.changed()
    assert len(mail(one.context, Join)) == 3 and len(mail(one.context, Want)) == 1


def test_lost_shards_owe_nothing_and_what_they_held_is_gone() -> None:
    one = Holder()
    one.donor.want("s0b", Want(-1, 0))
    one.donor.exported(STEP, STATE, "hash")
    one.hop.counted[4] = 0.5
    digest = one.average(7)
    one.decide({0: digest})
    clear(one.context)
    one.holdings.lost("killed")
    assert (one.context.held, one.context.applying, one.hop.counted) == (-1, None, {})
    assert one.context.waits.next_deadline() is None and one.averaging.known(digest) is None
    assert (one.follower.built, notes(one.context), one.told) == (False, ["shards"], 1)
    one.donor.get("s0b", Get(Part.STATE, STEP, 0))
    assert len(mail(one.context, Gone)) == 1
    one.hop.forward("s0a", forward(1, 0, ("s0a", "s1a")), ("in",))
    assert len(jobs(one.context)) == 1


def test_parameters_that_differ_are_given_up_with_what_was_counted_on_them() -> None:
    one = Holder()
    one.hop.forward("s0b", forward(1, 0, ("s0a", "s1a")), ("in",))
    clear(one.context)
    one.holdings.receive("s0b", Differs(STEP, "parameters"), ())
    assert one.context.held == STEP and one.told == 0, "the leader has to say it"
    one.holdings.receive("s1a", Differs(STEP, "parameters"), ())
    assert one.context.held == -1 and one.told == 1
    assert effects.Discard() in one.context.out and len(mail(one.context, Dropped)) == 1


def test_words_about_states_and_averages_go_to_those_who_give_and_fetch() -> None:
    one = Holder()
    one.holdings.receive("s0b", Want(-1, 0), ())
    assert wanted(one.context, effects.ExportState) == [effects.ExportState(STEP)]
    one.holdings.receive("s0b", Get(Part.STATE, 1, 0), ())
    assert mail(one.context, Gone) == [("s0b", Gone(Part.STATE, 1))]
    other = Holder(held=STEP - 1)
    offer, values = average_offer(STEP), update(STEP).average
    other.holdings.receive("s0b", offer, ())
    assert len(mail(other.context, Get)) == 2
    other.holdings.receive("s0b", Gone(Part.AVERAGE, STEP), ())
    assert len(mail(other.context, Want)) == 1
    other.holdings.receive("s0b", offer, ())
    for number in range(2):
        other.holdings.receive("s0b", Chunk(Part.AVERAGE, STEP, number), (values[2 * number : 2 * number + 2],))
    assert applies(other.context) == [(STEP - 1, [3, 0, 3], 0.5)]


def test_what_the_disk_or_the_store_lacks_is_told_and_fetched_from_a_replica() -> None:
    one = Holder(held=-1)
    one.context.kept = frozenset({(0, STEP)})
    one.holdings.changed()
    one.holdings.kept(frozenset())
    assert one.told == 1 and len(mail(one.context, Want)) == 1
    ready = Holder()
    ready.holdings.kept(frozenset({(0, STEP)}))
    assert ready.told == 0 and ready.context.kept == {(0, STEP)}
    store = Holder(held=-1, first=STEP, resumed=0)
    store.holdings.fetch_failed(FetchFailed(0, STEP, "torn"))
    assert store.told == 1 and len(mail(store.context, Want)) == 1 and store.context.unusable == {(0, STEP): "torn"}


def test_who_holds_the_step_vouches_for_joiners_with_the_same_parameters() -> None:
    one = Holder(held=-1)
    report = replace(one.standing.report(), held=STEP, parameter_hash="parameters")
    one.standing.asked("new", Join(9, "NEW", 0, report))
    assert mail(one.context, Vouch) == []
    one.context.held = STEP
    one.holdings.changed()
    assert [to for to, _ in mail(one.context, Vouch)] == ["s1a"]
